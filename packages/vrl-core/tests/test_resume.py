"""A run that is killed anywhere and resumed equals one that was not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from counting_dataset import Counting
from nested_state import assert_equal
from tiny_runs import final_state, logged
from vrl_core.ingest import write_store

SCRIPT = Path(__file__).with_name("train_and_die.py")

DEATHS = {
    "before the folder is a run": ["fsync:1"],
    "before the first checkpoint": ["update:3"],
    "after metrics that are written again": ["update:17"],
    # Of run.json and config.yaml, and then four a checkpoint: two files and two folders.
    "state written, not safe": ["fsync:12"],
    "renamed, not safe": ["fsync:14"],
    "about to be renamed": ["replace:5"],
    "in every life": ["update:12", "fsync:2", "update:9", "replace:4"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of each killed run, and of one that was left alone under `whole`."""
    folder = tmp_path_factory.mktemp("resume")
    store = write_store(Counting(episodes=3, size=16), folder / "store", workers=1)
    lives = {"whole": [], **DEATHS}
    folders = {name: folder / f"run{number}" for number, name in enumerate(lives)}
    words = [f"{folders[name]}={','.join([*deaths, 'end'])}" for name, deaths in lives.items()]
    done = subprocess.run(
        [sys.executable, SCRIPT, store.path, *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folders


@pytest.mark.parametrize("name", DEATHS)
def test_a_killed_run_ends_like_one_that_was_left_alone(runs, name):
    folder, whole = runs[name], runs["whole"]
    assert_equal(final_state(folder), final_state(whole))
    assert logged(folder) == logged(whole)
    assert logged(folder, "evaluations") == logged(whole, "evaluations")
    # What was never a run is not resumed but begun.
    assert len(resumptions(folder)) == len([each for each in DEATHS[name] if each != "fsync:1"])
    assert resumptions(whole) == []


def test_killed_while_saving_it_goes_on_from_the_checkpoint_before(runs):
    assert resumptions(runs["state written, not safe"]) == [7]
    assert resumptions(runs["renamed, not safe"]) == [10]


def resumptions(folder: Path) -> list[int]:
    return [entry["step"] for entry in json.loads((folder / "run.json").read_text())["resumed"]]
