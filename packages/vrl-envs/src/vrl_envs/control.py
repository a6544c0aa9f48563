"""What every environment asks of an action before its simulator sees it."""

from __future__ import annotations

import numpy as np

from vrl_core.errors import VRLError


def checked_action(action: np.ndarray, size: int, title: str) -> np.ndarray:
    """Return an action `(size,)` as float64; numbers beyond [-1, 1] are the simulator's to bound.

    Raises `VRLError` for another size and for numbers that are not finite, which simulators
    replace by zeros or fail on much later.
    """
    checked = np.asarray(action, np.float64)
    if checked.shape != (size,) or not np.isfinite(checked).all():
        raise VRLError(
            f"The action {checked.tolist()} is none of {title}'s, which are {size} finite numbers "
            "in [-1, 1]."
        )
    return checked
