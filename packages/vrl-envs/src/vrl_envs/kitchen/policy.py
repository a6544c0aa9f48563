"""A scripted policy for Franka Kitchen: one object after another, from the simulator's state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from vrl_envs.kitchen.arm import CLOSED, HOME, OPEN, STEP_LENGTH, Arm, Pose, turn_between
from vrl_envs.kitchen.environment import objects_in_place
from vrl_envs.kitchen.skills import SKILLS, Carry, Lead, Skill

# After the environment, which chooses the way of drawing before MuJoCo is imported.
import mujoco  # isort: skip

BACK = 0.12
"""Metres by which the hand stops before it reaches for a handle."""
RETREAT = 0.18
"""Metres by which the hand draws back from it."""
SPREAD = 0.02
"""Metres by which the place where it stops may be off to each side, so that ways differ."""
ATTEMPTS = 2
"""Times that an object is tried before the next one's turn."""
TURNED = 0.2
"""Radians off at which the hand is turned well enough."""
JOINTS_NEAR = 0.65
"""Radians off at which the joints are near enough to others to go on."""
JOINT_STEPS = 30
GRIP_STEPS, RELEASE_STEPS, LEAD_STEPS = 4, 3, 40


class ScriptedCook:
    """Brings objects in place one after another, then holds still."""

    def __init__(
        self, model: Any, data: Any, objects: Sequence[str], choices: np.random.Generator
    ) -> None:
        """Follow a running simulation, a `mujoco.MjModel` and its `MjData`."""
        self._model, self._data, self._choices = model, data, choices
        self._arm = Arm(model, data)
        self._actions = self._perform(objects)

    def act(self) -> np.ndarray:
        """Return the action `(9,)` float64 in [-1, 1] for the current state."""
        return next(self._actions)

    def _perform(self, objects: Sequence[str]) -> Iterator[np.ndarray]:
        for name in objects:
            for _ in range(ATTEMPTS):
                if not objects_in_place(self._data.qpos, (name,)):
                    yield from self._use(SKILLS[name])
        rest = self._arm.pose()
        while True:
            yield self._arm.towards(rest, OPEN)

    def _use(self, skill: Lead | Carry) -> Iterator[np.ndarray]:
        coming = CLOSED if skill.hold == "fist" else OPEN
        self._arm.ease = np.asarray(skill.ease)
        if self._arm.joints_off(HOME) < self._arm.joints_off(self._arm.ease):
            yield from self._move_joints(HOME, coming)
        yield from self._move_joints(self._arm.ease, coming)
        yield from self._go(self._before(skill), coming, steps=40, near=0.04)
        yield from self._go(self._hold(skill), coming, steps=15, near=0.01)
        if skill.hold == "grip":
            yield from self._stay(CLOSED, GRIP_STEPS)
        yield from self._lead(skill) if isinstance(skill, Lead) else self._carry(skill)
        if skill.hold == "grip":
            yield from self._stay(OPEN, RELEASE_STEPS)
        held = self._arm.pose()
        back = Pose(held.position - RETREAT * held.rotation[:, 2], held.rotation)
        yield from self._go(back, coming, steps=10, near=0.03)
        if any(skill.leave):
            away = Pose(back.position + np.asarray(skill.leave), held.rotation)
            yield from self._go(away, coming, steps=10, near=0.08)

    def _move_joints(self, joints: np.ndarray, fingers: float) -> Iterator[np.ndarray]:
        for _ in range(JOINT_STEPS):
            if self._arm.joints_off(joints) < JOINTS_NEAR:
                return
            yield self._arm.joints_towards(joints, fingers)

    def _hold(self, skill: Skill) -> Pose:
        """Return where the hand takes hold, or begins to push."""
        rotation, offset = hand_rotation(skill.ahead, skill.fingers), np.asarray(skill.offset)
        if isinstance(skill, Lead) and self._is_hinge(skill.joint):
            place = float(self._data.joint(skill.joint).qpos[0])
            axis = self._data.joint(skill.joint).xaxis
            rotation = rotation_around(axis, skill.turn * place) @ rotation
            offset = rotation_around(axis, place) @ offset
        mark = self._data.site(skill.site).xpos + offset
        return Pose(mark - skill.depth * rotation[:, 2], rotation)

    def _before(self, skill: Skill) -> Pose:
        hold = self._hold(skill)
        aside = self._choices.uniform(-SPREAD, SPREAD, 3)
        return Pose(hold.position - BACK * hold.rotation[:, 2] + aside, hold.rotation)

    def _stay(self, fingers: float, steps: int) -> Iterator[np.ndarray]:
        here = self._arm.pose()
        for _ in range(steps):
            yield self._arm.towards(here, fingers)

    def _go(
        self, pose: Pose, fingers: float, *, steps: int, near: float, speed: float = 1.0
    ) -> Iterator[np.ndarray]:
        """Move the hand straight to a pose until it is near, for some steps at most."""
        start = self._arm.pose().position
        for _ in range(steps):
            hand = self._arm.pose()
            turned = np.linalg.norm(turn_between(hand.rotation, pose.rotation)) < TURNED
            if turned and np.linalg.norm(hand.position - pose.position) < near:
                return
            ahead = point_ahead(start, pose.position, hand.position)
            yield self._arm.towards(Pose(ahead, pose.rotation), fingers, speed)

    def _carry(self, skill: Carry) -> Iterator[np.ndarray]:
        held = self._arm.pose()
        way = np.asarray(skill.to) - self._data.site(skill.site).xpos
        up, across = np.array([0.0, 0.0, skill.lift]), np.array([way[0], way[1], 0.0])
        for moved, steps in ((up, 6), (up + across, 30), (across, 8)):
            target = Pose(held.position + moved, held.rotation)
            yield from self._go(target, CLOSED, steps=steps, near=0.02, speed=skill.speed)

    def _lead(self, skill: Lead) -> Iterator[np.ndarray]:
        held, joint = self._arm.pose(), self._data.joint(skill.joint)
        start, fingers = float(joint.qpos[0]), OPEN if skill.hold == "between" else CLOSED
        for _ in range(LEAD_STEPS):
            place = float(joint.qpos[0])
            if abs(skill.place - place) < skill.enough:
                return
            place += float(np.clip(skill.place - place, -skill.lead, skill.lead))
            target = self._led(held, skill, place - start)
            yield self._arm.towards(target, fingers, skill.speed)

    def _led(self, held: Pose, skill: Lead, change: float) -> Pose:
        """Return where a hand goes with a joint that changes from where it was held."""
        joint = self._data.joint(skill.joint)
        if not self._is_hinge(skill.joint):
            return Pose(held.position + change * joint.xaxis, held.rotation)
        around = rotation_around(joint.xaxis, change)
        position = joint.xanchor + around @ (held.position - joint.xanchor)
        return Pose(position, rotation_around(joint.xaxis, skill.turn * change) @ held.rotation)

    def _is_hinge(self, joint: str) -> bool:
        return bool(self._model.joint(joint).type[0] == mujoco.mjtJoint.mjJNT_HINGE)


def point_ahead(start: np.ndarray, end: np.ndarray, here: np.ndarray) -> np.ndarray:
    """Return the point of a straight way `(3,)`, metres, to head for: a step from the nearest."""
    way = end - start
    length = max(float(np.linalg.norm(way)), 1e-9)
    done = float((here - start) @ way) / length
    ahead: np.ndarray = start + way * float(np.clip(done + STEP_LENGTH, 0.0, length)) / length
    return ahead


def hand_rotation(ahead: Sequence[float], fingers: Sequence[float]) -> np.ndarray:
    """Return the rotation `(3, 3)` of a hand that points ahead, with its fingers lying so."""
    third = np.asarray(ahead) / np.linalg.norm(ahead)
    second = np.asarray(fingers) - third * (third @ np.asarray(fingers))
    second /= np.linalg.norm(second)
    return np.stack((np.cross(second, third), second, third), axis=1)


def rotation_around(axis: np.ndarray, angle: float) -> np.ndarray:
    """Return the rotation `(3, 3)` by an angle in radians around a unit axis `(3,)`."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    rotation: np.ndarray = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return rotation
