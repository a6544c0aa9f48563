"""Settings of MetaWorld's tasks and their dataset. Imports no simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from vrl_core.errors import VRLError
from vrl_core.hooks import DatasetConfig, EnvironmentConfig
from vrl_envs.drawing.revision import drawing_versions
from vrl_envs.idle_settings import refuse_idle
from vrl_envs.metaworld.tasks import (
    CAMERAS,
    MOTO_TASKS,
    SAWYER_DOOR,
    TASKS,
    check_task,
    default_camera,
    default_episodes,
    default_noise,
    default_size,
)
from vrl_envs.releases import METAWORLD
from vrl_envs.settings import (
    Observation,
    Rendering,
    check_at_least,
    check_cameras,
    check_choice,
    check_view,
    settle_quality,
)

if TYPE_CHECKING:
    import gymnasium

    from vrl_core.episodes import Dataset

Reward = Literal["sparse", "dense"]

QUALITIES = ("random", "medium", "medium_expert", "expert")
MOTO_HORIZON = 200
"""Simulator steps of an episode: MOTO's 10 episodes of a task have 1,010 rows (its Appendix C.2),
101 of each, which are 100 actions repeated twice. Its Table 1 has the returns of such episodes."""
LONGEST_HORIZON = 500
"""Simulator steps after which MetaWorld itself refuses to go on."""


@dataclass(frozen=True, kw_only=True)
class MetaWorld(EnvironmentConfig):
    """A task of MetaWorld, or LOMPO's Sawyer Door Open."""

    layout_settings: ClassVar[tuple[str, ...]] = ("size", "observation")

    task: str = "drawer_open"
    """Task, such as `drawer_open` or `bin_picking`; `sawyer_door_open` is LOMPO's, with the door
    always in one place."""
    size: int | None = None
    """Height and width of the image in pixels; 64, of `sawyer_door_open` 128, unless given."""
    action_repeat: int = 2
    """Simulator steps for each action."""
    horizon: int = MOTO_HORIZON
    """Simulator steps of an episode, at most MetaWorld's 500; 200 is MOTO's."""
    camera: str | None = None
    """`corner`, `corner2`, `corner3`, `corner4`, `topview`, `behindGripper`, `gripperPOV`, or
    LOMPO's view `sawyer_door`; `corner4`, of `sawyer_door_open` its own, unless given. Of several
    joined by `+` the first is the field `image`, others are `image_<camera>`."""
    reward: Reward = "sparse"
    """`sparse`: 1 for an action that finds the task solved, else 0; `dense`: MetaWorld's own,
    summed over an action's simulator steps."""
    rendering: Rendering = "reference"
    """`reference` draws as MuJoCo does unless told; `fast` leaves out multisampling, shadows,
    reflections and, of fine meshes, what is smaller than 8 mm."""
    observation: Observation = "pixels"
    """An image, MetaWorld's state vector with the goal, or a dictionary of the image and, as state,
    the hand's position and the gripper's opening."""

    def __post_init__(self) -> None:
        check_task(self.task)
        object.__setattr__(self, "size", self.image_size())
        object.__setattr__(self, "camera", self.camera_name())
        check_cameras("MetaWorld camera", self.camera_name(), CAMERAS)
        check_view(self.size, self.rendering, self.observation)
        check_choice("reward", self.reward, ("sparse", "dense"))
        check_at_least("action_repeat", self.action_repeat, 1)
        check_at_least("horizon", self.horizon, 1)
        if self.horizon > LONGEST_HORIZON:
            raise VRLError(f"horizon is {self.horizon}; MetaWorld's longest is {LONGEST_HORIZON}.")

    def image_size(self) -> int:
        """Return height and width of the image: the given, else the task's own."""
        return default_size(self.task) if self.size is None else self.size

    def camera_name(self) -> str:
        """Return the camera: the given, else the task's own."""
        return default_camera(self.task) if self.camera is None else self.camera

    def versions(self) -> Mapping[str, str]:
        """Return the revision of the way images are drawn, if it has one."""
        return drawing_versions(self)

    def build(self) -> gymnasium.Env[Any, Any]:
        """Create the environment.

        Raises `VRLError` when MetaWorld is missing or of a release that does not run here.
        """
        METAWORLD.require()
        from vrl_envs.metaworld.environment import MetaWorldEnvironment

        return MetaWorldEnvironment(self)

    @classmethod
    def gallery(cls) -> Mapping[str, Self]:
        """Return MOTO's ten tasks and LOMPO's door."""
        return {task: cls(task=task) for task in (*MOTO_TASKS, SAWYER_DOOR)}


