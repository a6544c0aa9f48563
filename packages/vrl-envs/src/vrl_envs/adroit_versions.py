"""Which releases the Adroit hand runs with here. Imports none of them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from vrl_core.errors import VRLError

SUPPORTED: Mapping[str, str] = {"gymnasium-robotics": "1.4.2", "mujoco": "3.3.0"}
"""Releases that work together. Gymnasium Robotics 1.4.3 changes the rewards of three tasks, and
what a simulator computes is part of every episode."""
INSTALL = "pip install 'vrl-envs[robotics]'"


def require_robotics() -> None:
    """Raise `VRLError`, saying what to install, unless the supported releases are there."""
    found = {name: installed(name) for name in SUPPORTED}
    if found["gymnasium-robotics"] is None:
        raise VRLError(f"The Adroit hand needs Gymnasium Robotics. Install it: {INSTALL}")
    if found != SUPPORTED:
        there = ", ".join(f"{name} {release or '(none)'}" for name, release in found.items())
        needed = ", ".join(f"{name} {release}" for name, release in SUPPORTED.items())
        raise VRLError(
            f"The Adroit hand runs with {needed}; here are {there}, which have other rewards or "
            f"other physics. Install the former: {INSTALL}"
        )


def installed(distribution: str) -> str | None:
    """Return the release of an installed distribution, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
