"""Turns the words of `vrl train` into a `RunConfig`: flags over file over preset.

The registry resolves the algorithm first; then tyro parses only that algorithm's tree, in which
each field that takes a plugin (`dataset`, `environment`, an algorithm's `penalty`) is chosen by
a word such as `dataset:dmc` and set by flags such as `--dataset.task`, in any order.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from vrl_core.config import from_data, load_yaml, preset, unknown_key
from vrl_core.config_paths import with_absolute_paths
from vrl_core.errors import VRLError
from vrl_core.hooks import AlgorithmConfig, CallbackConfig
from vrl_core.plugin_choices import (
    choice,
    chosen_first,
    flag_names,
    flags_dataclass,
    parse_flags,
    plugin_fields,
    settable_fields,
)
from vrl_core.recorded_environment import (
    AS_RECORDED,
    check_flags,
    overlays,
    recorded_environment,
    without_choice,
    without_environment,
)
from vrl_core.registry import Registry
from vrl_core.run_config import RunConfig

DEFAULT_CALLBACKS = ("tensorboard",)
"""Observers of a run that says nothing about them."""


@dataclass(frozen=True, kw_only=True)
class AsRecorded:
    """The environment the data was recorded in. Flags such as `--environment.assets FOLDER` change
    a setting of it; those that the environment has are shown with its name: environment:NAME.
    """


@dataclass(frozen=True, kw_only=True)
class Request:
    """The words of `vrl train`, taken apart as far as possible without knowing the algorithm."""

    algorithm: str | None = None
    preset: str | None = None
    file: Path | None = None
    resume: Path | None = None
    words: tuple[str, ...] = ()
    """What is left for the algorithm's own parser."""

    @property
    def wants_help(self) -> bool:
        """Whether help is asked for."""
        return "-h" in self.words or "--help" in self.words


def split_words(words: Sequence[str]) -> Request:
    """Take out the algorithm and the flags that decide how the rest is parsed.

    `--data FOLDER` becomes `dataset:store --dataset.path FOLDER`.
    """
    taken: dict[str, str] = {}
    rest: list[str] = []
    remaining = iter(words)
    for word in remaining:
        flag, equals, value = word.partition("=")
        if flag in ("--preset", "--config", "--resume", "--data"):
            taken[flag] = value if equals else _value_after(flag, remaining)
        else:
            rest.append(word)
    algorithm = rest.pop(0) if rest and not rest[0].startswith("-") and ":" not in rest[0] else None
    if "--data" in taken:
        rest = ["dataset:store", "--dataset.path", taken["--data"], *rest]
    file, resume = taken.get("--config"), taken.get("--resume")
    return Request(
        algorithm=algorithm,
        preset=taken.get("--preset"),
        file=Path(file) if file is not None else None,
        resume=Path(resume) if resume is not None else None,
        words=tuple(rest),
    )


def parse_run(request: Request, registry: Registry) -> RunConfig:
    """Return the run that the words, the file and the preset describe, in this order of weight.

    Raises `VRLError` for unknown names, flags, keys and presets, and without data; exits with 2 for
    values that do not parse and with 0 after printing help, as tyro does.
    """
    data = _file_data(request, registry)
    algorithm = _algorithm(request, data, registry)
    defaults = _defaults(data, registry, request.file)
    if not (request.wants_help or "dataset" in defaults):
        _require_data(request.words, algorithm, registry)
    words = request.words
    configured = defaults.get("environment") is not None
    if not request.wants_help and overlays(words, configured=configured):
        fields = _choice_fields(algorithm)
        run = _parse_words(without_environment(words, fields), algorithm, defaults, registry)
        defaults["environment"] = recorded_environment(run.dataset, registry)
        check_flags(words, defaults["environment"], registry)
        words = tuple(without_choice(words))
    return _parse_words(words, algorithm, defaults, registry)


def _parse_words(
    words: Sequence[str],
    algorithm: AlgorithmConfig,
    defaults: Mapping[str, Any],
    registry: Registry,
) -> RunConfig:
    tree = _Tree(registry)
    flags = tree.flags_class(algorithm, defaults)
    ordered = tree.chosen_first(words, algorithm, flags)
    parsed = _parse(flags, algorithm, ordered, registry)
    return _run_config(parsed, algorithm, defaults, registry)


