"""Settings of Gymnasium's MuJoCo tasks and their dataset. Imports no simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from vrl_core.errors import VRLError
from vrl_core.hooks import DatasetConfig, EnvironmentConfig, ReferenceReturns
from vrl_envs.idle_settings import refuse_idle
from vrl_envs.releases import GYMNASIUM_MUJOCO
from vrl_envs.scores import d4rl_references
from vrl_envs.settings import (
    QUALITIES,
    check_at_least,
    check_choice,
    check_known,
    settle_quality,
)

if TYPE_CHECKING:
    import gymnasium

    from vrl_core.episodes import Dataset

Version = Literal["v4", "v5"]
JumpVelocity = Literal["capped", "printed"]

STANDARD_TASKS = ("halfcheetah", "hopper", "walker2d", "ant")
JUMP_WEIGHTS: Mapping[str, float] = {"halfcheetah_capped": 0.0, "halfcheetah_jump": 15.0}
"""Weight of the height in the half-cheetah's reward (MOPO, Appendix G.1), by task."""
ANT_ANGLES: Mapping[str, float] = {
    "ant_forward": 0.0,
    "ant_angle": 30.0,
    "ant_angle_45": 45.0,
    "ant_angle_60": 60.0,
    "ant_angle_90": 90.0,
}
"""Direction in degrees in which the ant is to run (MOPO, Appendix G.1 and Table 4), by task."""
TASKS = (*STANDARD_TASKS, *JUMP_WEIGHTS, *ANT_ANGLES)


def body_of(task: str) -> str:
    """Return the standard task that has this task's body."""
    if task in JUMP_WEIGHTS:
        return "halfcheetah"
    return "ant" if task in ANT_ANGLES else task


def behaviour_task(task: str) -> str:
    """Return the task whose behaviours collect this task's data.

    Those of `halfcheetah_jump` only ran and those of `ant_angle` ran straight on.
    """
    if task in JUMP_WEIGHTS:
        return "halfcheetah_capped"
    return "ant_forward" if task in ANT_ANGLES else task


@dataclass(frozen=True, kw_only=True)
class GymMuJoCo(EnvironmentConfig):
    """A MuJoCo task of Gymnasium on states, or one of MOPO's with another reward."""

    task: str = "halfcheetah"
    """`halfcheetah`, `hopper`, `walker2d`, `ant`; `halfcheetah_jump` and `ant_angle` (30 degrees;
    `ant_angle_45`, `_60`, `_90`) are MOPO's, and `halfcheetah_capped` and `ant_forward` what their
    data was collected in."""
    version: Version = "v4"
    """Version of Gymnasium's task. v4 is nearest to D4RL's data; v5 gives the walker's right foot
    other friction and pays no survival bonus on an unhealthy step."""
    contact_forces: bool = False
    """Add contact forces to the ant's state and their cost to its reward, as D4RL's data has."""
    jump_velocity: JumpVelocity = "capped"
    """Reward of speed in the half-cheetah tasks: `capped` is min(v, 3), as MOPO's Section 5.2 says;
    `printed` is max(v, 3), as its Appendix G.1 prints."""

    def __post_init__(self) -> None:
        check_known("Gymnasium MuJoCo task", self.task, TASKS)
        check_choice("version", self.version, ("v4", "v5"))
        check_choice("jump_velocity", self.jump_velocity, ("capped", "printed"))
        if self.contact_forces and self.task != "ant":
            raise VRLError(f"contact_forces is a setting of 'ant'; {self.task} has none.")
        if self.jump_velocity != "capped" and self.task not in JUMP_WEIGHTS:
            known = " and ".join(JUMP_WEIGHTS)
            raise VRLError(f"jump_velocity is a setting of {known}; {self.task} has none.")

    def build(self) -> gymnasium.Env[Any, Any]:
        """Create the environment. Raises `VRLError` for releases that do not run together."""
        GYMNASIUM_MUJOCO.require()
        from vrl_envs.gym_mujoco.environment import GymMuJoCoEnvironment

        return GymMuJoCoEnvironment(self)

    @classmethod
    def gallery(cls) -> Mapping[str, Self]:
        """Return D4RL's tasks and MOPO's two."""
        shown = (*STANDARD_TASKS, "halfcheetah_jump", "ant_angle")
        return {task: cls(task=task) for task in shown}

    def references(self) -> ReferenceReturns | None:
        """Return D4RL's random and expert returns, for the tasks it has."""
        return d4rl_references(self.task)

    def published_score(self, value: float) -> float | None:
        """Map a return to D4RL's normalised score, for the tasks it has."""
        known = self.references()
        return None if known is None else known.normalise(value)


@dataclass(frozen=True, kw_only=True)
class GymMuJoCoDataset(DatasetConfig):
    """Episodes collected here from Gymnasium's MuJoCo tasks, relabelled where the task says so."""

    tasks: ClassVar[tuple[str, ...]] = TASKS
    qualities: ClassVar[tuple[str, ...]] = QUALITIES

    task: str = "halfcheetah"
    """Task, such as `halfcheetah` or `halfcheetah_jump`."""
    quality: str = "random"
    """Behaviour: `random` (uniform actions), `mixed` (the replay of an agent while it learnt),
    `medium`, `medium_expert` or `expert`."""
    episodes: int | None = None
    """Episodes to collect, of at most 1000 steps; by default 100, of `mixed` all of the replay."""
    seed: int = 0
    """Seed of the first states and of the behaviour's choices."""
    version: Version = "v4"
    """Version of Gymnasium's task."""
    contact_forces: bool = False
    """Add contact forces to the ant's state and their cost to its reward."""
    jump_velocity: JumpVelocity = "capped"
    """Reward of speed in the half-cheetah tasks, as in the environment."""
    behaviours: str | None = None
    """Folder of behaviours: `policies/<task>/<quality>.safetensors`, `replays/<task>.safetensors`;
    a training run's folder is one."""

    def __post_init__(self) -> None:
        settle_quality(self, QUALITIES)
        if self.episodes is not None:
            check_at_least("episodes", self.episodes, 1)
        check_at_least("seed", self.seed, 0)
        refuse_idle(self, {"behaviours": ("mixed", "medium", "expert")})
        self.environment()

    def environment(self) -> GymMuJoCo:
        """Return the environment that the episodes come from."""
        return GymMuJoCo(
            task=self.task,
            version=self.version,
            contact_forces=self.contact_forces,
            jump_velocity=self.jump_velocity,
        )

    def build(self) -> Dataset:
        """Return the episodes, each made when it is asked for.

        Raises `VRLError` when the behaviour does not exist or does not fit, and for releases that
        do not run together.
        """
        GYMNASIUM_MUJOCO.require()
        from vrl_envs.state_dataset import open_state_dataset

        return open_state_dataset(self)

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what the episodes depend on: the behaviours that act, and the simulator too."""
        from vrl_envs.state_dataset import fingerprint

        return fingerprint(self)
