"""Settings that would be without a word of effect. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from vrl_core.errors import VRLError
from vrl_envs.qualities import qualities_in


def refuse_idle(config: Any, owners: Mapping[str, tuple[str, ...]]) -> None:
    """Raise `VRLError` for a dataset's setting of behaviours that do not act in its quality.

    `owners` are the behaviours that each setting is one of. A setting at its default is none that
    somebody gave.
    """
    defaults = {field.name: field.default for field in fields(config)}
    acting = qualities_in(config.quality)
    for name, behaviours in owners.items():
        if getattr(config, name) != defaults[name] and not {*behaviours} & {*acting}:
            raise VRLError(
                f"{name} {getattr(config, name)} would change nothing: quality {config.quality} "
                f"has no use for it, only {', '.join(behaviours)}. Leave it out, or choose another "
                f"quality, such as --quality {behaviours[-1]}."
            )
