"""Settings of the desk with a drawer and its dataset. Imports no simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from vrl_core.errors import VRLError
from vrl_core.hooks import DatasetConfig, EnvironmentConfig
from vrl_envs.drawing.revision import drawing_versions
from vrl_envs.idle_settings import refuse_idle
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

Camera = Literal["overhead", "side"]
Reward = Literal["true", "learned"]

TASKS = ("drawer_closing_stand_in",)
"""The task's name says what it is: LOMPO's own (Section 5.2) is on a real robot."""
QUALITIES = ("exploration", "random", "medium", "medium_expert", "expert")
HORIZON = 100
"""Steps of an episode: LOMPO's 200 labelled images are 0.2% of its 1000 trajectories."""
EXPLORATION_EPISODES = 1000
"""LOMPO, Section 5.2."""
OTHER_EPISODES = 200


@dataclass(frozen=True, kw_only=True)
class Desk(EnvironmentConfig):
    """A simulated stand-in for LOMPO's real robot: an arm closes the drawer of a desk."""

    layout_settings: ClassVar[tuple[str, ...]] = ("size", "observation")

    task: str = "drawer_closing_stand_in"
    """Task; there is one."""
    size: int = 64
    """Height and width of the image in pixels."""
    horizon: int = HORIZON
    """Steps of an episode, a tenth of a second each."""
    camera: Camera = "overhead"
    """`overhead`, as the paper's robot is seen, or `side`, which shows people more."""
    reward: Reward = "true"
    """`true`: 1 while the drawer is closed, as the simulator knows it; `learned`: the probability
    that `classifier` gives to the frame after the step."""
    classifier: Path | None = None
    """Trained classifier (`vrl reward train`), for the learned reward."""
    rendering: Rendering = "reference"
    """`reference` draws as MuJoCo does unless told; `fast` leaves out multisampling, shadows and
    reflections."""
    observation: Observation = "pixels"
    """An image, a state vector, or a dictionary of the image and, as state, what a real arm knows
    of itself: its joint angles and its fingertips' position."""

    def __post_init__(self) -> None:
        check_known("task of the desk", self.task, TASKS)
        check_at_least("horizon", self.horizon, 1)
        check_known("camera of the desk", self.camera, ("overhead", "side"))
        check_choice("reward", self.reward, ("true", "learned"))
        check_view(self.size, self.rendering, self.observation)
        if self.classifier is not None:
            object.__setattr__(self, "classifier", Path(self.classifier))
        self._check_reward()

    def _check_reward(self) -> None:
        if (self.reward == "learned") != (self.classifier is not None):
            raise VRLError(
                f"The reward is {self.reward!r} and the classifier {self.classifier}. A learned "
                "reward needs both settings, reward learned and classifier FILE (`vrl reward "
                "train` writes one); the true one needs neither."
            )

    @classmethod
    def gallery(cls) -> Mapping[str, Self]:
        """Return the one task."""
        return {cls.task: cls()}

    def versions(self) -> Mapping[str, str]:
        """Return the revision of the way images are drawn, if it has one."""
        return drawing_versions(self)

    def build(self) -> gymnasium.Env[Any, Any]:
        """Create the environment.

        Raises `VRLError` when nothing can draw, or the classifier cannot be read or judges other
        images, and for releases that do not run together.
        """
        MUJOCO.require()
        from vrl_envs.desk.environment import DeskEnvironment

        return DeskEnvironment(self)


@dataclass(frozen=True, kw_only=True)
class DeskDataset(DatasetConfig):
    """Episodes collected here at the simulated desk, with its true reward."""

    tasks: ClassVar[tuple[str, ...]] = TASKS
    qualities: ClassVar[tuple[str, ...]] = QUALITIES

    task: str = "drawer_closing_stand_in"
    """Task; there is one."""
    quality: str = "exploration"
    """Behaviour: `exploration` (moves about and touches the drawer now and then), `random`
    (uniform actions), `expert` (a script that closes the drawer, successful episodes alone),
    `medium` (the script with much noise) or `medium_expert` (half the episodes of each)."""
    size: int = 64
    """Height and width of the image in pixels."""
    episodes: int | None = None
    """Episodes to collect; by default 1000 of `exploration`, as the paper has, else 200."""
    seed: int = 0
    """Seed of the first states and of the behaviour's choices."""
    noise: float = 0.1
    """Standard deviation of the Gaussian noise on an expert's actions, which lie in [-1, 1]."""
    medium_noise: float = 1.0
    """The same of a medium behaviour."""
    interest: float = 0.25
    """Share of the exploration's goals that are about the drawer's handle."""
    rendering: Rendering = "fast"
    """`fast` leaves out multisampling, shadows and reflections; `reference` draws as MuJoCo does
    unless told, many times more slowly."""
    camera: Camera = "overhead"
    """Camera, as in the environment."""
    horizon: int = HORIZON
    """Steps of an episode."""
    observation: Observation = "pixels"
    """An image, the state vector, or the image with the arm's own state."""

    def __post_init__(self) -> None:
        quality = settle_quality(self, QUALITIES, "the desk")
        refuse_idle(
            self,
            {"noise": ("expert",), "medium_noise": ("medium",), "interest": ("exploration",)},
        )
        self.environment()
        check_at_least("noise", self.noise, 0)
        check_at_least("medium_noise", self.medium_noise, 0)
        check_at_least("seed", self.seed, 0)
        if not 0 <= self.interest <= 1:
            raise VRLError(f"interest is {self.interest}; it is a share, from 0 to 1.")
        # One episode cannot be half of each.
        check_at_least("episodes", self.length(), 2 if quality == "medium_expert" else 1)

    def length(self) -> int:
        """Return the number of episodes: the given, else the behaviour's own."""
        if self.episodes is not None:
            return self.episodes
        return EXPLORATION_EPISODES if self.quality == "exploration" else OTHER_EPISODES

    def noise_of(self, quality: str) -> float:
        """Return the noise on the script's actions as `expert` or `medium`."""
        return self.noise if quality == "expert" else self.medium_noise

    def environment(self) -> Desk:
        """Return the environment that the episodes come from."""
        return Desk(
            task=self.task,
            size=self.size,
            horizon=self.horizon,
            camera=self.camera,
            rendering=self.rendering,
            observation=self.observation,
        )

    def build(self) -> Dataset:
        """Return the episodes, each made when it is asked for.

        Raises `VRLError` when nothing can draw, and for releases that do not run together.
        """
        MUJOCO.require()
        from vrl_envs.desk.dataset import DeskEpisodes

        return DeskEpisodes(self)

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what the episodes depend on: settings, model, whatever moves it, the simulator."""
        from vrl_core.fingerprint import describe

        packages = tuple(MUJOCO.supported)
        return drawing_versions(self) | describe(self, files=MADE_BY, packages=packages)


MODEL = Path(__file__).with_name("desk.xml")
"""The model of desk and arm."""
MADE_BY = tuple(
    MODEL.with_name(name)
    for name in ("desk.xml", "environment.py", "arm.py", "behaviour.py", "dataset.py")
)
"""Files that episodes are other ones with when they change: the simulation is ours."""
