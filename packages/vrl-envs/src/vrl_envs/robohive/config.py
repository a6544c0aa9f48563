"""Settings of RoboHive's environments and their dataset. Imports no simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from vrl_core.errors import VRLError
from vrl_core.hooks import DatasetConfig, EnvironmentConfig
from vrl_envs.drawing.revision import drawing_versions
from vrl_envs.idle_settings import refuse_idle
from vrl_envs.qualities import qualities_in
from vrl_envs.releases import MUJOCO
from vrl_envs.robohive.tasks import (
    PREFIX,
    PRESETS,
    TASKS,
    check_task,
    default_cameras,
    default_medium_noise,
    hides_state,
    joint_values,
    without_prefix,
)
from vrl_envs.settings import (
    Observation,
    Rendering,
    camera_names,
    check_at_least,
    check_choice,
    check_view,
    settle_quality,
)

if TYPE_CHECKING:
    import gymnasium

    from vrl_core.episodes import Dataset

Reward = Literal["dense", "sparse", "solved", "objects"]

REWARDS = ("dense", "sparse", "solved", "objects")
QUALITIES = ("random", "medium", "medium_expert", "expert")

SHOWN_TASKS = (
    "pen-v1",
    "door-v1",
    "hammer-v1",
    "relocate-v1",
    "baoding-v1",
    "franka_slide_open-v3",
    "kitchen_mixed",
)
"""Those of the gallery."""


@dataclass(frozen=True, kw_only=True)
class RoboHiveTask:
    """A task of RoboHive and how it is seen."""

    task: str = "pen-v1"
    """RoboHive's id, such as `pen-v1`, `FK1_MicroOpenFixed-v4` or `franka_micro_open-v3` (with or
    without `robohive:` before it), or `kitchen_mixed` or `kitchen_partial`: `FK1_RelaxFixed-v4`
    with the `objects` of D4RL's kitchens."""
    size: int = 64
    """Height and width of the images in pixels."""
    cameras: str | None = None
    """Cameras joined by `+`, such as `left_cam+Franka_wrist_cam`: the first is the field `image`,
    others are `image_<camera>`. `free` is the model's free camera. By default `vil_camera` of the
    hands, `left_cam` of the kitchens, else the model's first."""
    reward: Reward | None = None
    """`dense` or `sparse`: RoboHive's own; `solved`: 1 for each step that finds the task solved;
    `objects`: the number of `objects` that are where they should be, at each step, as in MOTO.
    `dense`, of `kitchen_mixed` and `kitchen_partial` `objects`, unless given."""
    horizon: int | None = None
    """Steps of an episode; as RoboHive registers it unless given."""
    observation: Observation = "pixels"
    """Images, RoboHive's state vector, or images and, as state, what the robot feels: RoboHive's
    proprioception where it has one, else the positions of the robot's joints."""
    objects: str | None = None
    """Kitchens alone: what must be brought where, joined by `+`: `microwave`, `kettle`,
    `bottom_burner`, `top_burner`, `light_switch`, `slide_cabinet`, `hinge_cabinet`, or a joint and
    its position, such as `knob1_joint=-1.57`. RoboHive's `obj_goal`."""
    objects_start: str | None = None
    """Kitchens alone: joints that begin elsewhere than in RoboHive's task, such as
    `micro0joint=-0.5`. Its `obj_init`."""
    interact_site: str | None = None
    """Kitchens alone: the site that the dense reward draws the hand to, such as
    `microhandle_site`."""
    assets: Path | None = None
    """Folder of RoboHive's models (`simhive`); by default the one in RoboHive's own folder, where
    `robohive_init` puts it, else `simhive` in `$VRL_HOME`."""

    def wanted(self) -> dict[str, float]:
        """Return the joints that must be moved and where to, if they are given."""
        return joint_values(self.objects, "objects") if self.objects else {}

    def starts(self) -> dict[str, float]:
        """Return the joints that begin elsewhere than in RoboHive's task and where."""
        return joint_values(self.objects_start, "objects_start") if self.objects_start else {}

    def reward_name(self) -> str:
        """Return the reward: the given, else the task's own."""
        if self.reward is not None:
            return self.reward
        return "objects" if self.task in PRESETS else "dense"

    def settle(self) -> None:
        """Fill in what a task implies. Raises `VRLError` for what does not exist or fit."""
        object.__setattr__(self, "task", without_prefix(self.task))
        check_task(self.task)
        object.__setattr__(self, "objects", self.objects or PRESETS.get(self.task, ("", None))[1])
        object.__setattr__(self, "cameras", self.cameras or default_cameras(self.task))
        object.__setattr__(self, "reward", self.reward_name())
        if self.cameras:
            camera_names(self.cameras)  # says what is wrong with them
        check_choice("reward", self.reward_name(), REWARDS)
        if self.horizon is not None:
            check_at_least("horizon", self.horizon, 1)
        if self.observation == "state" and hides_state(self.task):
            raise VRLError(
                f"{self.task} shows no state (RoboHive's vector of it is the time, twice): ask for "
                "--environment.observation both, or for the task without _v2d."
            )
        self._check_objects()

    def _check_objects(self) -> None:
        given = [name for name in ("objects", "objects_start", "interact_site") if self._has(name)]
        if given and not self.task.startswith(("FK1_", "franka_", "kitchen_")):
            raise VRLError(
                f"{given[0]} is a setting of RoboHive's kitchens (FK1_..., franka_..., "
                f"kitchen_mixed, kitchen_partial); {self.task} has no objects to choose."
            )
        if self.reward == "objects" and not self.objects:
            raise VRLError(
                "The reward 'objects' counts the objects that are where they should be: name "
                "them, such as objects microwave+kettle, with a kitchen like FK1_RelaxFixed-v4."
            )
        self.wanted(), self.starts()  # says what is wrong with them

    def _has(self, name: str) -> bool:
        return getattr(self, name) is not None


