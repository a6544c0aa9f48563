"""What must stay light stays light: each module is imported in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "gymnasium", "mujoco", "dm_control", "h5py", "matplotlib")
LIGHT = (
    "hooks",
    "errors",
    "registry",
    "config",
    "run_config",
    "flags",
    "command_flags",
    "recorded_environment",
    "arguments",
    "config_paths",
    "fingerprint",
    "writing",
    "plugin_choices",
    "cli",
    "protocols",
    "episodes",
    "plugin",
    "reward_config",
    "store_config",
    "callback_config",
    "commands.plugins",
    "commands.train",
    "commands.evaluate",
    "commands.data",
    "commands.report",
    "commands.reward",
    "commands.quickstart",
    "testing",
)


def heavy_after(statement: str) -> list[str]:
    script = f"import sys\n{statement}\nprint(*(m for m in {HEAVY} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[-2].split()


def test_light_modules_import_nothing_heavy():
    imports = "\n".join(f"import vrl_core.{module}" for module in LIGHT)
    assert heavy_after(imports) == []


@pytest.mark.parametrize("words", [["--help"], ["plugins"], ["train", "--help"]])
def test_quick_commands_load_nothing_heavy(words):
    assert heavy_after(f"from vrl_core import cli\nassert cli.main({words}) == 0") == []
