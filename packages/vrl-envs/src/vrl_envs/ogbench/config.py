"""Settings of OGBench's tasks and of the data that is collected here. Imports no simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from vrl_core.errors import VRLError
from vrl_core.hooks import DatasetConfig, EnvironmentConfig
from vrl_envs.drawing.revision import drawing_versions
from vrl_envs.ogbench.tasks import (
    TASKS,
    canonical_task,
    check_images,
    default_horizon,
    environment_of,
    has_arm,
)
from vrl_envs.releases import OGBENCH
from vrl_envs.settings import Observation, Rendering, check_at_least, check_view, settle_quality

if TYPE_CHECKING:
    import gymnasium

    from vrl_core.episodes import Dataset

QUALITIES = ("random", "play", "noisy")
RECORDED_STEPS = 1000
"""Steps of an episode of OGBench's `play` and `noisy` data."""

SHOWN_TASKS = ("cube_single_task1", "scene_task1", "puzzle_4x4_task1", "antmaze_medium_task1")
"""Those of the gallery."""


@dataclass(frozen=True, kw_only=True)
class OGBench(EnvironmentConfig):
    """A task of OGBench with rewards: its single-task (`singletask`) variants."""

    layout_settings: ClassVar[tuple[str, ...]] = ("size", "observation")

    task: str = "cube_single_task2"
    """Task, such as `cube_single_task1`, `scene_task2`, `puzzle_3x3_task4` or
    `antmaze_medium_task1`; OGBench's own names are understood."""
    size: int = 64
    """Height and width of the image in pixels; OGBench's are 64."""
    horizon: int | None = None
    """Steps after which an episode is cut; the task's own unless given."""
    rendering: Rendering = "reference"
    """`reference` draws as OGBench does, bit for bit; `fast` leaves out multisampling, shadows,
    reflections and, of fine meshes, what is smaller than 4 mm."""
    observation: Observation = "pixels"
    """An image, OGBench's state vector, or a dictionary of the image and, as state, the robot's own
    joints, without objects and places."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "task", canonical_task(self.task))
        object.__setattr__(self, "horizon", self.steps())
        check_at_least("horizon", self.steps(), 1)
        check_view(self.size, self.rendering, self.observation)
        if self.observation != "state":
            check_images(self.task)

    def steps(self) -> int:
        """Return the steps of an episode: the given, else the task's own."""
        return default_horizon(self.task) if self.horizon is None else self.horizon

    @classmethod
    def gallery(cls) -> Mapping[str, Self]:
        """Return a task of each kind of scene."""
        return {task: cls(task=task) for task in SHOWN_TASKS}

    def versions(self) -> Mapping[str, str]:
        """Return the revision of the way images are drawn, if it has one."""
        return drawing_versions(self)

    def build(self) -> gymnasium.Env[Any, Any]:
        """Create the environment.

        Raises `VRLError` when OGBench is missing or of another release, or nothing can draw.
        """
        OGBENCH.require()
        from vrl_envs.ogbench.environment import OGBenchEnvironment

        return OGBenchEnvironment(self)


@dataclass(frozen=True, kw_only=True)
class OGBenchDataset(DatasetConfig):
    """Episodes collected here from OGBench, with its scripted oracles."""

    tasks: ClassVar[tuple[str, ...]] = TASKS
    qualities: ClassVar[tuple[str, ...]] = QUALITIES

    task: str = "cube_single_task2"
    """Task, such as `cube_single_task1`, `scene_task2` or `puzzle_3x3_task4`; it chooses the
    rewards, and of `random` where episodes begin."""
    quality: str = "play"
    """Behaviour: `play` (OGBench's oracle that follows noisy plans to one random target after
    another), `noisy` (its closed-loop oracle with noise and random actions), both for the arm's
    tasks alone, or `random` (uniform actions in the task itself)."""
    size: int = 64
    """Height and width of the image in pixels; OGBench's are 64."""
    episodes: int = 100
    """Episodes to collect; OGBench's own data has 1000 or more."""
    seed: int = 0
    """Seed of the first states and of the behaviour's choices."""
    horizon: int | None = None
    """Steps of an episode; by default 1000, as OGBench's data, and of `random` the task's own."""
    rendering: Rendering = "fast"
    """`fast` leaves out multisampling, shadows, reflections and what is small on fine meshes;
    `reference` draws as OGBench does, several times more slowly."""
    observation: Observation = "pixels"
    """An image, OGBench's state vector, or the image and the robot's own joints."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "task", canonical_task(self.task))
        settle_quality(self, QUALITIES)
        if self.quality != "random" and not has_arm(self.task):
            raise VRLError(
                f"OGBench's scripted oracles move its arm (cube, scene, puzzle); the agents that "
                f"made its data of {environment_of(self.task)} are not in the library. Collect "
                "--quality random, or convert OGBench's own files: vrl data convert FILE.npz"
            )
        check_at_least("episodes", self.episodes, 1)
        check_at_least("seed", self.seed, 0)
        check_at_least("horizon", self.steps(), 1)
        self.environment()

    def steps(self) -> int:
        """Return the steps of an episode: the given, else the behaviour's own."""
        own = default_horizon(self.task) if self.quality == "random" else RECORDED_STEPS
        return own if self.horizon is None else self.horizon

    def environment(self) -> OGBench:
        """Return the environment that the data is evaluated in, with the task's own horizon."""
        return OGBench(
            task=self.task,
            size=self.size,
            rendering=self.rendering,
            observation=self.observation,
        )

    def build(self) -> Dataset:
        """Return the episodes, each made when it is asked for.

        Raises `VRLError` when OGBench is missing or of another release.
        """
        OGBENCH.require()
        from vrl_envs.ogbench.dataset import OGBenchEpisodes

        return OGBenchEpisodes(self)

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what the episodes depend on: the settings, and the simulator that acts."""
        from vrl_core.fingerprint import describe

        return drawing_versions(self) | describe(self, files=(), packages=tuple(OGBENCH.supported))
