"""With every package installed, the command line starts quickly: it loads nothing heavy."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "numpy",
    "gymnasium",
    "mujoco",
    "dm_control",
    "metaworld",
    "ogbench",
    "h5py",
    "matplotlib",
    "huggingface_hub",
)


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["plugins"],
        ["plugins", "--json"],
        ["train", "--help"],
        ["--version"],
        ["data", "tasks"],
    ],
)
def test_quick_commands_load_nothing_heavy(words):
    script = (
        "import json, sys\nfrom vrl_core import cli\n"
        f"assert cli.main({words!r}) == 0\n"
        "print('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert "vrl_core" in loaded
    assert [name for name in HEAVY if name in loaded] == []


@pytest.mark.parametrize("word", ["--help", "plugins"])
def test_quick_commands_take_less_than_half_a_second_of_the_processor(word):
    """Of the processor, so that other work on the machine does not count; the best of three."""
    command = [sys.executable, "-m", "vrl_core.cli", word]

    def seconds() -> float:
        before = os.times()
        subprocess.run(command, capture_output=True, check=True)
        after = os.times()
        own = after.children_user - before.children_user
        return own + after.children_system - before.children_system

    assert min(seconds() for _ in range(3)) < 0.5


@pytest.mark.parametrize("algorithm", ["bc", "cql", "drq-bc", "lompo", "offline-dv2"])
def test_parsing_a_whole_run_loads_nothing_heavy(algorithm):
    words = f"{algorithm} --preset small dataset:dmc --dataset.task walker_walk".split()
    script = (
        "import sys\nfrom vrl_core.flags import parse_run, split_words\n"
        "from vrl_core.registry import Registry\n"
        f"parse_run(split_words({words!r}), Registry())\n"
        f"print(*(name for name in {HEAVY} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


@pytest.mark.parametrize("command", ["imagine", "penalties", "theory"])
def test_help_of_a_packages_command_loads_nothing_heavy(command):
    script = (
        "import sys\nfrom vrl_core import cli\n"
        "try:\n"
        f"    cli.main([{command!r}, '--help'])\n"
        "except SystemExit as stop:\n"
        "    assert stop.code in (0, None)\n"
        f"print('\\n' + ' '.join(name for name in {HEAVY} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"vrl {command}" in done.stdout
    assert done.stdout.splitlines()[-1] == ""