@dataclass(frozen=True, kw_only=True)
class MetaWorldDataset(DatasetConfig):
    """Episodes collected here from MetaWorld with its scripted policies."""

    tasks: ClassVar[tuple[str, ...]] = tuple(sorted(TASKS))
    qualities: ClassVar[tuple[str, ...]] = QUALITIES

    task: str = "drawer_open"
    """Task, such as `drawer_open`, `bin_picking` or `sawyer_door_open`."""
    quality: str = "expert"
    """Behaviour: `expert` (the scripted policy, successful episodes alone), `medium` (the same with
    much noise, whatever comes of it), `medium_expert` (half the episodes of each) or `random`."""
    size: int | None = None
    """Height and width of the image in pixels; 64, of `sawyer_door_open` 128, unless given."""
    episodes: int | None = None
    """Episodes to collect; by default 10 of `expert`, as MOTO has, and 200 of the others and of
    `sawyer_door_open`."""
    seed: int = 0
    """Seed of the first states and of the noise."""
    noise: float | None = None
    """Standard deviation of the Gaussian noise on an expert's actions, which lie in [-1, 1]; 0, of
    `sawyer_door_open` 0.1, unless given."""
    medium_noise: float | None = None
    """The same of a medium behaviour; 0.5, of `sawyer_door_open` 1, unless given."""
    rendering: Rendering = "fast"
    """`fast` leaves out multisampling, shadows, reflections and what is small on fine meshes;
    `reference` draws as MuJoCo does unless told, many times more slowly."""
    camera: str | None = None
    """Camera or cameras, as in the environment."""
    action_repeat: int = 2
    """Simulator steps for each action."""
    horizon: int = MOTO_HORIZON
    """Simulator steps of an episode, at most MetaWorld's 500; 200 is MOTO's."""
    reward: Reward = "sparse"
    """`sparse` (1 for an action that finds the task solved) or `dense` (MetaWorld's own)."""
    observation: Observation = "pixels"
    """An image, the state vector with the goal, or the image with hand and gripper."""

    def __post_init__(self) -> None:
        quality = settle_quality(self, QUALITIES, "MetaWorld")
        refuse_idle(self, {"noise": ("expert",), "medium_noise": ("medium",)})
        self.environment()
        check_at_least("noise", self.noise_of("expert"), 0)
        check_at_least("medium_noise", self.noise_of("medium"), 0)
        # One episode cannot be half of each.
        check_at_least("episodes", self.length(), 2 if quality == "medium_expert" else 1)
        check_at_least("seed", self.seed, 0)

    def length(self) -> int:
        """Return the number of episodes: the given, else the behaviour's own."""
        return default_episodes(self.task, self.quality) if self.episodes is None else self.episodes

    def noise_of(self, quality: str) -> float:
        """Return the noise on the actions of `expert` or `medium`: the given, else the task's."""
        given = self.noise if quality == "expert" else self.medium_noise
        return default_noise(self.task, quality) if given is None else given

    def environment(self) -> MetaWorld:
        """Return the environment that the episodes come from."""
        return MetaWorld(
            task=self.task,
            size=self.size,
            action_repeat=self.action_repeat,
            horizon=self.horizon,
            camera=self.camera,
            reward=self.reward,
            rendering=self.rendering,
            observation=self.observation,
        )

    def build(self) -> Dataset:
        """Return the episodes, each made when it is asked for.

        Raises `VRLError` when MetaWorld is missing or of a release that does not run here.
        """
        METAWORLD.require()
        from vrl_envs.metaworld.dataset import MetaWorldEpisodes

        return MetaWorldEpisodes(self)

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what the episodes depend on: the settings, and the simulator that acts."""
        from vrl_core.fingerprint import describe

        return drawing_versions(self) | describe(
            self, files=(), packages=tuple(METAWORLD.supported)
        )
