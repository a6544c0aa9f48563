"""Asks one module its hooks and refuses answers that would fail later."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Mapping
from types import FunctionType, ModuleType
from typing import Any

import pluggy

from vrl_core import hooks
from vrl_core.commands import COMMANDS
from vrl_core.errors import unknown_name

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]*")
"""Names are words of the command line: no capitals, spaces or colons."""
RESERVED: Mapping[str, frozenset[str]] = {
    "algorithms": frozenset(
        {"name", "preset", "config", "resume", "data", "plugin", "plugins", "algorithm"}
        | {"dataset", "environment", "callbacks", "seed", "output"}
    ),
    "commands": frozenset({"name", "run", "help", "plugin", "traceback"}),
}
"""Field names that mean something else in a file or on the command line, by kind."""
TAKEN: Mapping[str, frozenset[str]] = {"vrl_commands": frozenset({*COMMANDS, "help"})}
"""Names that are VRL's own and cannot be added, by hook."""


class PluginError(Exception):
    """Why a plugin is set aside."""


def answers_of(module: ModuleType) -> dict[str, dict[str, type[Any]]]:
    """Return what a plugin adds: configuration classes by kind and name.

    Raises `PluginError` for a misspelt or unmarked hook, a hook that raises, and an answer that
    is not a dictionary from names to frozen, keyword-only dataclasses of the right kind.
    """
    manager = _register(module)
    _refuse_unmarked(module)
    answers: dict[str, dict[str, type[Any]]] = {}
    for hook, base in hooks.HOOKS.items():
        caller = getattr(manager.hook, hook)
        if caller.get_hookimpls():
            answers[hook.removeprefix("vrl_")] = _checked(hook, _ask(caller, hook), base)
    if not answers:
        raise PluginError(f"answers none of the hooks {', '.join(hooks.HOOKS)}")
    return answers


def _register(module: ModuleType) -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.add_hookspecs(hooks)
    try:
        manager.register(module)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(_misspelt(module) or " ".join(str(error).split())) from error
    return manager


def _misspelt(module: ModuleType) -> str:
    marked = (
        name for name, value in vars(module).items() if hasattr(value, f"{hooks.PROJECT}_impl")
    )
    wrong = [name for name in marked if name not in hooks.HOOKS]
    return str(unknown_name("hook", wrong[0], hooks.HOOKS)) if wrong else ""


def _refuse_unmarked(module: ModuleType) -> None:
    for name in hooks.HOOKS:
        function = getattr(module, name, None)
        if isinstance(function, FunctionType) and not hasattr(function, f"{hooks.PROJECT}_impl"):
            raise PluginError(f"{name} lacks @hookimpl, so it would never be asked")


def _ask(caller: pluggy.HookCaller, hook: str) -> Any:
    try:
        answers = caller()
    except (Exception, SystemExit) as error:
        raise PluginError(f"{hook}() raised {type(error).__name__}: {error}") from error
    return answers[0] if answers else {}


def _checked(hook: str, answer: Any, base: type) -> dict[str, type[Any]]:
    if not isinstance(answer, Mapping):
        raise PluginError(
            f"{hook}() must return a dictionary from names to {base.__name__} classes, "
            f"not {type(answer).__name__}"
        )
    for name, config in answer.items():
        if not isinstance(name, str) or not NAME_PATTERN.fullmatch(name):
            raise PluginError(
                f"{hook}() uses the name {name!r}; names are lower-case letters, digits, "
                "'-', '_' and '.'"
            )
        if name in TAKEN.get(hook, ()):
            raise PluginError(f"{hook}() adds {name!r}, which VRL has already; choose another name")
        check_config(config, base, f"{hook}()[{name!r}]")
    return dict(answer)


def check_config(config: Any, base: type, where: str) -> None:
    """Refuse what is not a frozen, keyword-only dataclass derived from `base`."""
    if not (isinstance(config, type) and issubclass(config, base)):
        raise PluginError(f"{where} must be a class derived from {base.__name__}, not {config!r}")
    # A subclass without the decorator has its parent's parameters, but not its own fields.
    if "__dataclass_params__" not in vars(config):
        raise PluginError(f"{where}: {config.__name__} lacks @dataclass(frozen=True, kw_only=True)")
    dataclass: Any = config
    fields = dataclasses.fields(dataclass)
    if not dataclass.__dataclass_params__.frozen or not all(field.kw_only for field in fields):
        raise PluginError(
            f"{where}: {config.__name__} must be @dataclass(frozen=True, kw_only=True)"
        )
    _check_fields(config, base, fields, where)


def _check_fields(
    config: type, base: type, fields: tuple[dataclasses.Field[Any], ...], where: str
) -> None:
    kind = next(h.removeprefix("vrl_") for h, b in hooks.HOOKS.items() if b is base)
    reserved = RESERVED.get(kind, frozenset({"name"}))
    for field in fields:
        if field.name in reserved:
            raise PluginError(f"{where}: a field may not be called {field.name!r}; rename it")
    try:
        typing.get_type_hints(config)
    except Exception as error:
        raise PluginError(f"{where}: the fields' types do not resolve: {error}") from error
