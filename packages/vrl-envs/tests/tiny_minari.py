"""Minari datasets of images, written without Minari: HDF5 as it has it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image

SIZE = 32


def frames(rows: int, seed: int = 0, *, smooth: bool = False) -> np.ndarray:
    """Return noise, or ramps, of which JPEG keeps nearly all."""
    if smooth:
        ramp = np.linspace(0, 200, SIZE)[:, None, None] + np.zeros((SIZE, SIZE, 3))
        return np.stack([ramp + row for row in range(rows)]).astype(np.uint8)
    return np.random.default_rng(seed).integers(0, 256, (rows, SIZE, SIZE, 3), np.uint8)


def as_jpeg(images: np.ndarray) -> list[np.ndarray]:
    """Encode frames as Minari does."""
    encoded = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, format="JPEG")
        encoded.append(np.frombuffer(buffer.getvalue(), np.uint8))
    return encoded


def write_images(folder: Path, stored: Any = None, *, episodes: int = 1, **changes: Any) -> Path:
    """Write episodes of two steps that show `stored`, by default noise; return the folder."""
    (folder / "data").mkdir(parents=True)
    metadata = {
        "data_format": "hdf5",
        "observation_space": json.dumps(box((SIZE, SIZE, 3), "uint8", 0, 255)),
        "action_space": json.dumps(box((2,), "float32", -1, 1)),
    }
    (folder / "data/metadata.json").write_text(json.dumps(metadata | changes))
    dtype = h5py.vlen_dtype(np.uint8) if isinstance(stored, list) else None
    with h5py.File(folder / "data/main_data.hdf5", "w") as file:
        for index in range(episodes):
            group = file.create_group(f"episode_{index}")
            shown = frames(3, index) if stored is None else stored
            group.create_dataset("observations", data=shown, dtype=dtype)
            group["actions"] = np.zeros((2, 2), np.float32)
            for name in ("rewards", "terminations", "truncations"):
                group[name] = np.zeros(2)
    return folder


def box(shape: tuple[int, ...], dtype: str, low: float, high: float) -> dict[str, Any]:
    """Return a box as Minari writes one."""
    bounds = {"low": np.full(shape, low).tolist(), "high": np.full(shape, high).tolist()}
    return {"type": "Box", "dtype": dtype, "shape": list(shape), **bounds}
