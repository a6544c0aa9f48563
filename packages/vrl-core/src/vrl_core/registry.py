"""Finds plugins, checks them, and looks up what they add. Nothing a plugin does can stop it.

Installed plugins are the entry points of group `vrl.v1`; files come with `--plugin` or
`VRL_PLUGINS`; `VRL_BLOCK=distribution-or-module,...` leaves plugins out. A plugin that fails to
import or answers wrongly is set aside with its reason, and so is one for another API version.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path
from types import ModuleType
from typing import Any

from vrl_core.errors import VRLError, unknown_name
from vrl_core.hooks import API_VERSION, ENTRY_POINT_GROUP, HOOKS
from vrl_core.plugin_check import PluginError, answers_of
from vrl_core.plugin_file import import_file

KINDS: Mapping[str, type] = {hook.removeprefix("vrl_"): base for hook, base in HOOKS.items()}
"""What plugins add, by the plural that files and lookups use, and each kind's base class."""
GROUP_PREFIX = "vrl.v"
SINGULAR: Mapping[str, str] = {
    "algorithms": "algorithm",
    "penalties": "penalty",
    "environments": "environment",
    "datasets": "dataset",
    "callbacks": "callback",
    "commands": "command",
}


@dataclass(frozen=True, kw_only=True)
class Provider:
    """Where something comes from."""

    distribution: str
    """Installed distribution, or the file's path, or the module's name."""
    version: str
    """The distribution's version; empty for files and modules."""
    module: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}".rstrip()


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """A plugin that works."""

    provider: Provider
    adds: Mapping[str, tuple[str, ...]]
    """Names it adds, by kind; kinds without any are left out."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A plugin that was set aside, or a name that two plugins claim."""

    source: str
    """Distribution, file or module, or the name that is claimed twice."""
    version: str = ""
    module: str = ""
    reason: str

    def __str__(self) -> str:
        return f"{self.source} ({self.reason})"


@dataclass(frozen=True)
class _Entry:
    config: type
    provider: Provider


