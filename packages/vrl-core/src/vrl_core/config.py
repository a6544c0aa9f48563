"""Configurations as plain data: YAML files in, YAML files out.

A registered configuration carries its name under `name`; every other dataclass is its fields.
Unknown keys are refused with the nearest match, every error names the key's path, and `1e-4` is
a number.
"""

from __future__ import annotations

import dataclasses
import enum
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from vrl_core.atomic import write_text
from vrl_core.errors import VRLError, unknown_name
from vrl_core.hooks import HOOKS, AlgorithmConfig
from vrl_core.registry import KINDS, SINGULAR, Registry

NAME = "name"
"""Key of a registered configuration's name."""
PRESET = "preset"
"""Key of an algorithm's preset, which fills what a file leaves out."""
ConfigT = TypeVar("ConfigT")


def to_data(config: Any, registry: Registry) -> Any:
    """Return a configuration as dictionaries, lists and plain values, as `from_data` reads it."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return _fields_to_data(config, registry)
    if isinstance(config, Mapping):
        return {str(key): to_data(value, registry) for key, value in config.items()}
    if isinstance(config, enum.Enum):
        return config.name
    if isinstance(config, Path):
        return str(config)
    if isinstance(config, list | tuple | set | frozenset):
        return [to_data(value, registry) for value in config]
    if config is None or isinstance(config, bool | int | float | str):
        return config
    raise VRLError(f"A configuration cannot hold a {type(config).__name__}: {config!r}")


def _fields_to_data(config: Any, registry: Registry) -> dict[str, Any]:
    registered = registry.name_of(type(config))
    data: dict[str, Any] = {NAME: registered[1]} if registered else {}
    for field in dataclasses.fields(config):
        data[field.name] = to_data(getattr(config, field.name), registry)
    return data


@typing.overload
def from_data(
    kind: type[ConfigT], data: Any, registry: Registry, *, default: Any = None, path: str = ""
) -> ConfigT: ...
@typing.overload
def from_data(
    kind: str, data: Any, registry: Registry, *, default: Any = None, path: str = ""
) -> Any: ...
def from_data(
    kind: str | type[Any], data: Any, registry: Registry, *, default: Any = None, path: str = ""
) -> Any:
    """Return the configuration that plain data describes.

    Args:
        kind: A kind of plugin (`algorithms`, `datasets`, ...), whose `name` key decides the
            class, or the class itself.
        data: Dictionaries, lists and plain values.
        registry: Where names are looked up.
        default: A configuration whose fields fill what the data leaves out.
        path: Where the data stands in its file, for errors.

    Raises `VRLError` for unknown names and keys, missing keys and values of another type.
    """
    reader = _Reader(registry)
    annotation = KINDS[kind] if isinstance(kind, str) else kind
    return reader.read(annotation, data, path, default)


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file of keys and values. Raises `VRLError` with the line where it is wrong."""
    import yaml

    from vrl_core.yaml_loader import Loader

    try:
        text = path.read_text(encoding="utf-8")
        data = yaml.load(text, Loader)
    except FileNotFoundError as error:
        raise VRLError(f"There is no file {path}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise VRLError(f"Cannot read {path}: {error}") from error
    except yaml.YAMLError as error:
        raise VRLError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise VRLError(f"{path} must hold keys and values, not {_said(data)}.")
    return data


def save_yaml(path: Path, data: Mapping[str, Any]) -> None:
    """Write a YAML file, all of it or none: written aside, synced, renamed."""
    import yaml

    try:
        write_text(path, yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True))
    except OSError as error:
        raise VRLError(f"Cannot write {path}: {error.strerror or error}") from error


