"""Demonstrators of hammer and ball: scripts that reach, grasp and act, and see the simulation.

An agent that begins with uniform actions meets neither a grasped hammer nor a lifted ball: the
hammer's learns from these episodes (`behaviours.online`), and of the ball the script itself acts.
Their numbers, all of them angles in radians, metres and steps of 0.01 s, were found by a
cross-entropy search for the return, the ball's with noise of 0.07 on the actions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from vrl_core.errors import VRLError
from vrl_envs.adroit.environment import AdroitEnvironment
from vrl_envs.adroit.tasks import BALL, HAMMER

# After the environment, which chooses the way of drawing before MuJoCo is imported.
import mujoco  # isort: skip

FORCE, STIFFNESS = 500.0, 200.0
"""What the arm's actuators push with: `FORCE * control - STIFFNESS * joint`, in N or Nm."""
JOINT_DAMPING = 20.0
"""Damping of the arm's joints in the model."""
FIRST_BENDS = (3, 7, 11, 16)
"""Where the controls of the hand have the knuckles of its four fingers, the little one's last; two
joints follow each."""
SPREADS = ((2, 1.0), (10, -1.0), (15, -1.0))
"""Where they have the sideways joints of three fingers, and which way is away from the fourth."""
DAMPING, SLACK = 1e-4, 1e-3
"""Square of the metres of the palm's way that are given up rather than move a joint by one more;
metres and radians beyond which a joint is at its limit."""
HOLLOW, LITTLE, THUMB = 14, slice(16, 19), slice(19, 24)
"""Where they have the little finger's inner joint, its bends, and the five of the thumb."""


def hand_pose(
    wrist: Sequence[float],
    bends: Sequence[float],
    hollow: float,
    thumb: Sequence[float],
    *,
    little: Sequence[float] | None = None,
    spread: float = 0.0,
) -> np.ndarray:
    """Return controls of the hand `(24,)`, radians.

    `wrist` are its 2 angles, `bends` those of the 3 joints of every finger, but for the `little`
    one's where they are given, `thumb` its 5; `hollow` curves the palm below the little finger.
    """
    controls = np.zeros(24)
    controls[:2] = wrist
    for first in FIRST_BENDS:
        controls[first : first + 3] = bends
    if little is not None:
        controls[LITTLE] = little
    for place, way in SPREADS:
        controls[place] = way * spread
    controls[HOLLOW] = hollow
    controls[THUMB] = thumb
    return controls


class Demonstrator(ABC):
    """Acts out one task in an environment, whose simulation it sees."""

    arm_joints: int
    """Joints of the arm, the first of `qpos`."""

    def __init__(self, environment: AdroitEnvironment) -> None:
        self.environment, inner = environment, environment.inner
        self.model, self.data = inner.model, inner.data
        self._middle, self._reach = inner.act_mean, inner.act_rng
        self.begin()

    @abstractmethod
    def begin(self) -> None:
        """Forget the last episode."""

    @abstractmethod
    def controls(self) -> np.ndarray:
        """Return the actuators' controls `(action,)` of the next step, and count it."""

    def action(self) -> np.ndarray:
        """Return the action `(action,)` float32 in [-1, 1] of the next step."""
        action: np.ndarray = np.clip((self.controls() - self._middle) / self._reach, -1, 1)
        return action.astype(np.float32)

    def drive(self, wanted: np.ndarray, frequency: float) -> np.ndarray:
        """Return the controls that bring the arm's joints to places, critically damped.

        `frequency` is in radians a second. Each joint is taken for itself, with the inertia that
        the whole arm has about it now.
        """
        count = self.arm_joints
        inertias = np.zeros((self.model.nv, self.model.nv))
        mujoco.mj_fullM(self.model, inertias, self.data.qM)
        inertia = np.diag(inertias)[:count]
        joints, speeds = self.data.qpos[:count], self.data.qvel[:count]
        damping = np.maximum(2 * inertia * frequency - JOINT_DAMPING, 0)
        force: np.ndarray = inertia * frequency**2 * (wanted - joints) - damping * speeds
        force += self.data.qfrc_bias[:count] + STIFFNESS * joints
        return force / FORCE


