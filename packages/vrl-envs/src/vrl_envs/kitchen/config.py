"""Settings of Franka Kitchen. Imports no simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from vrl_core.errors import VRLError
from vrl_core.hooks import DatasetConfig, EnvironmentConfig, ReferenceReturns
from vrl_envs.drawing.revision import drawing_versions
from vrl_envs.idle_settings import refuse_idle
from vrl_envs.kitchen.tasks import CAMERAS, CENTRAL, TASKS, check_task, split_objects
from vrl_envs.releases import ROBOTICS
from vrl_envs.scores import d4rl_references
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

Reward = Literal["presence", "completions"]
QUALITIES = ("random", "medium", "medium_expert", "expert", "play", "demonstrations")
SETTINGS_OF = {
    "noise": ("play", "expert"),
    "medium_noise": ("medium",),
    "whole_task": ("play",),
}
"""Behaviours that each setting is one of."""
HORIZON = 280
"""Steps of an episode, in D4RL and Gymnasium Robotics."""


@dataclass(frozen=True, kw_only=True)
class Kitchen(EnvironmentConfig):
    """Franka Kitchen: an arm that opens, moves and switches what its task names."""

    layout_settings: ClassVar[tuple[str, ...]] = ("size", "observation")

    task: str = "kitchen_mixed"
    """Names the objects: D4RL's `kitchen_mixed`, `kitchen_partial`, `kitchen_complete`, MOTO's
    `kitchen_moto_mixed` and `kitchen_moto_partial` (which swap D4RL's), or one object, such as
    `kitchen_microwave`."""
    objects: str | None = None
    """Objects to bring in place, joined by `+`, such as `microwave+kettle`; the task's unless
    given."""
    size: int = 64
    """Height and width of the image in pixels."""
    action_repeat: int = 1
    """Simulator steps for each action; their rewards are summed."""
    horizon: int = HORIZON
    """Simulator steps of an episode; 280 is D4RL's."""
    reward: Reward = "presence"
    """`presence`: 1 for each object in place, at each step (MOTO); `completions`: 1 for each object
    that comes into place for the first time (D4RL)."""
    end_when_completed: bool | None = None
    """Terminate once every object has been in place, `True` or `False`; unless given, only with the
    reward `completions`, as presence would stop paying."""
    robot_noise_ratio: float = 0.01
    """Noise of the robot's sensors, on which its motion rests, as a share of 0.1 rad and 0.1 m;
    Gymnasium Robotics has 0.01, D4RL 0.1."""
    camera: str = CENTRAL
    """`central` (Relay Policy Learning, D4RL) or `lexa`, from above; `central+lexa` are both, the
    first as `image`, the other as `image_lexa`."""
    rendering: Rendering = "reference"
    """`reference` draws as MuJoCo does unless told; `fast` leaves out multisampling, shadows and
    reflections, and what is smaller than 1.5 cm on the arm."""
    observation: Observation = "pixels"
    """An image, the state vector of robot and kitchen, or a dictionary of the image and, as state,
    the robot's joints."""

    def __post_init__(self) -> None:
        check_task(self.task)
        object.__setattr__(self, "objects", "+".join(self.object_names()))
        if self.end_when_completed is None:
            object.__setattr__(self, "end_when_completed", self.reward == "completions")
        check_cameras("Kitchen camera", self.camera, CAMERAS)
        check_at_least("action_repeat", self.action_repeat, 1)
        check_at_least("horizon", self.horizon, 1)
        check_at_least("robot_noise_ratio", self.robot_noise_ratio, 0)
        check_choice("reward", self.reward, ("presence", "completions"))
        check_view(self.size, self.rendering, self.observation)

    def object_names(self) -> tuple[str, ...]:
        """Return the objects to bring in place: the given, else the task's."""
        return TASKS[self.task] if self.objects is None else split_objects(self.objects)

    @classmethod
    def gallery(cls) -> Mapping[str, Self]:
        """Return D4RL's two tasks."""
        return {task: cls(task=task) for task in ("kitchen_mixed", "kitchen_partial")}

    def versions(self) -> Mapping[str, str]:
        """Return the revision of the way images are drawn, if it has one."""
        return drawing_versions(self)

    def build(self) -> gymnasium.Env[Any, Any]:
        """Create the environment.

        Raises `VRLError` when Gymnasium Robotics is missing or of a release that does not run here.
        """
        ROBOTICS.require()
        from vrl_envs.kitchen.environment import KitchenEnvironment

        return KitchenEnvironment(self)

    def references(self) -> ReferenceReturns | None:
        """Return D4RL's returns, where the reward and the number of objects are D4RL's."""
        d4rls = self.reward == "completions" and len(self.object_names()) == 4
        return d4rl_references("kitchen") if d4rls else None


@dataclass(frozen=True, kw_only=True)
class KitchenDataset(DatasetConfig):
    """Episodes of Franka Kitchen: a scripted policy's, collected here, or people's, drawn here."""

    tasks: ClassVar[tuple[str, ...]] = tuple(sorted(TASKS))
    qualities: ClassVar[tuple[str, ...]] = QUALITIES

    task: str = "kitchen_mixed"
    """Names the objects whose places pay, as in the environment."""
    quality: str = "expert"
    """Behaviour: `expert` (the task's objects in order, successful episodes alone), `medium` (the
    same with much noise, whatever comes of it), `medium_expert` (half the episodes of each), `play`
    (four objects that each episode draws), `random`, or `demonstrations` (people's, from files)."""
    objects: str | None = None
    """Objects to bring in place, joined by `+`; the task's unless given."""
    size: int = 64
    """Height and width of the image in pixels."""
    episodes: int | None = None
    """Episodes to collect; by default 563 of `play`, as MOTO has, all of `demonstrations`, and 100
    of the others."""
    seed: int = 0
    """Seed of the sensors' noise and of the behaviour's choices."""
    noise: float = 0.1
    """Standard deviation of the Gaussian noise on the actions of `expert` and `play`, which lie in
    [-1, 1]."""
    medium_noise: float = 0.3
    """The same of `medium`."""
    whole_task: bool = True
    """Whether `play` may draw all of the task's objects into one episode. D4RL's `mixed` has no
    episode that completes its task."""
    demonstrations: str | None = None
    """D4RL's `.hdf5` file of Kitchen or the folder of Minari's dataset of it, for the quality
    `demonstrations`."""
    rendering: Rendering = "fast"
    """`fast` leaves out multisampling, shadows, reflections and what is small on the arm;
    `reference` draws as MuJoCo does unless told, many times more slowly."""
    camera: str = CENTRAL
    """Camera or cameras, as in the environment."""
    action_repeat: int = 1
    """Simulator steps for each action; the scripted policy acts at every one."""
    horizon: int = HORIZON
    """Simulator steps of an episode."""
    reward: Reward = "presence"
    """`presence` (MOTO) or `completions` (D4RL)."""
    end_when_completed: bool | None = None
    """Terminate once every object has been in place; by default only with `completions`."""
    robot_noise_ratio: float = 0.01
    """Noise of the robot's sensors, as in the environment."""
    observation: Observation = "pixels"
    """An image, the state vector, or the image with the robot's joints."""

    def __post_init__(self) -> None:
        quality = settle_quality(self, QUALITIES, "Kitchen")
        refuse_idle(self, SETTINGS_OF)
        settled = self.environment()
        object.__setattr__(self, "objects", settled.objects)
        object.__setattr__(self, "end_when_completed", settled.end_when_completed)
        check_at_least("noise", self.noise, 0)
        check_at_least("medium_noise", self.medium_noise, 0)
        check_at_least("seed", self.seed, 0)
        if self.episodes is not None:
            # One episode cannot be half of each.
            check_at_least("episodes", self.episodes, 2 if quality == "medium_expert" else 1)
        self._check_behaviour()

    def _check_behaviour(self) -> None:
        if (self.quality == "demonstrations") != (self.demonstrations is not None):
            raise VRLError(
                "Demonstrations are people's episodes in files of yours: give both, --quality "
                "demonstrations --demonstrations kitchen_microwave_kettle_light_slider-v0.hdf5 "
                "(D4RL's) or ~/.minari/datasets/D4RL/kitchen/mixed-v2 (Minari's)."
            )
        if self.quality == "demonstrations" and self.observation == "state":
            raise VRLError(
                "Demonstrations are drawn here; D4RL's file has no velocities, which Kitchen's "
                "states have. Ask for pixels or both, or read the states: vrl data convert"
            )
        if self.quality not in ("random", "demonstrations") and self.action_repeat != 1:
            raise VRLError(
                f"action_repeat is {self.action_repeat}; the scripted policy acts at every "
                "simulator step. Only random actions can be repeated."
            )

    def length(self) -> int | None:
        """Return the number of episodes: the given, else the behaviour's own; None for all."""
        own = {"play": 563, "demonstrations": None}.get(self.quality, 100)
        return own if self.episodes is None else self.episodes

    def environment(self) -> Kitchen:
        """Return the environment that the episodes come from."""
        return Kitchen(**{field.name: getattr(self, field.name) for field in fields(Kitchen)})

    def variant(self) -> str:
        """Return what sets these episodes apart for the name of their folder: other objects."""
        own = self.objects == "+".join(TASKS[self.task])
        return "" if own else str(self.objects).replace("+", "-").replace("_", "")

    def build(self) -> Dataset:
        """Return the episodes, each made when it is asked for.

        Raises `VRLError` when Gymnasium Robotics is missing or of a release that does not run here,
        or the demonstrations' file is missing or not Kitchen's.
        """
        ROBOTICS.require()
        if self.demonstrations is not None:
            from vrl_envs.kitchen.replay import DrawnDemonstrations

            return DrawnDemonstrations(self)
        from vrl_envs.kitchen.dataset import KitchenEpisodes

        return KitchenEpisodes(self)

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what the episodes depend on: settings, file, and the simulator that acts."""
        from vrl_core.fingerprint import describe

        files = () if self.demonstrations is None else (Path(self.demonstrations),)
        return drawing_versions(self) | describe(
            self, files=files, packages=tuple(ROBOTICS.supported)
        )
