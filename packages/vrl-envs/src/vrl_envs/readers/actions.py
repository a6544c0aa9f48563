"""Actions as a store holds them: within [-1, 1]."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vrl_core.errors import VRLError

ACTION_TOLERANCE = 1e-3
"""Actions this far outside [-1, 1] are rounding."""


def bounded(actions: np.ndarray, place: Path | str, *, clip: bool | None = None) -> np.ndarray:
    """Return actions clipped to [-1, 1] from rounding, or from anywhere if asked to `clip`.

    `place` is the file, or says what of it was read. Raises `VRLError` for larger ones, and tells
    that they may be clipped unless `clip` is None.
    """
    largest = float(np.abs(actions).max(initial=0))
    if np.isnan(largest) or (largest > 1 + ACTION_TOLERANCE and not clip):
        hint = "" if clip is None else " --dataset.clip-actions clips them, as simulators do."
        raise VRLError(f"{place} has actions of size {largest:g}; they must lie in [-1, 1].{hint}")
    clipped: np.ndarray = np.clip(actions, -1, 1)
    return clipped
