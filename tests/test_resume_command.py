"""`vrl train bc`, killed by SIGKILL and resumed, ends bit for bit as one that was left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = '''
"""Data of a few kilobytes, and an observer that kills its process once."""
import os
import signal
from dataclasses import dataclass

from vrl_core import CallbackConfig, hookimpl
from vrl_core.protocols import Callback
from vrl_core.testing.tiny_data import TinyDataset


@dataclass(frozen=True, kw_only=True)
class KillOnce(CallbackConfig):
    """Kills the process after update 15, unless it was killed before."""

    def build(self):
        return Killer()


class Killer(Callback):
    def on_start(self, folder):
        self.mark = folder / "killed"

    def on_metrics(self, step, metrics):
        if step == 15 and not self.mark.exists() and "killed" in self.mark.parent.name:
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


@hookimpl
def vrl_callbacks():
    return {"kill-once": KillOnce}


@hookimpl
def vrl_datasets():
    return {"tiny": TinyDataset}
'''
TINY = (
    *("--batch-size", "4", "--feature-size", "4", "--hidden-size", "8"),
    *("--encoder-channels", "4", "4", "--encoder-strides", "2", "2"),
)
SETTINGS = (
    *("--steps", "20", "--log-every", "5", "--checkpoint-every", "10", "--device", "cpu"),
    *("--evaluation-episodes", "0", "--callbacks", "kill-once", "--preset", "small"),
)


def vrl(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "VRL_HOME": str(cwd / "home"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "vrl_core.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with the runs `whole` and `killed`."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "killing_plugin.py").write_text(PLUGIN)
    train = ("train", "bc", "dataset:tiny", *TINY, *SETTINGS, "--plugin", "killing_plugin.py")
    for name, status in (("whole", 0), ("killed", -signal.SIGKILL)):
        done = vrl(*train, "--output", name, cwd=folder)
        assert done.returncode == status, done.stderr
    assert [path.name for path in (folder / "killed" / "checkpoints").iterdir()] == [
        "step_00000010"
    ]
    done = vrl("train", "--resume", "killed", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def final_checkpoint(run: Path) -> tuple[bytes, dict]:
    """The tensors' bytes and the rest of the last checkpoint, without the time it took."""
    (last,) = run.glob("checkpoints/step_00000020")
    structure = json.loads(json.loads((last / "state.json").read_text())["structure"])
    rest = {key: value for key, value in structure["dict"] if key != "seconds"}
    return (last / "tensors.safetensors").read_bytes(), rest


def test_the_last_checkpoints_are_the_same_bit_for_bit(folder):
    assert final_checkpoint(folder / "killed") == final_checkpoint(folder / "whole")


def test_the_metrics_are_the_same(folder):
    def logged(run: str) -> list[dict]:
        lines = map(json.loads, (folder / run / "metrics.jsonl").read_text().splitlines())
        timing = ("seconds", "updates_per_second")
        return [{key: line[key] for key in line if key not in timing} for line in lines]

    assert logged("killed") == logged("whole")
    assert len(logged("whole")) == 4


def test_the_run_knows_that_it_was_resumed(folder):
    facts = json.loads((folder / "killed" / "run.json").read_text())
    assert [entry["step"] for entry in facts["resumed"]] == [10]