class BallDemonstrator(Demonstrator):
    """Puts the hand over the ball, lowers it, closes it, and carries the ball to its goal.

    A ball that is lost is fetched again.
    """

    arm_joints = 6
    open_hand = hand_pose(
        wrist=(-0.225, 0.61),
        bends=(0, 0, 0),
        hollow=0,
        thumb=(0.246, 1.14, 0.103, 0.52, -0.081),
        spread=0.18,
    )
    closed_hand = hand_pose(
        wrist=(-0.225, 0.61),
        bends=(1.173, 1.275, 0.96),
        hollow=0,
        thumb=(1, 1.3, -0.207, -0.136, -1.013),
        spread=0.18,
    )
    frequency = 21.174
    offset = np.array([-0.015, -0.046, 0.016])
    """Of the palm from the ball's middle where the hand closes."""
    hover = 0.136
    """Of the palm above the ball's middle on its way there."""
    near, there = 0.019, 0.017
    """Distances at which the palm is lowered, and closed."""
    patience, closing = 40, 9
    """Steps that lowering may take, and that closing takes."""
    stride = 0.203
    """Longest way that the palm is asked to go at once."""
    carrying = 0.969
    """Share of the ball's way to its goal that the palm is asked to go at once."""
    pitching = 2.076
    """How much rather the forearm pitches than slides."""
    lost = 0.12
    """Distance from the palm at which the ball has been dropped."""

    def begin(self) -> None:
        """Forget the last episode."""
        self._phase, self._steps, self._anchor = "reach", 0, np.zeros(3)

    def controls(self) -> np.ndarray:
        """Return the controls `(30,)` of the next step, and count it."""
        move = self._move()
        move *= min(1.0, self.stride / max(float(np.linalg.norm(move)), 1e-6))
        closed = self._phase in ("close", "carry")
        arm = self.drive(self._joints_after(move), self.frequency)
        return np.concatenate((arm, self.closed_hand if closed else self.open_hand))

    def _move(self) -> np.ndarray:
        """Return the way `(3,)` that the palm is to go now."""
        palm, ball = self.data.site("S_grasp").xpos, self.data.body("Object").xpos
        if self._phase == "reach":
            above = ball + np.array([*self.offset[:2], self.hover])
            if np.linalg.norm((above - palm)[:2]) >= self.near:
                return np.asarray(above - palm)
            self._phase = "lower"
        if self._phase == "lower":
            self._steps += 1
            move = ball + self.offset - palm
            if np.linalg.norm(move) >= self.there and self._steps <= self.patience:
                return np.asarray(move)
            self._phase, self._steps, self._anchor = "close", 0, palm.copy()
        if self._phase == "close":
            self._steps += 1
            if self._steps <= self.closing:
                return np.asarray(self._anchor - palm)
            self._phase = "carry"
        if np.linalg.norm(ball - palm) > self.lost:
            self.begin()
            return np.array([0.0, 0.0, 0.05])
        return self.carrying * np.asarray(self.data.site("target").xpos - ball)

    def _joints_after(self, move: np.ndarray) -> np.ndarray:
        """Return the arm's joints `(6,)` that move the palm so, neither rolled nor turned."""
        jacobian = np.zeros((3, self.model.nv))
        mujoco.mj_jacSite(self.model, self.data, jacobian, None, self.model.site("S_grasp").id)
        jacobian = jacobian[:, : self.arm_joints]
        joints = self.data.qpos[: self.arm_joints]
        lowest, highest = self.model.jnt_range[: self.arm_joints].T
        ease = np.array([1.0, 1.0, 1.0, self.pitching, 0.0, 0.0])
        for _ in range(3):  # a joint at its limit leaves the way to the others
            eased = jacobian * ease
            change = ease * (eased.T @ np.linalg.solve(eased @ eased.T + DAMPING * np.eye(3), move))
            beyond = (joints + change < lowest - SLACK) & (change < 0)
            beyond |= (joints + change > highest + SLACK) & (change > 0)
            if not (beyond & (ease > 0)).any():
                break
            ease[beyond] = 0
        wanted: np.ndarray = np.clip(joints + change, lowest, highest)
        wanted[4:] = 0
        return wanted