@dataclass
class Registry:
    """All that plugins add, by kind and name.

    Args:
        installed: Whether to load installed distributions and the files of `VRL_PLUGINS`.
        files: Python files to load as plugins.
        modules: Modules to load as plugins, for tests.
    """

    installed: bool = True
    files: Sequence[Path | str] = ()
    modules: Sequence[ModuleType] = ()
    plugins: list[Plugin] = field(default_factory=list, init=False)
    """Plugins that work, in the order they were found."""
    _set_aside: list[Problem] = field(default_factory=list, init=False, repr=False)
    _entries: dict[str, dict[str, list[_Entry]]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._entries = {kind: {} for kind in KINDS}
        self._blocked = _Blocklist(os.environ.get("VRL_BLOCK", "")) if self.installed else None
        if self.installed:
            for point in _installed_entry_points():
                self._load_entry_point(point)
        for module in self.modules:
            self.load_module(module)
        for file in (*(_files_of_environment() if self.installed else ()), *self.files):
            self.load_file(file)
        if self._blocked:
            self._set_aside += self._blocked.unused()

    @property
    def problems(self) -> list[Problem]:
        """Plugins that were set aside, and names claimed twice, each with its reason."""
        clashes = [
            Problem(source=f"{SINGULAR[kind]} {name}", reason=_clash(kind, name, entries))
            for kind, names in self._entries.items()
            for name, entries in names.items()
            if len(entries) > 1
        ]
        return [*self._set_aside, *clashes]

    def names(self, kind: str) -> list[str]:
        """Return the names of a kind (`algorithms`, `penalties`, ...), sorted."""
        return sorted(self._of_kind(kind))

    def options(self, kind: str) -> dict[str, type[Any]]:
        """Return the configuration classes of a kind that can be used: no name claimed twice."""
        found = self._of_kind(kind)
        return {n: found[n][0].config for n in sorted(found) if len(found[n]) == 1}

    def contested(self, kind: str) -> dict[str, list[type[Any]]]:
        """Return the names of a kind that several plugins claim, with their classes."""
        found = self._of_kind(kind).items()
        return {
            name: [entry.config for entry in entries] for name, entries in found if len(entries) > 1
        }

    def get(self, kind: str, name: str) -> type[Any]:
        """Return the configuration class of this name.

        Raises `VRLError` with the nearest match and the plugins set aside when there is none,
        and with both providers and the way out when there are two.
        """
        return self._entry(kind, name).config

    def provider(self, kind: str, name: str) -> Provider:
        """Return who adds this name; raises as `get` does."""
        return self._entry(kind, name).provider

    def name_of(self, config: type) -> tuple[str, str] | None:
        """Return kind and name under which a configuration class is registered, if it is."""
        for kind, names in self._entries.items():
            for name, entries in names.items():
                if any(entry.config is config for entry in entries):
                    return kind, name
        return None

    def load_module(self, module: ModuleType) -> None:
        """Load a module as a plugin, or set it aside."""
        self._add(
            module, Provider(distribution=module.__name__, version="", module=module.__name__)
        )

    def load_file(self, file: Path | str) -> None:
        """Load a Python file as a plugin, or set it aside. Loading it twice does nothing more."""
        path = Path(file).expanduser().absolute()
        if any(plugin.provider.distribution == str(path) for plugin in self.plugins):
            return
        if self._blocked and (reason := self._blocked.reason(str(path), path.stem)):
            self._problem(str(file), "", path.stem, reason)
            return
        try:
            module = import_file(path)
        except PluginError as error:
            self._problem(str(file), "", path.stem, str(error))
            return
        provider = Provider(distribution=str(path), version="", module=module.__name__)
        self._add(module, provider, source=str(file))

    @property
    def loaded_files(self) -> tuple[str, ...]:
        """Absolute paths of the files that are plugins here; a run records them."""
        known = (plugin.provider for plugin in self.plugins)
        return tuple(p.distribution for p in known if p.distribution.endswith(".py"))

    def _load_entry_point(self, point: EntryPoint) -> None:
        source, version = _distribution_of(point)
        if point.group != ENTRY_POINT_GROUP:
            self._problem(source, version, point.value, _other_version(point.group))
            return
        provider = Provider(distribution=source, version=version, module=point.module)
        if any(plugin.provider == provider for plugin in self.plugins):
            return
        if self._blocked and (reason := self._blocked.reason(source, point.module)):
            self._problem(source, version, point.module, reason)
            return
        try:
            module = importlib.import_module(point.module)
        # Anything at all may go wrong in somebody else's module, sys.exit() included.
        except (Exception, SystemExit) as error:
            self._problem(source, version, point.module, f"import failed: {_said(error)}")
            return
        self._add(module, provider)

    def _add(self, module: ModuleType, provider: Provider, source: str | None = None) -> None:
        try:
            answers = answers_of(module)
        except PluginError as error:
            source = source or provider.distribution
            self._problem(source, provider.version, provider.module, str(error))
            return
        for kind, configs in answers.items():
            for name, config in configs.items():
                entry = _Entry(config=config, provider=provider)
                self._entries[kind].setdefault(name, []).append(entry)
        adds = {kind: tuple(configs) for kind, configs in answers.items() if configs}
        self.plugins.append(Plugin(provider=provider, adds=adds))

    def _problem(self, source: str, version: str, module: str, reason: str) -> None:
        found = Problem(source=source, version=version, module=module, reason=reason)
        self._set_aside.append(found)

    def _of_kind(self, kind: str) -> dict[str, list[_Entry]]:
        if kind not in self._entries:
            raise unknown_name("kind of plugin", kind, KINDS)
        return self._entries[kind]

    def _entry(self, kind: str, name: str) -> _Entry:
        entries = self._of_kind(kind).get(name, [])
        if not entries:
            raise unknown_name(SINGULAR[kind], name, self.names(kind), self.hint)
        if len(entries) > 1:
            raise VRLError(_clash(kind, name, entries))
        return entries[0]

    @property
    def hint(self) -> str:
        """What to say beside an unknown name: the plugins set aside, and where to look."""
        if not self._set_aside:
            return "See: vrl plugins"
        listed = "; ".join(str(problem) for problem in self._set_aside)
        return f"Plugins set aside: {listed}. See: vrl plugins"


class _Blocklist:
    """The words of `VRL_BLOCK`, and which of them were of use."""

    def __init__(self, words: str) -> None:
        self._words = {_normalised(word): word for word in words.replace(",", " ").split()}
        self._used: set[str] = set()

    def reason(self, *names: str) -> str:
        """Return why a plugin of these names is left out, or nothing."""
        hits = {_normalised(name) for name in names} & self._words.keys()
        self._used |= hits
        return "blocked by VRL_BLOCK" if hits else ""

    def unused(self) -> list[Problem]:
        """Return a problem for each word that blocks nothing, which may be misspelt."""
        idle = [word for key, word in self._words.items() if key not in self._used]
        return [Problem(source=word, reason="in VRL_BLOCK, but no such plugin") for word in idle]


def help_line(config: type) -> str:
    """Return the first line of a configuration's help; nothing if it has none."""
    # A dataclass without a docstring gets its signature for one, which explains nothing.
    text = (config.__doc__ or "").strip()
    return "" if text.startswith(f"{config.__name__}(") else text.partition("\n")[0]


def _files_of_environment() -> list[str]:
    return [file for file in os.environ.get("VRL_PLUGINS", "").split(os.pathsep) if file]


def _installed_entry_points() -> list[EntryPoint]:
    """Return the entry points of every `vrl.v<N>`, in an order that does not change by itself."""
    seen: set[str] = set()
    found: list[EntryPoint] = []
    for distribution in distributions():
        name, points = _entry_points_of(distribution)
        # As for imports, the first copy on the path counts.
        if name and name in seen:
            continue
        seen.add(name)
        found += [point for point in points if point.group.startswith(GROUP_PREFIX)]
    return sorted(found, key=lambda point: (*_distribution_of(point), point.group, point.name))


def _entry_points_of(distribution: Distribution) -> tuple[str, list[EntryPoint]]:
    """Return normalised name and entry points; none for metadata that pip left half removed."""
    try:
        return _normalised(distribution.name or ""), list(distribution.entry_points)
    except Exception:
        return "", []


def _distribution_of(point: EntryPoint) -> tuple[str, str]:
    name = point.dist.name if point.dist else None
    return (name, point.dist.version) if point.dist and name else (point.module, "")


def _normalised(name: str) -> str:
    return name.lower().replace("_", "-")


def _said(error: BaseException) -> str:
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _other_version(group: str) -> str:
    return f"written for another plugin API, {group}; this VRL has v{API_VERSION}"


def _clash(kind: str, name: str, entries: Iterable[_Entry]) -> str:
    providers = [entry.provider for entry in entries]
    listed = " and ".join(f"{provider} ({provider.module})" for provider in providers)
    return (
        f"The {SINGULAR[kind]} {name!r} is added by {listed}. "
        f"Leave one out with VRL_BLOCK, for instance: VRL_BLOCK={_word(providers[-1])}"
    )


def _word(provider: Provider) -> str:
    return provider.module if provider.distribution.endswith(".py") else provider.distribution
