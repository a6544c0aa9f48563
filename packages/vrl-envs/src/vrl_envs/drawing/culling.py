"""Meshes out of the picture, left out of a scene.

A mesh costs its corners whether it is seen or not, and robots' meshes are most of a frame's time.
One that lies outside the camera's view changes no pixel where nothing casts shadows or mirrors.
"""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

WORTHWHILE_FACES = 500
"""Smaller meshes are drawn faster than it is found out where they are."""
MARGIN = 1.01
"""Factor of a mesh's box, for rounding."""


class MeshCulling:
    """Knows the boxes around a model's large meshes."""

    def __init__(self, model: Any) -> None:
        """Look for the meshes. `model` is a `mujoco.MjModel`."""
        meshes = np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_MESH)
        faces = model.mesh_facenum[model.geom_dataid[meshes]] if len(meshes) else meshes
        self._geoms = meshes[faces >= WORTHWHILE_FACES]
        boxes = model.geom_aabb[self._geoms].reshape(-1, 2, 3, 1)
        self._centres, self._halves = boxes[:, 0], MARGIN * boxes[:, 1]
        self._pose = b""
        self._planes: tuple[np.ndarray, np.ndarray] = (np.empty((0, 3)), np.empty(0))

    def apply(self, data: Any, scene: Any) -> None:
        """Leave the meshes out that lie outside the view of a scene that was just updated."""
        if not len(self._geoms) or scene.camera[0].orthographic:
            return
        outside = self._outside(data, *self._planes_of(scene))
        if not outside.any():
            return
        hidden = set(self._geoms[outside].tolist())
        for geom in scene.geoms[: scene.ngeom]:
            if geom.objid in hidden and geom.type == mujoco.mjtGeom.mjGEOM_MESH:
                geom.type = mujoco.mjtGeom.mjGEOM_NONE

    def _planes_of(self, scene: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the view's planes, computed anew only when the camera has moved."""
        camera = mujoco.mjv_averageCamera(*scene.camera)
        pose = b"".join(part.tobytes() for part in (camera.pos, camera.forward, camera.up))
        if pose != self._pose:
            self._pose, self._planes = pose, view_planes(camera)
        return self._planes

    def _outside(self, data: Any, normals: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Return whether each mesh's box lies on the outer side of one of the planes."""
        axes = data.geom_xmat[self._geoms].reshape(-1, 3, 3)
        centres = data.geom_xpos[self._geoms] + (axes @ self._centres)[..., 0]
        reach = (np.abs(normals @ axes) @ self._halves)[..., 0]
        outside: np.ndarray = (centres @ normals.T - offsets > reach).any(1)
        return outside


def view_planes(camera: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the planes around what a camera sees: normals `(6, 3)`, offsets `(6,)`.

    Normals point outwards: `x` is outside of plane p where `normals[p] @ x > offsets[p]`. `camera`
    is a `mujoco.MjvGLCamera` of a square image, as all here are.
    """
    near, far = camera.frustum_near, camera.frustum_far
    low, high, middle = camera.frustum_bottom, camera.frustum_top, camera.frustum_center
    half = camera.frustum_width or (high - low) / 2
    forward, up = np.array(camera.forward, float), np.array(camera.up, float)
    right = np.cross(forward, up)
    normals = np.stack(
        [
            near * right - (middle + half) * forward,
            -near * right + (middle - half) * forward,
            near * up - high * forward,
            -near * up + low * forward,
            -forward,
            forward,
        ]
    )
    offsets = normals @ np.array(camera.pos, float) + np.array([0.0, 0.0, 0.0, 0.0, -near, far])
    return normals, offsets
