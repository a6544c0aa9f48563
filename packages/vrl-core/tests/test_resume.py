"""A run that is killed anywhere and resumed equals one that was not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tiny_runs import final_state, logged, registry, run_config, train_tiny
from vrl_core.run_folder import load_config

SCRIPT = Path(__file__).with_name("train_and_die.py")


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    from counting_dataset import Counting
    from vrl_core.ingest import write_store

    folder = tmp_path_factory.mktemp("resume")
    store = write_store(Counting(episodes=3, size=16), folder / "store", workers=1)
    return store.path, train_tiny(run_config(store.path), folder / "whole").path


def die(store: Path, folder: Path, what: str, count: int, *, resume: bool = False) -> None:
    words = [str(store), str(folder), what, str(count), *(["--resume"] if resume else [])]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(
        [sys.executable, SCRIPT, *words], env={**os.environ, **threads}, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def check_equal(folder: Path, whole: Path) -> None:
    from test_checkpoint import assert_equal

    assert_equal(final_state(folder), final_state(whole))
    assert logged(folder) == logged(whole)
    assert logged(folder, "evaluations") == logged(whole, "evaluations")


@pytest.mark.parametrize(
    ("what", "count"),
    [
        ("update", 3),  # before the first checkpoint
        ("update", 17),  # between checkpoints, after metrics that are written again
        ("fsync", 10),  # a checkpoint's tensors are written but not safe
        ("replace", 5),  # a checkpoint is complete but has not its name
    ],
)
def test_killed_once(whole_run, tmp_path, what, count):
    store, whole = whole_run
    folder = tmp_path / "run"
    die(store, folder, what, count)
    train_tiny(load_config(folder, registry()), folder, resume=True)
    check_equal(folder, whole)


def test_killed_three_times(whole_run, tmp_path):
    store, whole = whole_run
    folder = tmp_path / "run"
    die(store, folder, "update", 12)
    die(store, folder, "fsync", 2, resume=True)
    die(store, folder, "update", 9, resume=True)
    train_tiny(load_config(folder, registry()), folder, resume=True)
    check_equal(folder, whole)
    steps = [entry["step"] for entry in train_facts(folder)["resumed"]]
    assert steps == sorted(steps)


def train_facts(folder: Path) -> dict:
    import json

    return json.loads((folder / "run.json").read_text())