@dataclass(frozen=True, kw_only=True)
class RoboHive(RoboHiveTask, EnvironmentConfig):
    """A task of RoboHive: Adroit's hand, Franka's kitchen and appliances, ..."""

    layout_settings: ClassVar[tuple[str, ...]] = ("size", "observation")

    rendering: Rendering = "reference"
    """`reference` draws as MuJoCo does unless told, which takes a kitchen half a second; `fast`
    leaves out multisampling, shadows, reflections and, of fine meshes, what is smaller than
    4 mm."""

    def __post_init__(self) -> None:
        self.settle()
        check_view(self.size, self.rendering, self.observation)

    def robohive_id(self) -> str:
        """Return RoboHive's own id."""
        return PRESETS[self.task][0] if self.task in PRESETS else self.task

    @classmethod
    def gallery(cls) -> Mapping[str, Self]:
        """Return hands, an appliance, and kitchens."""
        return {task: cls(task=task) for task in SHOWN_TASKS}

    def versions(self) -> Mapping[str, str]:
        """Return the revision of the way images are drawn, if it has one."""
        return drawing_versions(self)

    def build(self) -> gymnasium.Env[Any, Any]:
        """Create the environment.

        Raises `VRLError` when RoboHive or its assets are missing, or the task has no such camera,
        and for releases that do not run together.
        """
        MUJOCO.require()
        from vrl_envs.robohive.environment import RoboHiveEnvironment

        return RoboHiveEnvironment(self)


@dataclass(frozen=True, kw_only=True)
class RoboHiveDataset(RoboHiveTask, DatasetConfig):
    """Episodes collected here from RoboHive, at random or with policies of yours."""

    tasks: ClassVar[tuple[str, ...]] = tuple(f"{PREFIX}{task}" for task in sorted(TASKS))
    task_prefix: ClassVar[str | None] = PREFIX
    qualities: ClassVar[tuple[str, ...]] = QUALITIES

    quality: str = "random"
    """Behaviour: `random`, `expert` (the policy in `behaviours`), `medium` (the same with much
    noise) or `medium_expert` (half the episodes of each)."""
    episodes: int = 100
    """Episodes to collect."""
    seed: int = 0
    """Seed of the first states and of the noise."""
    noise: float = 0.0
    """Standard deviation of the Gaussian noise on an expert's actions, which lie in [-1, 1]."""
    medium_noise: float | None = None
    """The same of a medium behaviour; 0.5 of the pen, 0.2 of door and relocate, else 0.3, unless
    given."""
    behaviours: str | None = None
    """Folder of policies: DAPG's experts as `adroit_<pen, door, hammer, relocate>.npz`, or
    `<task>.npz`."""
    rendering: Rendering = "fast"
    """`fast` leaves out multisampling, shadows, reflections and what is small on fine meshes;
    `reference` draws as MuJoCo does unless told, twenty times more slowly."""

    def __post_init__(self) -> None:
        quality = settle_quality(self, QUALITIES, "RoboHive")
        refuse_idle(
            self,
            {
                "noise": ("expert",),
                "medium_noise": ("medium",),
                "behaviours": ("medium", "expert"),
            },
        )
        self.settle()
        self.environment()
        check_at_least("noise", self.noise, 0)
        check_at_least("medium_noise", self.noise_of("medium"), 0)
        # One episode cannot be half of each.
        check_at_least("episodes", self.episodes, len(qualities_in(quality)))
        check_at_least("seed", self.seed, 0)

    def noise_of(self, quality: str) -> float:
        """Return the noise on the actions of `expert` or `medium`: the given, else the task's."""
        if quality != "medium":
            return self.noise
        return default_medium_noise(self.task) if self.medium_noise is None else self.medium_noise

    def environment(self) -> RoboHive:
        """Return the environment that the episodes come from."""
        return RoboHive(**{field.name: getattr(self, field.name) for field in fields(RoboHive)})

    def variant(self) -> str:
        """Return what tells D4RL's kitchens of RoboHive from those of other simulators."""
        return "robohive" if self.task in PRESETS else ""

    def build(self) -> Dataset:
        """Return the episodes, each made when it is asked for.

        Raises `VRLError` when RoboHive, its assets or the policy are missing, and for releases
        that do not run together.
        """
        MUJOCO.require()
        from vrl_envs.robohive.dataset import RoboHiveEpisodes

        return RoboHiveEpisodes(self)

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what the episodes depend on: the settings, the policy and the simulator.

        Raises `VRLError` as `build` does.
        """
        MUJOCO.require()
        from vrl_core.fingerprint import describe
        from vrl_envs.robohive.dataset import policy_files
        from vrl_envs.robohive.package import PACKAGES

        return drawing_versions(self) | describe(self, files=policy_files(self), packages=PACKAGES)
