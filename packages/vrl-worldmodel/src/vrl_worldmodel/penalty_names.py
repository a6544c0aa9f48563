"""What penalties are called, for messages. Imports nothing heavy."""

from __future__ import annotations

import sys

from vrl_core.hooks import PenaltyConfig
from vrl_core.registry import Registry


def name_of(penalty: PenaltyConfig) -> str:
    """Return the name that a penalty is chosen by, with a plugin's class, which is to blame."""
    cls = type(penalty)
    found = _registry(penalty).name_of(cls)
    if found and cls.__module__.startswith("vrl_worldmodel."):
        return found[1]
    place = f"{cls.__module__}.{cls.__name__}"
    return f"{found[1]} ({place})" if found else place


def fitting_names(penalty: PenaltyConfig, latent: str) -> list[str]:
    """Return the penalties, of plugins too, for ensembles of this kind: what to take instead."""
    return [
        name
        for name, cls in _registry(penalty).options("penalties").items()
        if latent in cls.kinds and not getattr(cls, "needs_simulator", False)
    ]


def _registry(penalty: PenaltyConfig) -> Registry:
    """Return what is installed, with the file that a penalty was given in (`--plugin`)."""
    registry = Registry()
    if registry.name_of(type(penalty)) is None:
        registry.load_module(sys.modules[type(penalty).__module__])
    return registry
