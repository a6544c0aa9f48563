"""The registry finds what works, sets aside what does not, and says why."""

from __future__ import annotations

import os
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from vrl_core import AlgorithmConfig, CommandConfig, PenaltyConfig, VRLError, hookimpl
from vrl_core.registry import Registry

PLUGIN = """
    from dataclasses import dataclass
    from vrl_core import PenaltyConfig, hookimpl

    @dataclass(frozen=True, kw_only=True)
    class {cls}(PenaltyConfig):
        "A penalty."

    @hookimpl
    def vrl_penalties():
        return {{"{name}": {cls}}}
"""


@dataclass(frozen=True, kw_only=True)
class Entropy(PenaltyConfig):
    """A penalty."""


@dataclass(frozen=True, kw_only=True)
class Quick(AlgorithmConfig):
    """An algorithm."""


@pytest.fixture(autouse=True)
def _clean_imports(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("VRL_BLOCK", "VRL_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    yield
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def plugin_module(name: str, **hooks) -> ModuleType:
    module = ModuleType(name)
    for hook, answer in hooks.items():
        function = answer if callable(answer) else (lambda answer=answer: answer)
        setattr(module, hook, hookimpl(function))
    return module


def plugin_file(folder: Path, stem: str, source: str | None = None, name: str = "extra") -> Path:
    path = folder / f"{stem}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    source = source or PLUGIN.format(cls=stem.capitalize(), name=name)
    path.write_text(textwrap.dedent(source))
    return path


def install(site: Path, distribution: str, module: str, source: str, group="vrl.v1", point="main"):
    """Make a distribution as pip leaves it: a module and a dist-info folder."""
    plugin_file(site, module, source)
    info = site / f"{distribution.replace('-', '_')}-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{point} = {module}\n")


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def penalty_source(name: str) -> str:
    return PLUGIN.format(cls="Installed", name=name)


def test_answers_of_all_plugins_are_merged_by_kind_and_name():
    registry = Registry(
        installed=False,
        modules=(
            plugin_module("one", vrl_penalties={"entropy": Entropy}, vrl_algorithms={}),
            plugin_module("two", vrl_algorithms={"quick": Quick}),
        ),
    )
    assert registry.problems == []
    assert registry.names("penalties") == ["entropy"]
    assert registry.get("algorithms", "quick") is Quick
    assert registry.provider("penalties", "entropy").module == "one"
    assert registry.name_of(Quick) == ("algorithms", "quick")
    assert registry.plugins[0].adds == {"penalties": ("entropy",)}


def test_the_core_registers_through_the_same_entry_point():
    registry = Registry()
    assert registry.provider("datasets", "store").distribution == "vrl-core"
    assert registry.provider("callbacks", "tensorboard").module == "vrl_core.plugin"


def test_an_unknown_name_names_the_nearest_and_what_was_set_aside():
    registry = Registry(
        installed=False,
        modules=(
            plugin_module("good", vrl_penalties={"entropy": Entropy}),
            plugin_module("bad", vrl_penaltys={"x": Entropy}),
        ),
    )
    with pytest.raises(VRLError, match=r"Did you mean 'entropy'.*bad .*vrl_penaltys"):
        registry.get("penalties", "entrpy")
    with pytest.raises(VRLError, match="Did you mean 'penalties'"):
        registry.names("penalty")


def not_frozen() -> type:
    class Plain(PenaltyConfig):
        """Forgot the decorator."""

    return Plain


@dataclass(frozen=True)
class Positional(PenaltyConfig):
    """Not keyword-only."""

    extra: int = 0


@dataclass(frozen=True, kw_only=True)
class Named(PenaltyConfig):
    """Its field is the tag of files."""

    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Unresolved(PenaltyConfig):
    """Its field's type is not importable."""

    extra: NoSuchType = None


@dataclass(frozen=True, kw_only=True)
class Act(CommandConfig):
    """A command."""


@dataclass(frozen=True, kw_only=True)
class Running(CommandConfig):
    """Its field hides its method."""

    run: int = 0


def raising():
    raise RuntimeError("no licence")


@pytest.mark.parametrize(
    ("hooks", "reason"),
    [
        ({"vrl_penaltys": {}}, "no hook named 'vrl_penaltys'. Did you mean 'vrl_penalties'"),
        ({"vrl_penalties": [Entropy]}, "must return a dictionary"),
        ({"vrl_penalties": {"entropy": Entropy()}}, "class derived from PenaltyConfig"),
        ({"vrl_penalties": {"quick": Quick}}, "class derived from PenaltyConfig"),
        ({"vrl_penalties": {"Bad Name": Entropy}}, "'Bad Name'"),
        ({"vrl_penalties": {"x": not_frozen()}}, "lacks @dataclass"),
        ({"vrl_penalties": {"x": Positional}}, "must be @dataclass(frozen=True, kw_only=True)"),
        ({"vrl_penalties": {"x": Named}}, "may not be called 'name'"),
        ({"vrl_penalties": {"x": Unresolved}}, "NoSuchType"),
        ({"vrl_penalties": raising}, "raised RuntimeError: no licence"),
        ({}, "answers none of the hooks"),
        ({"vrl_commands": {"train": Act}}, "adds 'train', which VRL has already"),
        ({"vrl_commands": {"help": Act}}, "adds 'help', which VRL has already"),
        ({"vrl_commands": {"x": Running}}, "may not be called 'run'"),
        ({"vrl_commands": {"x": Entropy}}, "class derived from CommandConfig"),
    ],
)
def test_a_wrong_plugin_is_set_aside_with_its_reason(hooks, reason):
    good = plugin_module("good", vrl_penalties={"entropy": Entropy})
    registry = Registry(installed=False, modules=(plugin_module("bad", **hooks), good))
    assert [problem.source for problem in registry.problems] == ["bad"]
    assert reason in registry.problems[0].reason
    assert registry.names("penalties") == ["entropy"]


def test_a_hook_without_the_marker_is_pointed_out():
    module = plugin_module("bad", vrl_algorithms={"quick": Quick})
    module.vrl_penalties = lambda: {"entropy": Entropy}
    (problem,) = Registry(installed=False, modules=(module,)).problems
    assert "vrl_penalties lacks @hookimpl" in problem.reason


def test_a_name_claimed_twice_names_both_and_the_way_out(site, monkeypatch):
    install(site, "first-dist", "first_module", penalty_source("twice"))
    install(site, "second-dist", "second_module", penalty_source("twice"))
    registry = Registry()
    assert "twice" not in registry.options("penalties")
    assert any(problem.source == "penalty twice" for problem in registry.problems)
    with pytest.raises(VRLError, match=r"first-dist 1.5.*second-dist 1.5.*VRL_BLOCK=second-dist"):
        registry.get("penalties", "twice")

    monkeypatch.setenv("VRL_BLOCK", "second_dist")
    assert Registry().provider("penalties", "twice").distribution == "first-dist"
    monkeypatch.setenv("VRL_BLOCK", "first_module, nothing-like-it")
    registry = Registry()
    assert registry.provider("penalties", "twice").distribution == "second-dist"
    assert "nothing-like-it" in [problem.source for problem in registry.problems]


def test_entry_points_of_the_same_name_are_both_loaded(site):
    install(site, "first-dist", "first_module", penalty_source("one"), point="plugin")
    install(site, "second-dist", "second_module", penalty_source("two"), point="plugin")
    assert {"one", "two"} <= set(Registry().names("penalties"))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import not_installed_anywhere", "ModuleNotFoundError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_a_broken_distribution_takes_nobody_with_it(site, source, reason):
    install(site, "broken-dist", "broken_module", source)
    install(site, "good-dist", "good_module", penalty_source("fine"))
    registry = Registry()
    (problem,) = (p for p in registry.problems if p.source == "broken-dist")
    assert reason in problem.reason
    assert problem.version == "1.5"
    assert "fine" in registry.names("penalties")


def test_damaged_metadata_takes_nobody_with_it(site):
    install(site, "good-dist", "good_module", penalty_source("fine"))
    (site / "nameless-1.0.dist-info").mkdir()
    install(site, "odd-dist", "odd_module", penalty_source("odd"))
    (site / "odd_dist-1.5.dist-info" / "entry_points.txt").write_bytes(b"[vrl.v1]\n\xff\xfe = x\n")
    assert "fine" in Registry().names("penalties")


def test_another_api_version_is_listed_and_not_imported(site):
    install(site, "future-dist", "future_module", "raise SystemExit", group="vrl.v2")
    (problem,) = (p for p in Registry().problems if p.source == "future-dist")
    assert "vrl.v2" in problem.reason
    assert "future_module" not in sys.modules


def test_files_come_from_the_environment_and_the_caller(tmp_path, monkeypatch):
    first = plugin_file(tmp_path / "a", "filed_one", name="one")
    second = plugin_file(tmp_path / "b", "filed_two", name="two")
    third = plugin_file(tmp_path / "c", "filed_three", name="three")
    monkeypatch.setenv("VRL_PLUGINS", os.pathsep.join([str(first), str(second)]))
    registry = Registry(files=(third, first))
    assert {"one", "two", "three"} <= set(registry.names("penalties"))
    assert registry.loaded_files == (str(first), str(second), str(third))
    assert Registry(installed=False, files=(third,)).names("penalties") == ["three"]


def test_a_file_that_does_not_load_is_set_aside(tmp_path):
    broken = plugin_file(tmp_path, "file_broken", "1 / 0")
    taken = plugin_file(tmp_path, "random")
    dotted = plugin_file(tmp_path, "not.a.module")
    missing = tmp_path / "missing.py"
    registry = Registry(installed=False, files=(broken, taken, dotted, missing))
    reasons = [problem.reason for problem in registry.problems]
    assert "ZeroDivisionError" in reasons[0]
    assert "named 'random' exists already" in reasons[1]
    assert "further dots" in reasons[2]
    assert reasons[3] == "no such file"
    assert "file_broken" not in sys.modules
