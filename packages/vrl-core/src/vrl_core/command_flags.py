"""Turns the words of a plugin's command into its configuration."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from vrl_core.errors import VRLError
from vrl_core.hooks import POSITIONAL, CommandConfig
from vrl_core.plugin_choices import (
    choice,
    chosen_first,
    flag_names,
    flags_dataclass,
    parse_flags,
    plugin_fields,
    settable_fields,
)
from vrl_core.registry import Registry


def parse_command(
    command: type[CommandConfig], name: str, words: Sequence[str], registry: Registry
) -> CommandConfig:
    """Return the command with the settings that the words give it.

    Raises `VRLError` for unknown plugins and flags and for settings that the command refuses; exits
    with 2 for values that do not parse and with 0 after printing help, as tyro does.
    """
    flags = _flags_class(command, registry)
    kinds = plugin_fields(command)
    ordered = chosen_first(words, kinds, typing.get_type_hints(flags), registry)
    try:
        parsed = parse_flags(
            flags,
            prog=f"vrl {name}",
            description=inspect.cleandoc(command.__doc__ or ""),
            words=ordered,
            known=flag_names(flags),
        )
    except ValueError as error:
        # What the configuration's own __post_init__ refuses.
        raise VRLError(f"{name}: {error}") from error
    values = {field.name: getattr(parsed, field.name) for field in settable_fields(command)}
    _refuse_nothing(command, name, values)
    return command(**values)


def _refuse_nothing(command: type[CommandConfig], name: str, values: Mapping[str, Any]) -> None:
    """Raise `VRLError` for words that must be given; tyro takes none for an empty tuple."""
    for field in settable_fields(command):
        required = _default(field) != ()
        if required and values[field.name] == () and _is_positional(command, field):
            shown = field.name.upper()
            raise VRLError(f"{name} needs {field.name}: vrl {name} {shown} ...")


def _is_positional(command: type[CommandConfig], field: dataclasses.Field[Any]) -> bool:
    hint = typing.get_type_hints(command, include_extras=True)[field.name]
    return POSITIONAL in getattr(hint, "__metadata__", ())


def _flags_class(command: type[CommandConfig], registry: Registry) -> type[Any]:
    """Return the class that tyro parses: plugins are choices, marked fields positional."""
    import tyro

    hints = typing.get_type_hints(command, include_extras=True)
    kinds = plugin_fields(command)
    fields: dict[str, tuple[Any, Any]] = {}
    for field in settable_fields(command):
        if field.name in kinds:
            fields[field.name] = choice(kinds[field.name], _default(field), registry)
        elif _is_positional(command, field):
            shown = tyro.conf.arg(metavar=field.name.upper().replace("_", "-"))
            kind: Any = Annotated[hints[field.name], tyro.conf.Positional, shown]
            fields[field.name] = (kind, _default(field))
    return flags_dataclass(command, fields) if fields else command


def _default(field: dataclasses.Field[Any]) -> Any:
    """Return a field's default, or tyro's mark of a field that must be given."""
    import tyro

    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return tyro.MISSING if field.default is dataclasses.MISSING else field.default