class HammerDemonstrator(Demonstrator):
    """Lowers the hand on the handle, closes it, lifts the hammer, and strikes again and again.

    The hammer's head is kept level with the nail, whose height an episode draws.
    """

    arm_joints = 2
    open_hand = hand_pose(
        wrist=(0.104, 0.585),
        bends=(0.583, 0.583, 0.583),
        little=(0.0, 0.583, 0.583),
        hollow=0.128,
        thumb=(-1.0, 0.652, 0.0, 0.52, -0.249),
    )
    grasp = partial(
        hand_pose,
        bends=(1.6, 1.6, 1.301),
        little=(0.0, 1.6, 1.6),
        hollow=0.128,
        thumb=(0.718, 1.3, -0.26, 0.52, -0.889),
    )
    closed_hand = grasp(wrist=(0.104, 0.585))
    raised_hand = grasp(wrist=(0.063, 0.278))
    striking_hand = grasp(wrist=(-0.524, -0.267))
    frequency = 22.0
    lowering, closing, lifting, striking, returning = 20, 3, 4, 26, 16
    """Steps that each part takes; the last two alternate from then on."""
    low_pitch, yaw = 0.25, -0.028
    """Of the forearm over the handle."""
    raised_pitch, raised_yaw = -0.057, -0.106
    striking_pitch, striking_yaw = 0.163, -0.3
    """Of the forearm before and in a strike; the pitch is added to what keeps the head level."""
    levelling = 3.5
    """Radians of pitch for a metre that the head is above the nail."""

    def begin(self) -> None:
        """Forget the last episode."""
        self._step = 0

    def controls(self) -> np.ndarray:
        """Return the controls `(26,)` of the next step, and count it."""
        pitch, yaw, hand = self._aim()
        lowest, highest = self.model.jnt_range[: self.arm_joints].T
        self._step += 1
        wanted = np.clip((pitch, yaw), lowest, highest)
        return np.concatenate((self.drive(wanted, self.frequency), hand))

    def _aim(self) -> tuple[float, float, np.ndarray]:
        """Return pitch and yaw of the forearm, and the hand's pose, that are wanted now."""
        since = self._step - self.lowering - self.closing
        if since < 0:
            closed = self._step >= self.lowering
            return self.low_pitch, self.yaw, self.closed_hand if closed else self.open_hand
        above = self.data.site("tool").xpos[2] - self.data.site("S_target").xpos[2]
        level = float(self.data.qpos[0] + self.levelling * above)
        since -= self.lifting
        if since >= 0 and since % (self.striking + self.returning) < self.striking:
            return level + self.striking_pitch, self.striking_yaw, self.striking_hand
        return level + self.raised_pitch, self.raised_yaw, self.raised_hand


DEMONSTRATORS: Mapping[str, type[Demonstrator]] = {
    HAMMER: HammerDemonstrator,
    BALL: BallDemonstrator,
}


def demonstrator(environment: Any) -> Demonstrator:
    """Return who can show an environment's task. Raises `VRLError` where nobody can."""
    hand = isinstance(environment, AdroitEnvironment)
    task = environment.config.task if hand else type(environment).__name__
    if task not in DEMONSTRATORS:
        raise VRLError(
            f"Nobody demonstrates {task} here, only {' and '.join(DEMONSTRATORS)}. Leave "
            "demonstrations at 0."
        )
    return DEMONSTRATORS[task](environment)
