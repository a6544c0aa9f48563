"""Actions as a store holds them: within [-1, 1]."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vrl_core.errors import VRLError

ACTION_TOLERANCE = 1e-3
"""Actions this far outside [-1, 1] are rounding."""


def bounded(actions: np.ndarray, path: Path) -> np.ndarray:
    """Return actions clipped to [-1, 1] from rounding. Raises `VRLError` for larger ones."""
    largest = float(np.abs(actions).max(initial=0))
    if not largest <= 1 + ACTION_TOLERANCE:
        raise VRLError(f"{path} has actions of size {largest:g}; they must lie in [-1, 1].")
    clipped: np.ndarray = np.clip(actions, -1, 1)
    return clipped
