"""Writes small files in V-D4RL's formats whose every number tells which row it belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

STEPS = 4


def rows(
    steps: int = STEPS, *, episode: int = 0, size: int = 4, actions: int = 6
) -> dict[str, Any]:
    """Return `steps` + 1 rows as DreamerV2 recorded them.

    Row t's image is filled with t (red), the episode (green) and 7 (blue); its action, which led
    here, is t/100; its reward, for arriving here, is 10 * episode + t.
    """
    count = steps + 1
    row = np.arange(count)
    image = np.zeros((count, size, size, 3), dtype=np.uint8)
    image[..., 0] = row[:, None, None]
    image[..., 1] = episode
    image[..., 2] = 7
    return {
        "image": image,
        "action": np.repeat(row[:, None] / 100, actions, axis=1).astype(np.float32),
        "reward": np.where(row > 0, 10.0 * episode + row, 0.0),
        "discount": np.ones(count),
        "is_first": row == 0,
        "is_last": row == steps,
        "is_terminal": np.zeros(count, dtype=bool),
    }


def write_npz(folder: Path, episodes: int = 1, **changes: Any) -> list[Path]:
    """Write one file an episode; `changes` replace columns, None leaves one out."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for episode in range(episodes):
        columns = rows(episode=episode) | changes
        path = folder / f"20220101T00000{episode}-{'ab' * 16}-{STEPS + 1}.npz"
        np.savez_compressed(path, **{k: v for k, v in columns.items() if v is not None})
        paths.append(path)
    return paths


def table(lengths: list[int], *, first_episode: int = 0, **options: Any) -> dict[str, Any]:
    """Return episodes one after another, with the columns of an 84 px file."""
    parts = [
        rows(length, episode=first_episode + number, **options)
        for number, length in enumerate(lengths)
    ]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {
        "observation": joined["image"].transpose(0, 3, 1, 2),
        "action": joined["action"],
        "reward": joined["reward"],
        "discount": joined["discount"],
        "step_type": np.where(joined["is_first"], 0, np.where(joined["is_last"], 2, 1)),
    }


def write_hdf5(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    """Write one table, compressed with gzip; `options` go to the observations' dataset."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, value in columns.items():
            extra = options if name == "observation" else {}
            file.create_dataset(name, data=value, compression="gzip", **extra)
    return path
