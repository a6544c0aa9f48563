"""Draw finely meshed bodies and floors with fewer triangles. Physics never sees the difference."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

FINE_MESH = 200
"""Triangles above which a mesh is thinned; below, it costs less than it is worth."""
PLANE = 0
"""MuJoCo's number of the geom type, `mjGEOM_PLANE`."""
MOST_CELLS = 200
"""Cells along a plane's side that MuJoCo draws at most."""


@contextmanager
def coarse_meshes(model: Any, detail: float) -> Iterator[None]:
    """Leave out the triangles of fine meshes that lie within cubes of `detail` metres.

    To be held while a renderer copies the meshes; the model is then put back. `model` is a
    `mujoco.MjModel`; with a `detail` of 0 nothing is changed.
    """
    if detail <= 0:
        yield
        return
    fields = (model.mesh_face, model.mesh_facenormal, model.mesh_facetexcoord, model.mesh_facenum)
    previous = [field.copy() for field in fields]
    for mesh in np.flatnonzero(model.mesh_facenum > FINE_MESH):
        _thin(model, int(mesh), detail)
    try:
        yield
    finally:
        for field, values in zip(fields, previous, strict=True):
            field[:] = values


@contextmanager
def coarse_planes(model: Any, cells: int | None) -> Iterator[None]:
    """Divide the planes of more than `cells` times `cells` cells into no more on each side.

    Light is computed at the corners of the cells and shaded in between, so a floor without any
    would look another. To be held as `coarse_meshes` is; None changes nothing.
    """
    if cells is None:
        yield
        return
    previous = model.geom_size.copy()
    for plane in np.flatnonzero(model.geom_type == PLANE):
        width, height, spacing = model.geom_size[plane]
        drawn = [min(MOST_CELLS, 2 * side / spacing) if spacing else 1 for side in (width, height)]
        if drawn[0] * drawn[1] > cells * cells:
            model.geom_size[plane, 2] = 2 * max(width, height) / cells
    try:
        yield
    finally:
        model.geom_size[:] = previous


def _thin(model: Any, mesh: int, detail: float) -> None:
    start, count = int(model.mesh_faceadr[mesh]), int(model.mesh_facenum[mesh])
    first = int(model.mesh_vertadr[mesh])
    vertices = model.mesh_vert[first : first + int(model.mesh_vertnum[mesh])]
    faces = model.mesh_face[start : start + count].copy()
    moved = representatives(vertices, detail)[faces]
    kept = distinct_triangles(moved)
    rows = slice(start, start + len(kept))
    model.mesh_face[rows] = moved[kept]
    for corners in (model.mesh_facenormal, model.mesh_facetexcoord):
        if len(corners) >= start + count:
            corners[rows] = corners[start : start + count][kept]
    model.mesh_facenum[mesh] = len(kept)


def representatives(vertices: np.ndarray, detail: float) -> np.ndarray:
    """Return for each of the vertices `(vertex, 3)` the one that stands for its cube `(vertex,)`.

    It is the vertex nearest to the mean of those in the cube.
    """
    cells = np.floor(vertices / detail).astype(np.int64)
    _, cell, sizes = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    cell = cell.reshape(-1)
    means = np.zeros((len(sizes), 3))
    np.add.at(means, cell, vertices)
    distances = np.linalg.norm(vertices - (means / sizes[:, None])[cell], axis=1)
    order = np.lexsort((distances, cell))
    nearest = order[np.searchsorted(cell[order], np.arange(len(sizes)))]
    chosen: np.ndarray = nearest[cell]
    return chosen


def distinct_triangles(faces: np.ndarray) -> np.ndarray:
    """Return the rows of the triangles `(face, 3)` that have an area, of equal ones the first."""
    real = np.flatnonzero(
        (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    )
    _, first = np.unique(np.sort(faces[real], axis=1), axis=0, return_index=True)
    kept: np.ndarray = real[np.sort(first)]
    return kept
