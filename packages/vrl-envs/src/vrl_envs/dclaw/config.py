"""Settings of D'Claw Screw and its dataset. Imports no simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from vrl_core.errors import VRLError
from vrl_core.hooks import DatasetConfig, EnvironmentConfig
from vrl_envs.drawing.revision import drawing_versions
from vrl_envs.idle_settings import refuse_idle
from vrl_envs.qualities import qualities_in
from vrl_envs.releases import MUJOCO
from vrl_envs.settings import (
    Observation,
    Rendering,
    check_at_least,
    check_choice,
    check_known,
    check_view,
    settle_quality,
)

if TYPE_CHECKING:
    import gymnasium

    from vrl_core.episodes import Dataset

Direction = Literal["either", "forward", "backward"]

TASKS = ("screw_fixed", "screw_random", "screw_random_dynamics")
"""ROBEL's three variants of the screw task."""
CAMERAS = ("oblique", "targeting", "object_target")
QUALITIES = ("random", "mixed", "medium", "medium_expert", "expert")
ROBEL_HORIZON = 80
"""Steps of an episode, 8 seconds."""
DEFAULT_EPISODES = 200
"""Episodes of a behaviour; nothing tells how many LOMPO's data had."""


@dataclass(frozen=True, kw_only=True)
class DClaw(EnvironmentConfig):
    """D'Claw Screw: three fingers keep a valve at an angle that turns on (ROBEL; LOMPO, 5.1)."""

    layout_settings: ClassVar[tuple[str, ...]] = ("size", "observation", "assets")

    task: str = "screw_fixed"
    """`screw_fixed`: from angle 0 at 0.5 rad/s; `screw_random`: from any angle at up to 0.75 rad/s
    either way; `screw_random_dynamics`: the same, with other joints, friction and colours in each
    episode and with noise on what is observed."""
    size: int = 128
    """Height and width of the image in pixels."""
    horizon: int = ROBEL_HORIZON
    """Steps of an episode, each of 0.1 s."""
    direction: Direction = "either"
    """Which way the mark of a random task turns: either, as ROBEL's do, or only the way of
    `screw_fixed`, or only the other."""
    camera: str = "oblique"
    """`oblique` (claw, valve and mark from the side and above), or one of the model's own:
    `targeting` (from afar) and `object_target` (down on the valve, without the fingers)."""
    rendering: Rendering = "reference"
    """`reference` draws as MuJoCo does unless told; `fast` leaves out multisampling, shadows,
    reflections and, of fine meshes, what is smaller than 4 mm."""
    observation: Observation = "both"
    """The image and, as state, the claw's 9 joint positions; the image alone; or ROBEL's 21 numbers
    without one."""
    assets: Path | None = None
    """Folder with ROBEL's model, such as an unpacked `robel` wheel; by default VRL's cache, into
    which the model is fetched once from your package index."""

    def __post_init__(self) -> None:
        if self.assets is not None:
            object.__setattr__(self, "assets", Path(self.assets).expanduser())
        check_known("D'Claw task", self.task, TASKS)
        check_known("D'Claw camera", self.camera, CAMERAS)
        check_choice("direction", self.direction, ("either", "forward", "backward"))
        if self.direction == "backward" and self.task == "screw_fixed":
            raise VRLError(
                "screw_fixed turns forward. With direction backward the task is screw_random."
            )
        check_at_least("horizon", self.horizon, 1)
        check_view(self.size, self.rendering, self.observation)

    @classmethod
    def gallery(cls) -> Mapping[str, Self]:
        """Return ROBEL's three variants."""
        return {task: cls(task=task) for task in TASKS}

    def versions(self) -> Mapping[str, str]:
        """Return the revision of the way images are drawn, if it has one."""
        return drawing_versions(self)

    def build(self) -> gymnasium.Env[Any, Any]:
        """Create the environment.

        Raises `VRLError` when the model is not there and cannot be fetched, or nothing can draw,
        and for releases that do not run together.
        """
        MUJOCO.require()
        from vrl_envs.dclaw.environment import DClawEnvironment

        return DClawEnvironment(self)


@dataclass(frozen=True, kw_only=True)
class DClawDataset(DatasetConfig):
    """Episodes of D'Claw Screw collected here with this project's behaviours."""

    tasks: ClassVar[tuple[str, ...]] = TASKS
    qualities: ClassVar[tuple[str, ...]] = QUALITIES

    task: str = "screw_fixed"
    """`screw_fixed`, `screw_random` or `screw_random_dynamics`."""
    quality: str = "expert"
    """Behaviour: `random` (uniform actions), `mixed` (what the medium agent did while it learnt),
    `medium`, `medium_expert` (half the episodes of each) or `expert`."""
    size: int = 128
    """Height and width of the image in pixels."""
    episodes: int | None = None
    """Episodes to collect; by default 200 (16,000 steps), of two behaviours twice as many, of
    `mixed` the whole replay. Fewer of it are spread evenly."""
    seed: int = 0
    """Seed of the first states, the dynamics and the behaviour's choices."""
    horizon: int = ROBEL_HORIZON
    """Steps of an episode, each of 0.1 s."""
    rendering: Rendering = "fast"
    """`fast` leaves out multisampling, shadows, reflections and what is small on fine meshes;
    `reference` draws as MuJoCo does unless told, many times more slowly."""
    camera: str = "oblique"
    """Camera, as in the environment."""
    observation: Observation = "both"
    """The image with the claw's joint positions, the image alone, or ROBEL's 21 numbers."""
    assets: Path | None = None
    """Folder with ROBEL's model, as in the environment."""
    behaviours: str | None = None
    """Folder of behaviours: `policies/<task>/<quality>.safetensors`, `replays/<task>.safetensors`;
    a training run's folder is one."""

    def __post_init__(self) -> None:
        quality = settle_quality(self, QUALITIES)
        if self.assets is not None:
            object.__setattr__(self, "assets", Path(self.assets).expanduser())
        refuse_idle(self, {"behaviours": ("mixed", "medium", "expert")})
        self.environment()
        if self.episodes is not None:
            # One episode cannot be half of each.
            check_at_least("episodes", self.episodes, len(qualities_in(quality)))
        check_at_least("seed", self.seed, 0)

    def environment(self) -> DClaw:
        """Return the environment that the episodes come from."""
        return DClaw(
            task=self.task,
            size=self.size,
            horizon=self.horizon,
            camera=self.camera,
            rendering=self.rendering,
            observation=self.observation,
            assets=self.assets,
        )

    def build(self) -> Dataset:
        """Return the episodes, each made when it is asked for.

        Raises `VRLError` when the model or the behaviour is not there, and for releases that do
        not run together.
        """
        MUJOCO.require()
        from vrl_envs.dclaw.dataset import open_dclaw

        return open_dclaw(self)

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what the episodes depend on: behaviours, model and simulator too."""
        from vrl_core.fingerprint import describe
        from vrl_envs.behaviours.shipped import behaviour_files

        files = behaviour_files(self.task, self.quality, self.behaviours)
        if self.assets is not None:
            from vrl_envs.dclaw.assets import model_files

            files += model_files(self.assets)
        return drawing_versions(self) | describe(self, files=files, packages=("mujoco", "numpy"))
