"""Which releases MetaWorld runs with here. Imports none of them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from vrl_core.errors import VRLError

SUPPORTED: Mapping[str, str] = {"metaworld": "3.1.1", "mujoco": "3.3.0", "dm_control": "1.0.28"}
"""Releases that work together. Others install without complaint and fail at run time: metaworld
3.0.0 takes mujoco 4, whose models it cannot load."""
INSTALL = "pip install 'vrl-envs[metaworld]'"


def require_metaworld() -> None:
    """Raise `VRLError`, saying what to install, unless the supported releases are there."""
    found = {name: installed(name) for name in SUPPORTED}
    if found["metaworld"] is None:
        raise VRLError(f"MetaWorld is not installed. Install it: {INSTALL}")
    if found != SUPPORTED:
        there = ", ".join(f"{name} {release or '(none)'}" for name, release in found.items())
        needed = ", ".join(f"{name} {release}" for name, release in SUPPORTED.items())
        raise VRLError(
            f"MetaWorld runs with {needed}; here are {there}, which may install together and "
            f"still fail at run time. Install the former: {INSTALL}"
        )


def installed(distribution: str) -> str | None:
    """Return the release of an installed distribution, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
