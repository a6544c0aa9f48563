"""Frames and actions of the files that benchmarks and tests of conversions write."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

NOISE = True
"""Whether frames have noise, of which compressing them takes long."""
BLOCK = 512
"""Rows that are made at once."""


def frames(start: int, rows: int, size: int) -> np.ndarray:
    """Return frames that compress as simulators' do: flat areas, a gradient, a little noise."""
    row, place = start + np.arange(rows)[:, None, None], np.arange(size)
    images = np.zeros((rows, size, size, 3), np.uint8)
    images[..., 0] = (place + row) % 256
    images[..., 1] = (place[:, None] // 8 * 8) % 256
    if not NOISE:
        return images
    noisy = np.random.default_rng(start).integers(0, 16, (rows, size // 4, size, 3), np.uint8)
    images[:, : size // 4] += noisy
    return images


def actions(rows: int, width: int) -> np.ndarray:
    """Return actions `(rows, width)` in [-1, 1]."""
    return np.random.default_rng(rows).uniform(-1, 1, (rows, width)).astype(np.float32)


def blocks(rows: int) -> Iterator[tuple[int, int]]:
    """Yield first row and number of rows of what is made at once."""
    for start in range(0, rows, BLOCK):
        yield start, min(BLOCK, rows - start)
