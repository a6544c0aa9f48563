"""Which settings are paths, so that a configuration means the same in every folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, TypeVar

PATH_FIELDS = ("path", "behaviours")
"""Fields that hold a path although they are text, by the convention of dataset configurations."""
ConfigT = TypeVar("ConfigT")


def path_values(config: Any) -> dict[str, Path]:
    """Return the fields of a configuration that hold paths, absolute."""
    found = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, Path) or (field.name in PATH_FIELDS and isinstance(value, str)):
            found[field.name] = Path(value).expanduser().absolute()
    return found


def with_absolute_paths(config: ConfigT) -> ConfigT:
    """Return a configuration whose paths are absolute, those of configurations in it too."""
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        return config
    named = path_values(config)
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name in named:
            changed: Any = type(value)(named[field.name])
        else:
            changed = with_absolute_paths(value)
        if field.init and changed is not value:
            changes[field.name] = changed
    return dataclasses.replace(config, **changes) if changes else config
