"""The configuration of relabelled data. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vrl_core.hooks import DatasetConfig
from vrl_envs.gym_mujoco.config import JumpVelocity

if TYPE_CHECKING:
    from vrl_core.episodes import Dataset


@dataclass(frozen=True, kw_only=True)
class Relabelled(DatasetConfig):
    """A store of `halfcheetah` or `ant` with the rewards of one of MOPO's tasks (Appendix G.1)."""

    path: str
    """Folder of the store."""
    task: str = "halfcheetah_jump"
    """Task whose rewards it gets: `halfcheetah_jump`, `ant_angle`, `ant_angle_45`, ..."""
    jump_velocity: JumpVelocity = "capped"
    """Reward of speed in `halfcheetah_jump`, as in the environment `gym-mujoco`."""

    def build(self) -> Dataset:
        """Open the store.

        Raises `VRLError` when there is none or its rewards do not tell what the task's need.
        """
        from vrl_envs.gym_mujoco.relabelling import open_relabelled

        return open_relabelled(self.path, self.task, self.jump_velocity)
