"""The command line hands words to commands and never shows a traceback for a user's mistake."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from vrl_core import VRLError, cli
from vrl_core.commands.train import default_folder, task_name
from vrl_core.hooks import AlgorithmConfig, DatasetConfig
from vrl_core.registry import Registry
from vrl_core.run_config import RunConfig
from vrl_core.store_config import StoreDataset


@pytest.fixture
def command(monkeypatch):
    """Replace `vrl train` by a command that does as it is told."""
    calls: list[list[str]] = []

    def stub(action):
        def main(words, registry):
            calls.append(list(words))
            return action() or 0

        module = SimpleNamespace(main=main)
        monkeypatch.setitem(sys.modules, "vrl_core.commands.train", module)
        return calls

    return stub


def fail(error):
    def action():
        raise error

    return action


def test_a_command_gets_its_own_words_only(command, monkeypatch):
    monkeypatch.setattr(cli, "load_registry", lambda files: files)
    calls = command(lambda: 5)
    status = cli.main(["train", "--traceback", "x", "--plugin", "a.py", "--plugin=b.py", "--y=1"])
    assert status == 5
    assert calls == [["x", "--y=1"]]


def test_plugin_flags_are_taken_wherever_they_stand():
    found = cli.parse(["--plugin", "a.py", "train", "--plugin=b.py", "--", "--plugin"])
    assert found.plugins == (Path("a.py"), Path("b.py"))
    assert found.words == ("train", "--", "--plugin")


def test_an_error_is_one_line_and_status_1(command, capsys):
    command(fail(VRLError("There is no task 'walk'. [red]Did[/red] you mean 'walker_walk'?")))
    assert cli.main(["train"]) == 1
    said = capsys.readouterr().err
    assert said == "error: There is no task 'walk'. [red]Did[/red] you mean 'walker_walk'?\n"


def test_a_traceback_is_shown_when_asked_for(command, monkeypatch):
    command(fail(VRLError("no")))
    with pytest.raises(VRLError):
        cli.main(["train", "--traceback"])
    monkeypatch.setenv("VRL_TRACEBACK", "1")
    with pytest.raises(VRLError):
        cli.main(["train"])


def test_an_interruption_has_the_shells_status(command, capsys):
    command(fail(KeyboardInterrupt()))
    assert cli.main(["train"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_an_unknown_command_is_met_with_the_nearest(capsys):
    assert cli.main(["trian"]) == 1
    assert "Did you mean 'train'?" in capsys.readouterr().err


def test_a_plugin_file_that_was_asked_for_must_load(tmp_path, capsys):
    assert cli.main(["plugins", "--plugin", str(tmp_path / "none.py")]) == 1
    assert "no such file" in capsys.readouterr().err
    assert cli.main(["plugins", "--plugin"]) == 1
    assert "--plugin needs a file" in capsys.readouterr().err


def test_help_names_every_command(capsys):
    for words in ([], ["--help"], ["help"]):
        assert cli.main(words) == 0
        said = capsys.readouterr().out
        assert all(name in said for name in cli.COMMANDS)


def test_help_names_the_commands_of_a_file(tmp_path, capsys):
    plugin = tmp_path / "shouting_plugin.py"
    plugin.write_text(
        "from dataclasses import dataclass\nfrom vrl_core import CommandConfig, hookimpl\n"
        "@dataclass(frozen=True, kw_only=True)\nclass Shout(CommandConfig):\n"
        "    'Say it loudly.'\n    word: str = 'ho'\n"
        "    def run(self, registry):\n        print(self.word.upper())\n"
        "@hookimpl\ndef vrl_commands():\n    return {'shout': Shout}\n"
    )
    assert cli.main(["--help", "--plugin", str(plugin)]) == 0
    assert "Say it loudly." in capsys.readouterr().out
    assert cli.main(["shout", "--word", "hey", "--plugin", str(plugin)]) == 0
    assert capsys.readouterr().out == "HEY\n"


def test_plugins_are_listed_as_json_with_problems(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VRL_PLUGINS", str(tmp_path / "gone.py"))
    assert cli.main(["plugins", "--json"]) == 0
    listing = json.loads(capsys.readouterr().out)
    core = next(p for p in listing["plugins"] if p["distribution"] == "vrl-core")
    assert core["adds"] == {
        "datasets": ["store", "joined", "rewarded"],
        "callbacks": ["tensorboard"],
    }
    problem = {"source": str(tmp_path / "gone.py"), "version": "", "module": "gone"}
    assert {**problem, "reason": "no such file"} in listing["problems"]
    assert listing["help"]["datasets"]["store"].startswith("A store on disk")


def test_plugins_are_listed_as_a_table_with_problems(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VRL_PLUGINS", str(tmp_path / "gone.py"))
    assert cli.main(["plugins"]) == 0
    said = capsys.readouterr().out
    assert "vrl-core" in said
    assert "no such file" in said


def test_training_help_lists_algorithms_and_examples(capsys):
    assert cli.main(["train", "--help"]) == 0
    assert "vrl train --resume" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--resume", "nowhere"], "There is no run in nowhere"),
        (
            ["bc", "--resume", "x", "--seed", "3"],
            "way, and not bc --seed 3. For",
        ),
    ],
)
def test_resuming_takes_a_run_and_nothing_else(words, message, capsys):
    assert cli.main(["train", *words]) == 1
    assert message in capsys.readouterr().err


def test_a_run_is_named_after_task_algorithm_time_and_seed(tmp_path):
    registry = Registry(installed=False)
    (tmp_path / "manifest.json").write_text(json.dumps({"spec": {"task": "walker_walk"}}))
    run = RunConfig(algorithm=AlgorithmConfig(), dataset=StoreDataset(path=str(tmp_path)), seed=7)
    folder = default_folder(run, registry)
    assert folder.parts[:3] == ("runs", "walker_walk", "AlgorithmConfig")
    assert folder.name.endswith("-seed7")
    nameless = RunConfig(algorithm=AlgorithmConfig(), dataset=DatasetConfig())
    assert task_name(nameless, registry) == "DatasetConfig"