class _Reader:
    """Turns data into values of annotated types, remembering where it is."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def read(self, annotation: Any, data: Any, path: str, default: Any = None) -> Any:
        """Return `data` as a value of the annotated type."""
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            return self.read(typing.get_args(annotation)[0], data, path, default)
        if annotation is Any or isinstance(annotation, TypeVar):
            return data
        if origin in (Union, types.UnionType):
            return self._union(annotation, data, path, default)
        if origin is Literal:
            return _literal(typing.get_args(annotation), data, path)
        if annotation in HOOKS.values():
            return self._registered(annotation, data, path, default)
        if dataclasses.is_dataclass(annotation):
            return self._dataclass(annotation, data, path, default)
        return self._plain(annotation, origin or annotation, data, path)

    def _plain(self, annotation: Any, origin: Any, data: Any, path: str) -> Any:
        arguments = typing.get_args(annotation)
        if origin in (tuple, list, set, frozenset, Sequence):
            return self._sequence(origin, arguments, data, path)
        if origin in (dict, Mapping):
            return self._mapping(arguments, data, path)
        if isinstance(origin, type) and issubclass(origin, enum.Enum):
            return _enumeration(origin, data, path)
        if origin in _SCALARS:
            return _SCALARS[origin](data, path)
        raise VRLError(f"{_at(path)}values of type {annotation} cannot be read from data.")

    def _union(self, annotation: Any, data: Any, path: str, default: Any) -> Any:
        options = typing.get_args(annotation)
        if data is None and type(None) in options:
            return None
        failures = []
        # The first that fits, exact matches of the plain value's type before others.
        for option in sorted(options, key=lambda option: option is not type(data)):
            if option is type(None):
                continue
            try:
                return self.read(option, data, path, default)
            except VRLError as error:
                failures.append(error)
        if len(failures) == 1:
            raise failures[0]
        said = " or ".join(_type_name(option) for option in options)
        raise VRLError(f"{_at(path)}expected {said}, not {_said(data)}.")

    def _sequence(self, origin: Any, arguments: Any, data: Any, path: str) -> Any:
        if not isinstance(data, list | tuple):
            raise VRLError(f"{_at(path)}expected a list, not {_said(data)}.")
        fixed = origin is tuple and arguments and arguments[-1] is not Ellipsis
        if fixed and len(arguments) != len(data):
            raise VRLError(f"{_at(path)}expected {len(arguments)} values, not {len(data)}.")
        kinds = arguments if fixed else [arguments[0] if arguments else Any] * len(data)
        pairs = enumerate(zip(kinds, data, strict=True))
        values = [self.read(k, v, f"{path}[{i}]") for i, (k, v) in pairs]
        return values if origin is list else (tuple if origin is Sequence else origin)(values)

    def _mapping(self, arguments: Any, data: Any, path: str) -> dict[Any, Any]:
        key, value = arguments or (Any, Any)
        items = _keys_and_values(data, path).items()
        return {self.read(key, k, path): self.read(value, v, _join(path, k)) for k, v in items}

    def _registered(self, base: type, data: Any, path: str, default: Any) -> Any:
        kind = next(kind for kind, its_base in KINDS.items() if its_base is base)
        if isinstance(data, str):
            data = {NAME: data}
        values = dict(_keys_and_values(data, path))
        if NAME in values:
            name = _string(values.pop(NAME), _join(path, NAME))
            try:
                chosen = self._registry.get(kind, name)
            except VRLError as error:
                raise VRLError(f"{_at(path)}{error}") from error
        elif default is not None:
            chosen = type(default)
        else:
            known = ", ".join(self._registry.names(kind)) or "none"
            raise VRLError(
                f"{_at(path)}the key {NAME!r} must say which {SINGULAR[kind]}; known: {known}."
            )
        return self._dataclass(chosen, values, path, default)

    def _dataclass(self, cls: Any, data: Any, path: str, default: Any) -> Any:
        values = dict(_keys_and_values(data, path))
        fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
        registered = self._registry.name_of(cls)
        if registered and NAME not in fields and values.get(NAME) == registered[1]:
            del values[NAME]
        if issubclass(cls, AlgorithmConfig) and PRESET in values and PRESET not in fields:
            name = _string(values.pop(PRESET), _join(path, PRESET))
            default = preset(cls, name, called=registered[1] if registered else "")
        for key in values:
            if key not in fields:
                raise unknown_key(path, key, fields)
        return self._construct(cls, fields, values, path, default)

    def _construct(
        self, cls: Any, fields: Mapping[str, Any], values: Any, path: str, default: Any
    ) -> Any:
        hints = typing.get_type_hints(cls, include_extras=True)
        filled = default if type(default) is cls else None
        arguments: dict[str, Any] = {}
        for name, field in fields.items():
            base = getattr(filled, name) if filled is not None else None
            if name in values:
                arguments[name] = self.read(hints[name], values[name], _join(path, name), base)
            elif filled is not None:
                arguments[name] = base
            elif field.default is field.default_factory is dataclasses.MISSING:
                raise VRLError(f"{_at(path)}the key {name!r} is missing.")
        try:
            return cls(**arguments)
        except ValueError as error:
            raise VRLError(f"{_at(path)}{error}") from error


def preset(cls: type[AlgorithmConfig], name: str, *, called: str = "") -> AlgorithmConfig:
    """Return a preset of an algorithm, which is `called` by its registered name in errors.

    Raises `VRLError` with the nearest match when there is none of that name.
    """
    presets = cls.presets()
    if name not in presets:
        raise unknown_name(f"preset of {called or cls.__name__}", name, presets)
    return presets[name]


def unknown_key(path: str, key: str, fields: Mapping[str, Any]) -> VRLError:
    """Build the error for a key that is no field."""
    return VRLError(f"{_at(path)}{unknown_name('key', key, fields)}")


def _keys_and_values(data: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise VRLError(f"{_at(path)}expected keys and values, not {_said(data)}.")
    for key in data:
        if not isinstance(key, str):
            raise VRLError(f"{_at(path)}the key {key!r} must be text; put it in quotes.")
    return data


def _literal(options: tuple[Any, ...], data: Any, path: str) -> Any:
    for option in options:
        if type(option) is type(data) and option == data:
            return option
    known = [str(option) for option in options]
    raise VRLError(f"{_at(path)}{unknown_name('choice', str(data), known)}")


def _enumeration(cls: type[enum.Enum], data: Any, path: str) -> enum.Enum:
    if data in cls.__members__:
        return cls[data]
    raise VRLError(f"{_at(path)}{unknown_name('choice', str(data), cls.__members__)}")


def _boolean(data: Any, path: str) -> bool:
    if isinstance(data, bool):
        return data
    raise VRLError(f"{_at(path)}expected true or false, not {_said(data)}.")


def _integer(data: Any, path: str) -> int:
    number = _number(data)
    if isinstance(data, bool) or number is None or not float(number).is_integer():
        raise VRLError(f"{_at(path)}expected a whole number, not {_said(data)}.")
    return int(number)


def _float(data: Any, path: str) -> float:
    number = _number(data)
    if isinstance(data, bool) or number is None:
        raise VRLError(f"{_at(path)}expected a number, not {_said(data)}.")
    return float(number)


def _string(data: Any, path: str) -> str:
    if isinstance(data, str):
        return data
    raise VRLError(f"{_at(path)}expected text, not {_said(data)}; put it in quotes.")


def _path(data: Any, path: str) -> Path:
    return Path(data) if isinstance(data, Path) else Path(_string(data, path))


def _nothing(data: Any, path: str) -> None:
    if data is not None:
        raise VRLError(f"{_at(path)}expected null, not {_said(data)}.")


_SCALARS: Mapping[Any, Callable[[Any, str], Any]] = {
    bool: _boolean,
    int: _integer,
    float: _float,
    str: _string,
    Path: _path,
    type(None): _nothing,
}


def _number(data: Any) -> int | float | None:
    """Return a number, also one that YAML or JSON hands over as text, such as 1e-4."""
    if isinstance(data, int | float):
        return data
    if isinstance(data, str) and re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", data):
        return float(data)
    return None


def _said(data: Any) -> str:
    return f"{data!r} ({_type_name(type(data))})"


_TYPE_NAMES: Mapping[Any, str] = {
    dict: "keys and values",
    list: "a list",
    tuple: "a list",
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def _type_name(kind: Any) -> str:
    return _TYPE_NAMES.get(kind) or str(getattr(kind, "__name__", kind))


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _at(path: str) -> str:
    return f"{path}: " if path else ""
