"""Refusals of settings that cannot be meant. Imports nothing heavy."""

from __future__ import annotations

import math
from typing import Any

from vrl_core.errors import VRLError


def require(config: Any, *names: str, least: float, most: float = math.inf) -> None:
    """Raise `VRLError` unless each of these settings lies within bounds (NaN does not)."""
    for name in names:
        value = getattr(config, name)
        if not least <= value <= most or not math.isfinite(value):
            bounds = f"at least {least}" if most == math.inf else f"between {least} and {most}"
            raise VRLError(f"{name} must be {bounds}, not {value}.")


def require_layers(config: Any, *names: str) -> None:
    """Raise `VRLError` unless each of these settings is one or more positive sizes."""
    for name in names:
        sizes = getattr(config, name)
        if not sizes or min(sizes) < 1:
            raise VRLError(f"{name} must be one or more positive sizes, not {sizes}.")