def _require_data(words: Sequence[str], algorithm: AlgorithmConfig, registry: Registry) -> None:
    """Raise `VRLError` when no word says what data to learn from."""
    if any(word.startswith(("dataset:", "--dataset.")) for word in words):
        return
    name = (registry.name_of(type(algorithm)) or ("", "ALGORITHM"))[1]
    known = ", ".join(registry.names("datasets")) or "none"
    raise VRLError(
        f"Say which data to learn from: vrl train {name} --data FOLDER, a store that vrl data "
        f"made, or vrl train {name} dataset:NAME --dataset.FIELD VALUE, with NAME one of: {known}."
    )


def load_config(file: Path, registry: Registry) -> RunConfig:
    """Return the run that a `config.yaml` describes, after loading the plugin files it names."""
    data = load_yaml(file)
    _load_plugins(data, registry)
    try:
        return from_data(RunConfig, data, registry)
    except VRLError as error:
        raise VRLError(f"{file}: {error}") from error


def _file_data(request: Request, registry: Registry) -> dict[str, Any]:
    data = load_yaml(request.file) if request.file else {}
    known = {field.name: field for field in dataclasses.fields(RunConfig)}
    for key in data:
        if key not in known:
            raise VRLError(f"{request.file}: {unknown_key('', key, known)}")
    _load_plugins(data, registry)
    return data


def _load_plugins(data: Mapping[str, Any], registry: Registry) -> None:
    for file in from_data(tuple[str, ...], data.get("plugins") or (), registry, path="plugins"):
        registry.load_file(file)


def _algorithm(request: Request, data: dict[str, Any], registry: Registry) -> AlgorithmConfig:
    section = data.pop("algorithm", None)
    if not isinstance(section, str | Mapping | None):
        said = f"expected a name or keys and values, not {section!r}"
        raise VRLError(f"{request.file}: algorithm: {said}.")
    in_file = section if isinstance(section, str) else (section or {}).get("name")
    name = request.algorithm or in_file
    if name is None:
        known = ", ".join(registry.names("algorithms")) or "none; install vrl-modelfree"
        raise VRLError(f"Say which algorithm: vrl train ALGORITHM ... Known: {known}.")
    cls: type[AlgorithmConfig] = registry.get("algorithms", str(name))
    start = preset(cls, request.preset or cls.default_preset, called=str(name))
    # A section of the file for another algorithm says nothing about this one.
    if section is None or isinstance(section, str) or in_file not in (None, name):
        return start
    if request.preset:
        section = {key: value for key, value in section.items() if key != "preset"}
    try:
        return from_data(cls, section, registry, default=start, path="algorithm")
    except VRLError as error:
        raise VRLError(f"{request.file}: {error}") from error


def _defaults(data: Mapping[str, Any], registry: Registry, file: Path | None) -> dict[str, Any]:
    """Return the values of the file's other keys."""
    hints: dict[str, Any] = typing.get_type_hints(RunConfig)
    defaults: dict[str, Any] = {}
    for key, value in data.items():
        try:
            defaults[key] = from_data(hints[key], value, registry, path=key)
        except VRLError as error:
            raise VRLError(f"{file}: {error}") from error
    return defaults


def _run_config(
    parsed: Any, algorithm: AlgorithmConfig, defaults: Mapping[str, Any], registry: Registry
) -> RunConfig:
    values = {f.name: getattr(parsed, f.name) for f in dataclasses.fields(RunConfig)}
    settings = {f.name: getattr(parsed.algorithm, f.name) for f in settable_fields(type(algorithm))}
    values["algorithm"] = type(algorithm)(**settings)
    for key in ("algorithm", "dataset", "environment"):
        # The run is resumed and repeated from any folder.
        values[key] = with_absolute_paths(values[key])
    callbacks = _callbacks(parsed.callbacks, defaults.get("callbacks", ()), registry)
    values["callbacks"] = tuple(map(with_absolute_paths, callbacks))
    if isinstance(parsed.environment, AsRecorded):
        values["environment"] = None
    values["plugins"] = registry.loaded_files
    return RunConfig(**values)


def _callbacks(
    names: Sequence[str], known: Sequence[CallbackConfig], registry: Registry
) -> tuple[CallbackConfig, ...]:
    """Return the observers of these names, with the file's settings where it has them."""
    classes = [registry.get("callbacks", name) for name in names]
    if classes == [type(config) for config in known]:
        return tuple(known)
    of_file = {type(config): config for config in known}
    try:
        return tuple(of_file.get(cls) or cls() for cls in classes)
    except TypeError as error:
        advice = "Give it under `callbacks` in a file, with --config."
        raise VRLError(f"A callback needs settings: {error}. {advice}") from error


