"""Flags for fields that hold a plugin: a word such as `penalty:mean-std` chooses which.

tyro parses a dataclass in which such a field is a union of all plugins of its kind. These classes
are made here, for `vrl train` (`flags.py`) and for the commands of plugins (`command_flags.py`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import sys
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Union

from vrl_core.errors import VRLError
from vrl_core.registry import KINDS, SINGULAR, Registry

DEFAULT = "default"
"""Word for a default that is no plugin's class."""
OF_TASKS = ("datasets", "environments")
"""Kinds of plugin whose choice may name a task after another colon."""


def settable_fields(cls: Any) -> list[dataclasses.Field[Any]]:
    """Return the fields that the class is constructed with."""
    return [field for field in dataclasses.fields(cls) if field.init]


def plugin_fields(cls: type) -> dict[str, str]:
    """Return the kind of plugin of each field that takes one."""
    hints = typing.get_type_hints(cls)
    kinds = {base: kind for kind, base in KINDS.items()}
    fields = (field.name for field in settable_fields(cls))
    return {name: kinds[hints[name]] for name in fields if hints[name] in kinds}


def choice(
    kind: str, default: Any, registry: Registry, extra: Mapping[str, type] | None = None
) -> tuple[Any, Any]:
    """Return the type of a choice among plugins of a kind, and the default.

    Raises `VRLError` when there is nothing to choose from.
    """
    options: dict[str, type] = {**(extra or {}), **registry.options(kind)}
    if dataclasses.is_dataclass(default) and type(default) not in options.values():
        options[DEFAULT] = type(default)
    if not options:
        raise VRLError(f"No {SINGULAR[kind]} is installed; see: vrl plugins")
    return _union(options, default), default


def chosen_first(
    words: Sequence[str],
    kinds: Mapping[str, str],
    hints: Mapping[str, Any],
    registry: Registry,
    special: Mapping[str, str] | None = None,
) -> list[str]:
    """Move words such as `dataset:dmc` to the front, where tyro wants them; check their names.

    `dataset:dmc:walker_walk` is short for `dataset:dmc --dataset.task walker_walk`.

    Args:
        words: The command line.
        kinds: Kind of plugin of each field that takes one.
        hints: Types of these fields in the class that tyro parses.
        registry: Where the names are looked up.
        special: A further name that a field knows.

    Raises `VRLError` with the nearest match for a name that does not exist.
    """
    chosen: dict[str, str] = {}
    rest: list[str] = []
    for word in words:
        field, colon, name = word.partition(":")
        if colon and field in kinds and not name.startswith("/"):
            if kinds[field] in OF_TASKS:
                name, further, task = name.partition(":")
                word = f"{field}:{name}"
                rest += [f"--{field}.task", task] if further else []
            if name not in (DEFAULT, (special or {}).get(field)):
                registry.get(kinds[field], name)
            chosen[field] = word
        else:
            rest.append(word)
    # tyro takes a choice of one for no choice, and would not know the word.
    some = [word for field, word in chosen.items() if len(typing.get_args(hints[field])) > 1]
    return [*some, *rest]


def flags_dataclass(base: type, fields: Mapping[str, tuple[Any, Any]]) -> type[Any]:
    """Return a subclass of a dataclass in which these fields have other types and defaults."""
    specified = [
        (name, kind, dataclasses.field(default=value)) for name, (kind, value) in fields.items()
    ]
    return dataclasses.make_dataclass(
        base.__name__, specified, bases=(base,), frozen=True, kw_only=True, repr=False
    )


def flag_names(cls: Any, inlined: str = "", prefix: str = "") -> list[str]:
    """Return the flags of a dataclass, of its nested dataclasses and of all choices.

    The fields of the field `inlined` are flags without its name before them.
    """
    names: list[str] = []
    hints = typing.get_type_hints(cls)
    for field, hint in ((field.name, hints[field.name]) for field in settable_fields(cls)):
        members = [m for m in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(m)]
        here = "" if field == inlined and not prefix else f"{prefix}{field}."
        for member in members:
            names += flag_names(member, inlined, here)
        flag = f"{prefix}{field}".replace("_", "-")
        names += [] if members else [f"--{flag}", *([f"--no-{flag}"] if hint is bool else [])]
    return names


def parse_flags(
    cls: type[Any], *, prog: str, description: str, words: Sequence[str], known: Sequence[str]
) -> Any:
    """Return an object of a dataclass with the settings that the words give it.

    Raises `VRLError` for a flag that is not `known`: tyro, asked about choices that are not made,
    knows neither all flags nor where they are explained. Other mistakes it prints itself and exits
    with 2; it exits with 0 after printing help.
    """
    import tyro

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            config = (tyro.conf.CascadeSubcommandArgs,)
            return tyro.cli(
                cls, prog=prog, description=description, args=list(words), config=config
            )
    except SystemExit:
        if "Unrecognized options" in said.getvalue():
            for word in words:
                refuse_unknown_flag(word, known, prog)
        sys.stderr.write(said.getvalue())
        raise


def refuse_unknown_flag(word: str, known: Iterable[str], prog: str) -> None:
    """Raise `VRLError` with the nearest match when a word is a flag that is not known."""
    flag, names = word.partition("=")[0].replace("_", "-"), sorted(known)
    if not flag.startswith("--") or flag in (*names, "--", "--help"):
        return
    nearest = difflib.get_close_matches(flag, names, n=1)
    meant = f" Did you mean {nearest[0]}?" if nearest else ""
    raise VRLError(f"There is no flag {flag}.{meant} See: {prog} --help")


def _union(options: Mapping[str, type], default: Any) -> Any:
    """Return a union that tyro shows as a choice of words, with a default among them."""
    import tyro

    members = []
    for name, cls in options.items():
        start = default if type(default) is cls else tyro.MISSING_NONPROP
        members.append(Annotated[cls, tyro.conf.subcommand(name=name, default=start)])
    return Union[tuple(members)]  # noqa: UP007 - its members are known only now
