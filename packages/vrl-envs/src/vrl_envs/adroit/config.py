"""Settings of the Adroit hand's tasks and their dataset. Imports no simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from vrl_core.errors import VRLError
from vrl_core.hooks import DatasetConfig, EnvironmentConfig, ReferenceReturns
from vrl_envs.adroit.tasks import (
    ADROIT_TASKS,
    BLANK_CAMERAS,
    PEN,
    cameras_of,
    default_noise,
    find_task,
)
from vrl_envs.drawing.revision import drawing_versions
from vrl_envs.idle_settings import refuse_idle
from vrl_envs.qualities import qualities_in
from vrl_envs.releases import ROBOTICS
from vrl_envs.scores import adroit_references
from vrl_envs.settings import (
    Observation,
    Rendering,
    camera_names,
    check_at_least,
    check_cameras,
    check_choice,
    check_view,
    settle_quality,
)

if TYPE_CHECKING:
    import gymnasium

    from vrl_core.episodes import Dataset

Reward = Literal["dense", "d4rl", "sparse"]
Replay = Literal["auto", "actions", "states"]

QUALITIES = ("random", "mixed", "medium", "medium_expert", "expert", "human")
SETTINGS_OF = {
    "behaviours": ("mixed", "medium", "expert"),
    "noise": ("expert",),
    "medium_noise": ("mixed", "medium"),
    "mixed_noise": ("mixed",),
    "replay": ("human",),
    "tolerance": ("human",),
}
"""Behaviours that each setting is one of."""
HORIZON = 200
"""Steps of an episode; LOMPO names none."""
TOLERANCE = 0.025
"""Mean distance of replayed from recorded observations, radians and metres. DAPG's 25
demonstrations of the door stay below 0.02; with another door's place or another's actions they
are beyond 0.025, nearly all beyond 0.08."""


@dataclass(frozen=True, kw_only=True)
class Adroit(EnvironmentConfig):
    """A task of the Adroit hand (DAPG, D4RL, LOMPO's pen): pen, door, hammer, relocate."""

    layout_settings: ClassVar[tuple[str, ...]] = ("size", "observation")

    task: str = PEN
    """`adroit_pen`, `adroit_door`, `adroit_hammer` or `adroit_relocate`."""
    size: int = 128
    """Height and width of the image in pixels."""
    camera: str = "vil_camera"
    """`vil_camera` or `fixed`, which is nearer; the pen also has `view_1`, `view_2`, `view_4`. Of
    several joined by `+` the first is the field `image`, others are `image_<camera>`."""
    horizon: int = HORIZON
    """Steps of an episode (0.01 s each); D4RL has 200, of the pen 100."""
    action_repeat: int = 1
    """Steps for each action; their rewards are summed."""
    reward: Reward = "dense"
    """`dense`: the library's own; `d4rl`: DAPG's and D4RL's, which subtract the palm's distance
    from the object where the library adds it (the same for the pen); `sparse`: 10 when the goal is
    there, else -0.1."""
    rendering: Rendering = "reference"
    """`reference` draws as MuJoCo does unless told; `fast` leaves out multisampling, shadows,
    reflections and, of fine meshes, what is smaller than 8 mm."""
    observation: Observation = "both"
    """An image, the library's state vector, or a dictionary of the image and, as state, the joint
    angles of hand and arm."""
    terminate_when_dropped: bool = False
    """End an episode when the pen has fallen below 0.075 m, as D4RL does; the library does not."""

    def __post_init__(self) -> None:
        find_task(self.task)
        self._check_camera()
        check_choice("reward", self.reward, ("dense", "d4rl", "sparse"))
        check_view(self.size, self.rendering, self.observation)
        check_at_least("action_repeat", self.action_repeat, 1)
        check_at_least("horizon", self.horizon, 1)
        if self.terminate_when_dropped and self.task != PEN:
            raise VRLError(f"terminate_when_dropped is a setting of {PEN}; {self.task} has no pen.")

    def _check_camera(self) -> None:
        known = cameras_of(self.task)
        blank = set(camera_names(self.camera)) & set(BLANK_CAMERAS)
        if self.task == PEN and blank:
            raise VRLError(
                f"Camera {min(blank)} stands below the table and sees nothing but its underside. "
                f"Choose one of {', '.join(known)}."
            )
        check_cameras(f"camera of {self.task}", self.camera, known)

    @classmethod
    def gallery(cls) -> Mapping[str, Self]:
        """Return all four tasks."""
        return {task: cls(task=task) for task in ADROIT_TASKS}

    def versions(self) -> Mapping[str, str]:
        """Return the revision of the way images are drawn, if it has one."""
        return drawing_versions(self)

    def build(self) -> gymnasium.Env[Any, Any]:
        """Create the environment.

        Raises `VRLError` when Gymnasium Robotics is missing or of another release.
        """
        ROBOTICS.require()
        from vrl_envs.adroit.environment import AdroitEnvironment

        return AdroitEnvironment(self)

    def is_d4rls(self) -> bool:
        """Return whether episodes have D4RL's length, ends and reward, but for that one sign."""
        ends = self.terminate_when_dropped or self.task != PEN
        same_length = self.horizon == find_task(self.task).d4rl_horizon
        return ends and same_length and self.action_repeat == 1 and self.reward != "sparse"

    def references(self) -> ReferenceReturns | None:
        """Return D4RL's random and expert returns, for episodes as D4RL's."""
        return adroit_references(self.task) if self.is_d4rls() else None

    def published_score(self, value: float) -> float | None:
        """Map a return to D4RL's normalised score, for episodes as D4RL's."""
        known = self.references()
        return None if known is None else known.normalise(value)


def as_d4rl(task: str) -> Adroit:
    """Return the environment of D4RL's data of a task: its reward, length and ends, on states."""
    return Adroit(
        task=task,
        observation="state",
        reward="d4rl",
        horizon=find_task(task).d4rl_horizon,
        terminate_when_dropped=task == PEN,
    )


@dataclass(frozen=True, kw_only=True)
class AdroitDataset(DatasetConfig):
    """Episodes of the Adroit hand: agents or DAPG's experts act, or people's are replayed."""

    tasks: ClassVar[tuple[str, ...]] = tuple(sorted(ADROIT_TASKS))
    qualities: ClassVar[tuple[str, ...]] = QUALITIES

    task: str = PEN
    """`adroit_pen`, `adroit_door`, `adroit_hammer` or `adroit_relocate`."""
    quality: str = "random"
    """Behaviour: `random` (uniform actions), `medium`, `expert`, `medium_expert` (half the episodes
    of each), `mixed` (what the agent saw while it learnt) or `human` (`demonstrations`). Of the
    ball a script acts, and in a folder of DAPG's its expert: then `medium` is the same with noise,
    and `mixed` has noise that falls from episode to episode."""
    size: int = 128
    """Height and width of the image in pixels."""
    episodes: int | None = None
    """Episodes to collect; by default 200, of `human` and of a replay all there are."""
    seed: int = 0
    """Seed of the first states and of the noise."""
    behaviours: str | None = None
    """Folder of a training run, or one with DAPG's experts as `<task>.npz` such as
    `adroit_pen.npz`; none means the behaviours that come with VRL."""
    noise: float = 0.0
    """Standard deviation of the Gaussian noise on the actions of a script or of DAPG's expert, in
    [-1, 1]."""
    medium_noise: float | None = None
    """The same of its medium behaviour; unless given, one at which half the episodes succeed."""
    mixed_noise: float | None = None
    """The same of the first `mixed` episode; it falls evenly to 0 in the last. Unless given, twice
    that of a medium behaviour, at which hardly an episode succeeds."""
    demonstrations: Path | None = None
    """File of human demonstrations to replay: D4RL's .hdf5, or DAPG's as .npz."""
    replay: Replay = "auto"
    """`actions` sets the first recorded state and lets the actions play, `states` sets each
    recorded state before its action; `auto` is `states` where the file has one for every step."""
    tolerance: float = TOLERANCE
    """Largest mean distance, radians and metres, of replayed from recorded observations."""
    rendering: Rendering = "fast"
    """`fast` leaves out multisampling, shadows, reflections and what is small on fine meshes;
    `reference` draws as MuJoCo does unless told, several times more slowly."""
    camera: str = "vil_camera"
    """Camera or cameras, as in the environment."""
    action_repeat: int = 1
    """Steps for each action; 1 for demonstrations."""
    horizon: int = HORIZON
    """Steps of an episode; demonstrations have their own lengths."""
    reward: Reward = "dense"
    """`dense` (the library's), `d4rl` or `sparse`, as in the environment."""
    observation: Observation = "both"
    """An image, the state vector, or the image with the joint angles."""
    terminate_when_dropped: bool = False
    """End an episode when the pen has fallen, as D4RL does."""

    def __post_init__(self) -> None:
        quality = settle_quality(self, QUALITIES, "the Adroit hand")
        refuse_idle(self, SETTINGS_OF)
        self.environment()
        for name in ("noise", "medium_noise", "mixed_noise", "tolerance", "seed"):
            check_at_least(name, getattr(self, name) or 0, 0)
        check_choice("replay", self.replay, ("auto", "actions", "states"))
        if self.episodes is not None:
            # One episode cannot be half of each, nor have noise that falls.
            least = 2 if quality == "mixed" else len(qualities_in(quality))
            check_at_least("episodes", self.episodes, least)
        self._check_source()

    def _check_source(self) -> None:
        if self.quality == "human":
            if self.demonstrations is None:
                raise VRLError(
                    "Quality human replays demonstrations: name their file with --demonstrations "
                    "FILE, D4RL's such as door-human-v1.hdf5 or DAPG's as .npz."
                )
            if self.action_repeat != 1:
                raise VRLError(
                    "Demonstrations have an action for every step: leave action_repeat at 1."
                )
        elif self.demonstrations is not None:
            raise VRLError(
                f"demonstrations are replayed by quality human alone, not by {self.quality}."
            )

    def noise_of(self, quality: str) -> float:
        """Return the noise of `expert`, `medium` or the first `mixed` episode: given or default."""
        if quality == "expert":
            return self.noise
        scripted = self.behaviours is None
        default = default_noise(self.task, scripted=scripted)
        medium = default if self.medium_noise is None else self.medium_noise
        if quality == "mixed":
            return 2 * medium if self.mixed_noise is None else self.mixed_noise
        return medium

    def environment(self) -> Adroit:
        """Return the environment that the episodes come from."""
        return Adroit(**{field.name: getattr(self, field.name) for field in fields(Adroit)})

    def build(self) -> Dataset:
        """Return the episodes, each made when it is asked for.

        Raises `VRLError` when Gymnasium Robotics is missing, when there is no such policy, or when
        demonstrations are missing or of another task.
        """
        ROBOTICS.require()
        if self.quality == "human":
            from vrl_envs.adroit.replay import AdroitDemonstrations

            return AdroitDemonstrations(self)
        from vrl_envs.adroit.dataset import open_adroit

        return open_adroit(self)

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what the episodes depend on: policy or demonstrations, and the simulator too."""
        from vrl_core.fingerprint import describe
        from vrl_envs.adroit.behaviours import behaviour_paths

        people = self.demonstrations
        files = behaviour_paths(self) if people is None else [people]
        return drawing_versions(self) | describe(
            self, files=files, packages=tuple(ROBOTICS.supported)
        )
