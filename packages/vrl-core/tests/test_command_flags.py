"""The words of a plugin's command become its configuration, and the command line runs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

from vrl_core import CommandConfig, PenaltyConfig, Positional, VRLError, cli, hookimpl
from vrl_core.command_flags import parse_command
from vrl_core.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Spread(PenaltyConfig):
    """How far the members are apart."""

    order: int = 2


@dataclass(frozen=True, kw_only=True)
class Entropy(PenaltyConfig):
    """How unsure they are."""

    floor: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Count(CommandConfig):
    """Count the episodes of stores.

    In [brackets], as people write.
    """

    stores: Positional[tuple[Path, ...]]
    """Folders of stores."""
    longer_than: int = 0
    """Count only episodes of more steps."""
    names: tuple[str, ...] = ()
    penalty: PenaltyConfig = field(default_factory=Spread)

    def __post_init__(self):
        if self.longer_than < 0:
            raise VRLError(f"longer_than must be 0 or more, not {self.longer_than}.")

    def run(self, registry):
        """Print what there is to count."""
        print(f"counted {[str(path) for path in self.stores]} by {self.penalty}")
        return 4


@hookimpl
def vrl_commands():
    return {"count": Count}


@hookimpl
def vrl_penalties():
    return {"spread": Spread, "entropy": Entropy}


@pytest.fixture
def registry() -> Registry:
    module = ModuleType("counting_commands")
    module.vrl_commands, module.vrl_penalties = vrl_commands, vrl_penalties
    return Registry(installed=False, modules=(module,))


@pytest.fixture
def vrl(registry, monkeypatch):
    """Run the command line with this plugin alone."""
    monkeypatch.setattr(cli, "load_registry", lambda files: registry)
    return lambda *words: cli.main(words)


def test_words_become_fields_flags_and_choices(registry):
    words = ["a", "b", "--longer-than", "3", "penalty:entropy", "--penalty.floor", "0.5"]
    parsed = parse_command(Count, "count", words, registry)
    assert parsed == Count(stores=(Path("a"), Path("b")), longer_than=3, penalty=Entropy(floor=0.5))
    assert type(parsed) is Count


def test_flags_may_stand_before_what_is_given_by_place(registry):
    parsed = parse_command(Count, "count", ["--longer-than=3", "a", "--names", "x", "y"], registry)
    assert (parsed.stores, parsed.names, parsed.penalty) == ((Path("a"),), ("x", "y"), Spread())


def test_the_command_line_runs_it_and_takes_its_status(vrl, capsys):
    assert vrl("count", "a") == 4
    said = capsys.readouterr().out
    assert said == "counted ['a'] by Spread(weight=None, order=2)\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["count"], "count needs stores: vrl count STORES ..."),
        (["count", "a", "--longer-than", "-1"], "longer_than must be 0 or more, not -1."),
        (["count", "a", "penalty:sprad"], "Did you mean 'spread'?"),
        (["conut", "a"], "no command named 'conut'. Did you mean 'count'? Known: count, data,"),
        (["trian"], "Did you mean 'train'? Known: count, data,"),
    ],
)
def test_mistakes_are_one_line_and_status_1(vrl, capsys, words, message):
    assert vrl(*words) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.startswith("error: ")
    assert said.count("\n") == 1


def test_a_misspelt_flag_is_met_with_the_nearest(vrl, capsys):
    assert vrl("count", "a", "--longer-tan", "3") == 1
    assert "Did you mean --longer-than?" in capsys.readouterr().err


def test_help_is_the_docstring_and_the_fields(vrl, capsys):
    with pytest.raises(SystemExit) as stop:
        vrl("count", "--help")
    assert stop.value.code == 0
    said = capsys.readouterr().out
    for part in (
        "In [brackets], as people write.",
        "STORES",
        "Folders of stores.",
        "--longer-than",
    ):
        assert part in said


def test_the_list_of_commands_names_it_and_who_brings_it(vrl, capsys):
    assert vrl("--help") == 0
    assert "Count the episodes of stores. (counting_commands)" in capsys.readouterr().out


def test_vrl_plugins_lists_it(vrl, capsys):
    assert vrl("plugins") == 0
    said = capsys.readouterr().out
    assert "commands count" in said
    assert "Count the episodes of stores." in said


def test_two_plugins_of_the_same_command_are_an_error_with_the_way_out(monkeypatch, capsys):
    modules = []
    for name in ("one", "other"):
        module = ModuleType(name)
        module.vrl_commands = vrl_commands
        modules.append(module)
    both = Registry(installed=False, modules=modules)
    monkeypatch.setattr(cli, "load_registry", lambda files: both)
    assert cli.main(["count", "a"]) == 1
    assert "VRL_BLOCK=other" in capsys.readouterr().err
    assert cli.main(["--help"]) == 0
    assert "Count the episodes" not in capsys.readouterr().out
