"""Move Kitchen's arm to poses of its hand: inverse kinematics by damped least squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from vrl_envs.drawing.graphics import settle_backend

settle_backend()

# MuJoCo reads the choice when it is imported.
import mujoco  # noqa: E402

ARM_JOINTS = 7
HAND_SITE = "end_effector"
REACH = 0.16
"""Change of a joint in one step that an action of 1 asks for: 2 rad/s for 0.08 s."""
RESPONSE = 0.5
"""Share of a change asked for that the servos bring about in a step, about."""
DAMPING = 0.05
"""Metres of the hand's motion that are given up rather than move a joint by a radian more."""
TURN_WEIGHT = 0.3
"""Metres that an error of a radian counts as."""
HOME = np.array([-0.95, -0.8, 2.0, -2.2, -1.9, 0.9, 0.4])
"""Joints from which every object is in reach, radians: elbow aside, off all limits."""
STEP_LENGTH = 0.06
"""Metres that the hand moves in a step, at most."""
STEP_TURN = 0.3
"""Radians that the hand turns in a step, at most."""
RELAXATION = 0.05
"""Radians that a joint goes to where it is at ease in a step, at most."""
LOWEST = np.array([-2.8, -1.7, -2.8, -3.0, -2.8, 0.05, -2.8])
HIGHEST = np.array([2.8, 1.7, 2.8, -0.45, 2.8, 2.05, 2.8])
"""Bounds of the joints, radians: a little inside those of the model and those of the actions."""
OPEN, CLOSED = 1.0, -1.0
"""Actions of the fingers."""


@dataclass(frozen=True)
class Pose:
    """Where the hand is, and how it is turned."""

    position: np.ndarray
    """Point between the fingertips `(3,)`, metres."""
    rotation: np.ndarray
    """Its axes as columns `(3, 3)`: the second is the fingers' way, the third points ahead."""


class Arm:
    """The robot's arm in a running simulation."""

    def __init__(self, model: Any, data: Any) -> None:
        self._model, self._data = model, data
        self._site = model.site(HAND_SITE).id
        self.ease = data.qpos[:ARM_JOINTS].copy()
        """Joints `(7,)` that the arm returns to as far as its hand allows, radians."""
        self._gains = model.actuator_gainprm[:ARM_JOINTS, 0].copy()
        self._jacobian = np.zeros((2, 3, model.nv))

    def pose(self) -> Pose:
        """Return where the hand is."""
        rotation = self._data.site_xmat[self._site].reshape(3, 3).copy()
        return Pose(self._data.site_xpos[self._site].copy(), rotation)

    def towards(self, target: Pose, fingers: float, speed: float = 1.0) -> np.ndarray:
        """Return the action `(9,)` that moves the hand towards a pose, at most at a speed."""
        twist = np.concatenate(
            (
                shortened(target.position - self.pose().position, STEP_LENGTH * speed),
                TURN_WEIGHT
                * shortened(turn_between(self.pose().rotation, target.rotation), STEP_TURN),
            )
        )
        return self._action(self._joint_change(twist), fingers)

    def joints_towards(self, joints: np.ndarray, fingers: float) -> np.ndarray:
        """Return the action `(9,)` that brings the joints nearer to others `(7,)`, in radians."""
        return self._action(joints - self._data.qpos[:ARM_JOINTS], fingers)

    def joints_off(self, joints: np.ndarray) -> float:
        """Return how far, radians, any joint but the wrist's is from where it could be."""
        return float(np.abs(joints - self._data.qpos[:ARM_JOINTS])[:-1].max())

    def _action(self, change: np.ndarray, fingers: float) -> np.ndarray:
        # The servos rest on the joints' places: without this the arm sinks under its weight.
        sag = self._data.qfrc_bias[:ARM_JOINTS] / self._gains
        action = (change / RESPONSE + sag) / REACH
        action /= max(1.0, float(np.abs(action).max()))
        return np.concatenate((action, (fingers, fingers)))

    def _joint_change(self, twist: np.ndarray) -> np.ndarray:
        """Return the change of the joints `(7,)` that moves the hand so, within their limits."""
        mujoco.mj_jacSite(self._model, self._data, *self._jacobian, self._site)
        jacobian = self._jacobian[:, :, :ARM_JOINTS].reshape(6, ARM_JOINTS).copy()
        jacobian[3:] *= TURN_WEIGHT
        joints = self._data.qpos[:ARM_JOINTS]
        change, free = np.zeros(ARM_JOINTS), np.ones(ARM_JOINTS, bool)
        for _ in range(ARM_JOINTS):
            moved = jacobian[:, free]
            inverse = moved.T @ np.linalg.inv(moved @ moved.T + DAMPING**2 * np.eye(6))
            relaxing = np.clip(0.1 * (self.ease - joints), -RELAXATION, RELAXATION)[free]
            left = twist - jacobian[:, ~free] @ change[~free]
            change[free] = inverse @ (left - moved @ relaxing) + relaxing
            bounded = np.clip(joints + change, LOWEST, HIGHEST) - joints
            beyond = free & (bounded != change)
            if not beyond.any():
                break
            change[beyond] = bounded[beyond]
            free &= ~beyond
        return change


def turn_between(current: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the rotation vector `(3,)`, radians, from one rotation `(3, 3)` to another."""
    turn: np.ndarray = Rotation.from_matrix(wanted @ current.T).as_rotvec()
    return turn


def shortened(vector: np.ndarray, length: float) -> np.ndarray:
    """Return a vector of the same direction, no longer than a length."""
    return vector * min(1.0, length / max(float(np.linalg.norm(vector)), 1e-9))
