"""Where a seven-joint arm puts its hand, and the joint angles that put it somewhere.

    dq = J^T (J J^T + damping^2 I)^-1 e + (I - J^+ J) (home - q)

Damped least squares (Nakamura and Hanafusa 1986; Wampler 1986): the hand's position and its
orientation, which always points down, are followed as far as the damping lets joints move; what
freedom is left draws the arm to its home posture.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import vrl_envs.drawing.rendering  # noqa: F401 - chooses the way of drawing before MuJoCo is imported

import mujoco  # isort: skip

JOINTS = tuple(f"joint{number}" for number in range(1, 8))
HOME = np.array([0.0, -0.4, 0.0, -2.4, 0.0, 2.0, np.pi / 4])
"""Joint angles, radians, of the posture that the arm leans to: bent, the hand before the base."""
DOWNWARDS = np.diag([1.0, -1.0, -1.0])
"""Orientation of the hand: its z axis points at the floor, its fingers stand across the desk."""
DAMPING = 0.02
HOMING = 0.05
"""Share of the way home that the spare freedom goes in an iteration."""
LARGEST_TURN = 0.3
"""Radians that a joint moves in an iteration, at most; linearised steps are wrong beyond."""


class Arm:
    """The arm of a model: `link0` to `hand`, with the site `tip` between its fingertips."""

    def __init__(self, model: Any) -> None:
        """Find the arm in a `mujoco.MjModel`."""
        self._model = model
        self._scratch = mujoco.MjData(model)
        joints = [model.joint(name) for name in JOINTS]
        self.positions = np.array([joint.qposadr[0] for joint in joints])
        """Where the simulator's positions hold the joint angles, `(7,)`."""
        self.velocities = np.array([joint.dofadr[0] for joint in joints])
        """Where its velocities hold the joints', `(7,)`."""
        self.limits = np.stack([joint.range for joint in joints])
        """Least and largest angle of each joint, radians, `(7, 2)`."""
        self._tip = model.site("tip").id
        self._jacobian = np.zeros((2, 3, model.nv))

    def tip(self, data: Any) -> np.ndarray:
        """Return the position `(3,)` of the fingertips, metres."""
        position: np.ndarray = data.site_xpos[self._tip].copy()
        return position

    def reach(self, start: np.ndarray, target: np.ndarray, *, iterations: int) -> np.ndarray:
        """Return joint angles `(7,)` that bring the tip from `start` `(7,)` towards a position.

        Angles stay within the joints' limits; a target out of reach is approached.
        """
        angles = np.array(start, np.float64)
        for _ in range(iterations):
            angles = np.clip(angles + self._change(angles, target), *self.limits.T)
        return angles

    def _change(self, angles: np.ndarray, target: np.ndarray) -> np.ndarray:
        error = self._error(angles, target)
        jacobian = self._jacobian.reshape(6, -1)[:, self.velocities]
        damped = jacobian @ jacobian.T + DAMPING**2 * np.eye(6)
        # One solution serves the step and the projection onto what the hand does not feel.
        inverse = np.linalg.solve(damped, jacobian).T
        homing = HOMING * (HOME - angles)
        change: np.ndarray = inverse @ error + homing - inverse @ (jacobian @ homing)
        largest = np.abs(change).max() / LARGEST_TURN
        slowed: np.ndarray = change / max(1.0, largest)
        return slowed

    def _error(self, angles: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Return how far the tip is from its place and the hand from pointing down, `(6,)`."""
        data = self._scratch
        data.qpos[self.positions] = angles
        mujoco.mj_kinematics(self._model, data)
        mujoco.mj_comPos(self._model, data)
        mujoco.mj_jacSite(self._model, data, self._jacobian[0], self._jacobian[1], self._tip)
        turned = data.site_xmat[self._tip].reshape(3, 3)
        # Half the sum of the axes' cross products: the rotation vector, for small angles.
        rotation = 0.5 * np.cross(turned.T, DOWNWARDS.T).sum(0)
        return np.concatenate((target - data.site_xpos[self._tip], rotation))