def _choice_fields(algorithm: AlgorithmConfig) -> dict[str, str]:
    """Return the kind of plugin of each field that a word such as `dataset:dmc` may choose."""
    kinds = plugin_fields(type(algorithm))
    return kinds | {"dataset": "datasets", "environment": "environments"}


class _Tree:
    """Builds the dataclass that tyro parses: `RunConfig` with concrete plugins in its fields."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def flags_class(self, algorithm: AlgorithmConfig, defaults: Mapping[str, Any]) -> type[Any]:
        """Return a subclass of `RunConfig` whose field types name the plugins there are."""
        import tyro

        concrete = self._with_choices(algorithm)
        fields: dict[str, tuple[Any, Any]] = {
            "algorithm": (Annotated[type(concrete), tyro.conf.arg(name="")], concrete),
            "dataset": choice("datasets", defaults.get("dataset", tyro.MISSING), self._registry),
            "environment": self._environment(defaults.get("environment")),
            "callbacks": (tuple[str, ...], self._callback_names(defaults)),
            "plugins": (Annotated[tuple[str, ...], tyro.conf.Suppress], ()),
        }
        hints: dict[str, Any] = typing.get_type_hints(RunConfig)
        of_algorithm = {field.name for field in settable_fields(type(algorithm))}
        for field in dataclasses.fields(RunConfig):
            if field.name in fields:
                continue
            value = defaults.get(field.name, field.default)
            hint = hints[field.name]
            # Where both have a field, such as `steps`, the flag is the algorithm's.
            hidden = field.name in of_algorithm
            shown: Any = Annotated[hint, tyro.conf.Suppress] if hidden else hint
            fields[field.name] = (shown, value)
        return flags_dataclass(RunConfig, fields)

    def chosen_first(
        self, words: Sequence[str], algorithm: AlgorithmConfig, flags: type[Any]
    ) -> list[str]:
        """Move words such as `dataset:dmc` to the front, where tyro wants them; check their names.

        Raises `VRLError` with the nearest match for a name that does not exist.
        """
        kinds = _choice_fields(algorithm)
        hints = typing.get_type_hints(flags)
        hints |= typing.get_type_hints(hints["algorithm"])
        special = {"environment": AS_RECORDED}
        return chosen_first(words, kinds, hints, self._registry, special)

    def _with_choices(self, algorithm: AlgorithmConfig) -> Any:
        choices = plugin_fields(type(algorithm))
        if not choices:
            return algorithm
        values = {f.name: getattr(algorithm, f.name) for f in settable_fields(type(algorithm))}
        fields = {
            name: choice(kind, values[name], self._registry) for name, kind in choices.items()
        }
        return flags_dataclass(type(algorithm), fields)(**values)

    def _environment(self, default: Any) -> tuple[Any, Any]:
        extra = {AS_RECORDED: AsRecorded}
        return choice("environments", default or AsRecorded(), self._registry, extra)

    def _callback_names(self, defaults: Mapping[str, Any]) -> tuple[str, ...]:
        if "callbacks" not in defaults:
            return tuple(n for n in DEFAULT_CALLBACKS if n in self._registry.options("callbacks"))
        named = [self._registry.name_of(type(config)) for config in defaults["callbacks"]]
        return tuple(found[1] for found in named if found)


def _parse(
    flags: type[Any], algorithm: AlgorithmConfig, words: Sequence[str], registry: Registry
) -> Any:
    name = (registry.name_of(type(algorithm)) or ("", "ALGORITHM"))[1]
    try:
        return parse_flags(
            flags,
            prog=f"vrl train {name}",
            description=_description(algorithm, name),
            words=words,
            known=flag_names(flags, inlined="algorithm"),
        )
    except ValueError as error:
        # What a configuration's own __post_init__ refuses.
        raise VRLError(f"{name}: {error}") from error


def _description(algorithm: AlgorithmConfig, name: str) -> str:
    cls = type(algorithm)
    presets = ", ".join(p + " (default)" * (p == cls.default_preset) for p in cls.presets())
    return (
        f"{(cls.__doc__ or '').strip()}\n\nPresets: {presets}\n\n"
        "Also: --preset NAME, --config FILE.yaml (flags win over the file, the file over the "
        "preset), --data FOLDER (short for dataset:store --dataset.path FOLDER), "
        "--plugin FILE.py.\n\n"
        f"Example: vrl train {name} --data data/walker_walk/expert/64px-fast --seed 1"
    )


def _value_after(flag: str, words: Iterator[str]) -> str:
    value = next(words, None)
    if value is None or value.startswith("--"):
        raise VRLError(f"{flag} needs a value.")
    return value
