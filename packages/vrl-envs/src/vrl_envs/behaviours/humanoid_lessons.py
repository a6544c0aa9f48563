"""The humanoid's lessons: episodes from which an agent learns to walk in hours of one core.

An agent that only ever sees the task learns nothing for hundreds of thousands of steps: every
episode begins with a fall from a random pose, and lying on the ground earns nothing whatever it
does. In a lesson half of the episodes begin upright, so that balance and gait can be learnt from
the first fall on, and the other half are the task's, with a reward for the height of the head. An
upright start is over soon after a fall. What comes of it is judged on the task itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from vrl_core.hooks import EnvironmentConfig
from vrl_envs.behaviours.training import StateTask
from vrl_envs.settings import check_at_least

STANDING_HEIGHT = 1.4
"""Of the head in metres: what the suite calls standing."""
FALLEN_HEIGHT = 0.8
"""Of the head in metres: below it the humanoid kneels or lies."""
STOOD_STEPS = 5
"""How many in a row with the head at standing height count as having stood."""
UPRIGHT_ROOT = (0.0, 0.0, 1.285, 1.0, 0.0, 0.0, 0.0)
"""Place and turn of the torso with straight legs and feet on the ground."""


@dataclass(frozen=True, kw_only=True)
class HumanoidLessons(EnvironmentConfig):
    """Settings of lessons on a humanoid task; with `lying_share` 1 and `height_reward` 0, the task.

    An episode's states are dm_control's, of the task at an action repeat of 2.
    """

    task: str = "humanoid_walk"
    """dm_control task as `domain_task`."""
    horizon: int = 500
    """Steps after which every episode is truncated."""
    lying_share: float = 0.5
    """Share of the episodes that begin as the task's do, which soon means lying down."""
    height_reward: float = 0.3
    """Share of the reward that is the head's height, at most 1 at standing height."""
    patience: int = 40
    """Steps for which an upright start may go on after a fall; the rest would be lying."""
    falls_end: bool = False
    """Whether who has stood and falls has nothing more to earn: the episode terminates. Without
    it an agent that gets up fast has little to lose, and runs, falls and gets up for ever."""
    pose_noise: float = 0.1
    """Standard deviation of joint angles (radians) and speeds (radians/s) of an upright start."""

    def __post_init__(self) -> None:
        """Refuse numbers of which no lesson comes; raises `VRLError`."""
        for name in ("horizon", "patience"):
            check_at_least(name, getattr(self, name), 1)
        for name in ("lying_share", "height_reward", "pose_noise"):
            check_at_least(name, getattr(self, name), 0)

    def build(self) -> HumanoidLessonsEnvironment:
        """Return the environment."""
        return HumanoidLessonsEnvironment(self)


class HumanoidLessonsEnvironment(gymnasium.Env[np.ndarray, np.ndarray]):
    """Episodes of `HumanoidLessons`: observation and action are float32 vectors."""

    def __init__(self, config: HumanoidLessons) -> None:
        self.config = config
        self.simulated = StateTask(config.task)
        sizes = (self.simulated.observation_size, self.simulated.action_size)
        self.observation_space = spaces.Box(-np.inf, np.inf, (sizes[0],), np.float32)
        self.action_space = spaces.Box(-1, 1, (sizes[1],), np.float32)
        self.steps = self.fallen = self.stood = 0
        self.upright = False

    def reset(
        self,
        *,
        seed: int | None = None,
        options: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin the episode of a seed, lying or upright as the seed decides."""
        super().reset(seed=seed)
        self.steps = self.fallen = self.stood = 0
        observation = self.simulated.reset(int(self.np_random.integers(2**31)))
        self.upright = bool(self.np_random.random() >= self.config.lying_share)
        if self.upright:
            observation = self._stand()
            self.stood = STOOD_STEPS
        return observation, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Apply an action, repeated; the reward is for two simulator steps, so at most 2."""
        observation, reward = self.simulated.step(action)
        height = float(self.simulated.physics.head_height())
        share = self.config.height_reward
        shaped = 2 * min(max(height, 0.0) / STANDING_HEIGHT, 1.0)
        self.steps += 1
        self.fallen = self.fallen + 1 if height < FALLEN_HEIGHT else 0
        if self.stood < STOOD_STEPS:
            self.stood = self.stood + 1 if height > STANDING_HEIGHT else 0
        ended = self.config.falls_end and self.fallen > 0 and self.stood == STOOD_STEPS
        over = self.steps >= self.config.horizon or (
            self.upright and self.fallen >= self.config.patience
        )
        return observation, (1 - share) * reward + share * shaped, ended, over and not ended, {}

    def _stand(self) -> np.ndarray:
        physics, noise = self.simulated.physics, self.config.pose_noise
        with physics.reset_context():
            physics.data.qpos[:7] = UPRIGHT_ROOT
            joints = noise * self.np_random.standard_normal(physics.model.nq - 7)
            low, high = physics.model.jnt_range[1:].T
            physics.data.qpos[7:] = np.clip(joints, low, high)
            physics.data.qvel[:] = noise * self.np_random.standard_normal(physics.model.nv)
        return self.simulated.observation()
