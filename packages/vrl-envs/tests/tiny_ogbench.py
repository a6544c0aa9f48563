"""Files in OGBench's format: trajectories one behind the other, the last row of each terminal."""

from __future__ import annotations

from pathlib import Path

import numpy as np

JOINTS = {"antmaze": 15, "cube-single": 21, "scene": 25}
GOALS = {"antmaze": (20.0, 20.0)}
"""Where `antmaze-medium`'s task 1 ends."""


def write_ogbench(
    path: Path, *, lengths=(4, 3, 5), images=8, joints=15, buttons=0, compressed=True, **changes
) -> dict[str, np.ndarray]:
    """Write trajectories of so many rows and return the columns.

    The second state of every trajectory is at the goal of antmaze-medium's task 1.
    """
    rows = sum(lengths)
    rng = np.random.default_rng(0)
    ends = np.cumsum(lengths) - 1
    positions = rng.normal(0, 1, (rows, joints))
    positions[ends - np.array(lengths) + 2, :2] = GOALS["antmaze"]
    columns = {
        "observations": rng.integers(0, 256, (rows, images, images, 3), np.uint8)
        if images
        else rng.normal(0, 1, (rows, 29)).astype(np.float32),
        "actions": rng.uniform(-1, 1, (rows, 8)).astype(np.float32),
        "terminals": np.isin(np.arange(rows), ends).astype(np.float32),
        "qpos": positions,
        "qvel": np.zeros((rows, joints - 1)),
    }
    if buttons:
        columns["button_states"] = rng.integers(0, 2, (rows, buttons))
    columns = {name: value for name, value in (columns | changes).items() if value is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    (np.savez_compressed if compressed else np.savez)(path, **columns)
    return columns
