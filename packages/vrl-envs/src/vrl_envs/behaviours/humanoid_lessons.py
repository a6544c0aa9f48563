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
from vrl_envs.behaviours.humanoid_symmetry import HumanoidSymmetry
from vrl_envs.behaviours.training import StateTask
from vrl_envs.settings import check_at_least

STANDING_HEIGHT = 1.4
"""Of the head in metres: what the suite calls standing."""
FALLEN_HEIGHT = 0.8
"""Of the head in metres: below it the humanoid kneels or lies."""
WALKING_HEIGHT, WALKING_UPRIGHT = 1.1, 0.7
"""Of the head in metres, and of the torso's axis along the vertical: from there on an agent that
walks does not fall at once."""
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
    lying_patience: int = 500
    """Steps that a lying start has for standing up; it goes on once it has stood."""
    any_heading: bool = False
    """Whether upright starts look anywhere, not only along x: the observation has speeds along the
    world's axes and no heading."""
    supported: bool = False
    """Whether a hand holds the torso up, as strongly as the episode's seed says: the last number
    of the observation (see `HumanoidSupport`)."""
    most_support: float = 1.0
    """The strongest hand; a third of the episodes have none."""

    def __post_init__(self) -> None:
        """Refuse numbers of which no lesson comes; raises `VRLError`."""
        for name in ("horizon", "patience", "lying_patience"):
            check_at_least(name, getattr(self, name), 1)
        for name in ("lying_share", "height_reward", "pose_noise", "most_support"):
            check_at_least(name, getattr(self, name), 0)

    def build(self) -> HumanoidLessonsEnvironment:
        """Return the environment."""
        return HumanoidLessonsEnvironment(self)


class HumanoidLessonsEnvironment(gymnasium.Env[np.ndarray, np.ndarray]):
    """Episodes of `HumanoidLessons`: observation and action are float32 vectors."""

    def __init__(self, config: HumanoidLessons) -> None:
        self.config = config
        self.simulated = StateTask(config.task)
        size = self.simulated.observation_size + config.supported
        self.observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.action_space = spaces.Box(-1, 1, (self.simulated.action_size,), np.float32)
        self.support = HumanoidSupport(self.simulated.physics)
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
        self.support.hold(0.0)  # before the first state, whose accelerations its damping is in
        observation = self.simulated.reset(int(self.np_random.integers(2**31)))
        self.upright = bool(self.np_random.random() >= self.config.lying_share)
        if self.upright:
            observation = self._stand()
            self.stood = STOOD_STEPS
        if self.config.supported:
            drawn = float(self.np_random.uniform(-0.5, 1.0))
            self.support.hold(self.config.most_support * max(drawn, 0.0))
        return self._shown(observation), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Apply an action, repeated; the reward is for two simulator steps, so at most 2."""
        if self.config.supported:
            self.support.apply()
        observation, reward = self.simulated.step(action)
        height = float(self.simulated.physics.head_height())
        share = self.config.height_reward
        shaped = 2 * min(max(height, 0.0) / STANDING_HEIGHT, 1.0)
        self.steps += 1
        self.fallen = self.fallen + 1 if height < FALLEN_HEIGHT else 0
        if self.stood < STOOD_STEPS:
            self.stood = self.stood + 1 if height > STANDING_HEIGHT else 0
        ended = self.config.falls_end and self.fallen > 0 and self.stood == STOOD_STEPS
        over = (
            self.steps >= self.config.horizon
            or (self.upright and self.fallen >= self.config.patience)
            or (self.stood < STOOD_STEPS and self.steps >= self.config.lying_patience)
        )
        reward = (1 - share) * reward + share * shaped
        return self._shown(observation), reward, ended, over and not ended, {}

    @property
    def on_its_feet(self) -> bool:
        """Whether who can walk can go on from here; else it has to get up."""
        physics = self.simulated.physics
        height, upright = float(physics.head_height()), float(physics.torso_upright())
        return height > WALKING_HEIGHT and upright > WALKING_UPRIGHT

    @property
    def shown_beside(self) -> int:
        """How many last numbers of the observation are the lessons', 0 in the task."""
        return int(self.config.supported)

    def symmetry(self) -> HumanoidSymmetry:
        """Return what turns a transition into others of equal worth."""
        return HumanoidSymmetry(self.simulated.physics)

    def _shown(self, observation: np.ndarray) -> np.ndarray:
        if not self.config.supported:
            return observation
        return np.append(observation, np.float32(self.support.strength))

    def _stand(self) -> np.ndarray:
        physics, noise = self.simulated.physics, self.config.pose_noise
        with physics.reset_context():
            physics.data.qpos[:7] = UPRIGHT_ROOT
            if self.config.any_heading:
                half = 0.5 * self.np_random.uniform(-np.pi, np.pi)
                physics.data.qpos[3:7] = (np.cos(half), 0, 0, np.sin(half))
            joints = noise * self.np_random.standard_normal(physics.model.nq - 7)
            low, high = physics.model.jnt_range[1:].T
            physics.data.qpos[7:] = np.clip(joints, low, high)
            physics.data.qvel[:] = noise * self.np_random.standard_normal(physics.model.nv)
        return self.simulated.observation()


class HumanoidSupport:
    """A hand at the torso that keeps it upright and takes weight off the legs.

    Yu, Turk and Liu (2018), "Learning Symmetric and Low-Energy Locomotion", Section 4: what a
    learner would fall of is learnt first with a helper, who lets go by and by. Here each episode
    has its own strength from 0 to 1, which the learner is shown.
    """

    SPRING, DAMPING = 300.0, 30.0
    """Torque in N m for each unit of tilt (the sine of its angle), and for each radian a second."""
    LIFT, MOST_LIFT = 2000.0, 0.7
    """Force in N for each metre that the torso is too low, and its bound as a share of weight."""

    def __init__(self, physics: Any) -> None:
        self.physics = physics
        self.torso = physics.model.name2id("torso", "body")
        self.weight = -physics.model.opt.gravity[2] * physics.model.body_subtreemass[self.torso]
        self.hold(0.0)

    def hold(self, strength: float) -> None:
        """Take hold with a strength of 0 to 1; the damping is the free joint's, as it is stable."""
        self.strength = strength
        self.physics.model.dof_damping[3:6] = strength * self.DAMPING

    def apply(self) -> None:
        """Set the force and the torque on the torso for the next step."""
        data = self.physics.data
        upward = data.xmat[self.torso].reshape(3, 3)[:, 2]
        lift = self.LIFT * (UPRIGHT_ROOT[2] - data.xpos[self.torso, 2])
        lift = np.clip(lift, 0.0, self.MOST_LIFT * self.weight)
        tilt = np.array((upward[1], -upward[0]))
        data.xfrc_applied[self.torso, 2:5] = self.strength * np.array((lift, *(self.SPRING * tilt)))
