"""A camera moved on a sphere around what it looks at (Distracting Control Suite, Section 4.2)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from vrl_core.errors import VRLError

_TRUNK = 1
"""The body whose centre of mass tells a camera that stands still how far to look."""
_STEEP = 0.1
"""Radians from the vertical within which a camera counts as looking straight down."""


@dataclass(frozen=True)
class CameraPlace:
    """Where a camera is and what it looks at, relative to what it follows."""

    camera: int
    followed: int | None
    """Body whose centre of mass, with all that hangs on it, the camera follows; None stands."""
    position: np.ndarray
    """`(3,)`."""
    target: np.ndarray
    """`(3,)`."""


@dataclass(frozen=True)
class CameraPose:
    """A position `(3,)` relative to what is followed and an orientation `(9,)` in the world."""

    place: CameraPlace
    position: np.ndarray
    orientation: np.ndarray

    @contextmanager
    def applied(self, data: Any) -> Iterator[None]:
        """Move the camera of a simulation's state while something is drawn.

        The simulation sets the pose of a camera that follows in every step, so the model's own
        has no effect.
        """
        camera = self.place.camera
        before = data.cam_xpos[camera].copy(), data.cam_xmat[camera].copy()
        followed = self.place.followed
        origin = 0 if followed is None else data.subtree_com[followed]
        data.cam_xpos[camera], data.cam_xmat[camera] = self.position + origin, self.orientation
        try:
            yield
        finally:
            data.cam_xpos[camera], data.cam_xmat[camera] = before


def camera_place(task: str, model: Any, camera: int) -> CameraPlace:
    """Return where a model's camera is, with the joints at their initial positions.

    The target lies on the camera's axis, as far away as what it shows. Raises `VRLError` for a
    camera that neither stands nor follows a centre of mass.
    """
    import mujoco  # here, after the way of drawing has been chosen

    modes, body = mujoco.mjtCamLight, 0 if camera < 0 else int(model.cam_bodyid[camera])
    follows = camera >= 0 and model.cam_mode[camera] == modes.mjCAMLIGHT_TRACKCOM
    stands = camera >= 0 and model.cam_mode[camera] == modes.mjCAMLIGHT_FIXED and body == 0
    if not (follows or stands):
        raise VRLError(
            f"Camera {camera} of {task} can be moved by no distraction: it neither stands still "
            "nor follows a centre of mass. Choose another camera, or distract only "
            "background+colour (distraction_parts)."
        )
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    position, axis = data.cam_xpos[camera].copy(), -data.cam_xmat[camera].reshape(3, 3)[:, 2]
    distance = np.linalg.norm(position - data.subtree_com[body if follows else _TRUNK])
    if follows:
        position -= data.subtree_com[body]
    return CameraPlace(camera, body if follows else None, position, position + distance * axis)


def draw_pose(place: CameraPlace, scale: float, random: np.random.RandomState) -> CameraPose:
    """Draw a pose: up to `scale` quarters of a turn aside, up or down, and of roll.

    The distance is between `1 - scale / 2` and `1 + 3 scale / 2` of the first. A camera at the
    side stays above the ground and on that side.
    """
    distance, azimuth, inclination = _spherical(place.position)
    turn = scale * np.pi / 2
    sides, heights = (azimuth - turn, azimuth + turn), (inclination - turn, inclination + turn)
    from_above = inclination < _STEEP
    if not from_above:
        heights = (max(heights[0], 0.0), min(heights[1], np.pi / 2))
        if -np.pi < azimuth < 0:
            sides = (max(sides[0], -np.pi), min(sides[1], 0.0))
    azimuth, inclination = random.uniform(*sides), random.uniform(*heights)
    distance *= random.uniform(1 - 0.5 * scale, 1 + 1.5 * scale)
    roll = random.uniform(-turn, turn)
    position = distance * np.array(
        [
            np.sin(inclination) * np.cos(azimuth),
            np.sin(inclination) * np.sin(azimuth),
            np.cos(inclination),
        ]
    )
    direction = (place.target - position) / np.linalg.norm(place.target - position)
    facing = _least_turned(direction) if from_above else _upright(direction)
    rolled = facing @ np.array(
        [[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
    )
    return CameraPose(place, position, rolled.reshape(9))


def _spherical(position: np.ndarray) -> tuple[float, float, float]:
    """Return distance, azimuth and inclination from the vertical."""
    x, y, z = position
    return (
        float(np.linalg.norm(position)),
        float(np.arctan2(y, x)),
        float(np.arctan2(np.hypot(x, y), z)),
    )


def _upright(direction: np.ndarray) -> np.ndarray:
    """Return the orientation `(3, 3)` of a camera looking along a direction, its right level."""
    right = np.cross(direction, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(right, direction), -direction], axis=1)


def _least_turned(direction: np.ndarray) -> np.ndarray:
    """Return the orientation `(3, 3)` nearest to looking straight down with y upwards."""
    down = np.array([0.0, 0.0, -1.0])
    x, y, z = np.cross(down, direction)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + cross + cross @ cross / (1 + down @ direction))
