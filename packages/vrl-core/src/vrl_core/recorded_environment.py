"""Flags of the environment that data was recorded in, where `vrl train` is told no other.

`--environment.assets FOLDER` then changes that one setting of it. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import closing, nullcontext
from dataclasses import fields
from typing import Any

from vrl_core.config import from_data
from vrl_core.errors import VRLError, unknown_name
from vrl_core.hooks import DatasetConfig, EnvironmentConfig
from vrl_core.registry import Registry

AS_RECORDED = "as-recorded"
"""Word for the environment of the data."""
_CHOICE, _FLAG = "environment:", "--environment."


def overlays(words: Sequence[str], *, configured: bool) -> bool:
    """Whether the words change settings of the recorded environment: they name no other.

    `configured` says that a file names one, which a word may put back to the recorded.
    """
    chosen = {word for word in words if word.startswith(_CHOICE)}
    meant = chosen == {_CHOICE + AS_RECORDED} or not (chosen or configured)
    return meant and any(word.startswith(_FLAG) for word in words)


def without_choice(words: Sequence[str]) -> list[str]:
    """Leave out the word that chooses an environment."""
    return [word for word in words if not word.startswith(_CHOICE)]


def without_environment(words: Sequence[str], choices: Collection[str]) -> list[str]:
    """Leave out the flags of an environment too, with their values.

    These end at the next flag, or where a word chooses the plugin of one of the fields `choices`.
    """
    kept, dropping = [], False
    for word in words:
        field, colon, _ = word.partition(":")
        if word.startswith("--") or (colon and field in choices):
            dropping = word.startswith(_FLAG)
        kept += [] if dropping else [word]
    return without_choice(kept)


def check_flags(words: Sequence[str], environment: EnvironmentConfig, registry: Registry) -> None:
    """Raise `VRLError` for flags of settings that the recorded environment has not."""
    known = [field.name for field in fields(environment) if field.init]
    _, name = registry.name_of(type(environment)) or ("", type(environment).__name__)
    kind = f"setting of {name}, the environment of the data,"
    for word in words:
        if word.startswith(_FLAG):
            setting = word.removeprefix(_FLAG).partition("=")[0].replace("-", "_")
            if setting not in known and setting.removeprefix("no_") not in known:
                raise unknown_name(kind, setting, known)


def recorded_environment(dataset: DatasetConfig, registry: Registry) -> EnvironmentConfig:
    """Return the environment that a dataset was recorded in.

    Raises `VRLError` when the data cannot be opened or does not say.
    """
    opened: Any = dataset.build()
    with closing(opened) if hasattr(opened, "close") else nullcontext():
        data = opened.spec.environment
    if data is None:
        known = ", ".join(registry.names("environments")) or "none"
        raise VRLError(
            "The data does not say which environment it was recorded in, so that it has no "
            f"settings to change. Name one, environment:NAME, of: {known}."
        )
    environment: EnvironmentConfig = from_data("environments", dict(data), registry)
    return environment
