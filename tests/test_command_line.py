"""The commands with all packages installed: help, listing, and mistakes people make."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def vrl(*words: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200", "VRL_HOME": str(cwd / "home"), **variables}
    command = [sys.executable, "-m", "vrl_core.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)


def test_the_packages_of_the_project_add_what_they_should(tmp_path):
    done = vrl("plugins", "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert found["problems"] == []
    adds = {plugin["distribution"]: plugin["adds"] for plugin in found["plugins"]}
    assert {"bc", "cql", "drq-bc"} <= set(adds["vrl-modelfree"]["algorithms"])
    world_models = {"lmbrl", "lompo", "mbpo", "mopo", "offline-dv2", "offline-slac"}
    assert world_models == set(adds["vrl-worldmodel"]["algorithms"])
    assert adds["vrl-worldmodel"]["commands"] == ["imagine", "penalties"]
    assert "mean-disagreement" in adds["vrl-worldmodel"]["penalties"]
    assert adds["vrl-theory"]["commands"] == ["theory"]
    images = ["dmc", "metaworld", "dclaw", "adroit", "kitchen", "robohive", "ogbench", "desk"]
    assert adds["vrl-envs"]["environments"] == [*images, "gym-mujoco", "hiv"]
    assert {"desk", "dmc", "v-d4rl"} <= set(adds["vrl-envs"]["datasets"])
    assert adds["vrl-core"]["datasets"] == ["store", "joined", "rewarded"]
    assert all(all(texts.values()) for texts in found["help"].values())


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("train", "--help"),
        ("train", "drq-bc", "--help"),
        ("train", "drq-bc", "dataset:dmc", "--help"),
        ("evaluate", "--help"),
        ("report", "--help"),
        ("data", "--help"),
        ("data", "collect", "--help"),
        ("data", "tasks", "--help"),
        ("gallery", "--help"),
        ("plugins", "--help"),
        ("train", "offline-dv2", "--help"),
        ("imagine", "--help"),
        ("penalties", "--help"),
        ("quickstart", "--help"),
        ("reward", "--help"),
        ("reward", "train", "--help"),
    ],
)
def test_help_is_there(words, tmp_path):
    done = vrl(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "vrl" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("trian",), 1, "Did you mean 'train'?"),
        (("imagin",), 1, "Did you mean 'imagine'?"),
        (("imagine", "none", "--data", "none"), 1, "none"),
        (("penalties", "none", "--data", "none", "--stats", "3"), 1, "Did you mean --states?"),
        (("train", "drq_bc", "--data", "x"), 1, "Did you mean 'drq-bc'?"),
        (("train", "bc", "--data", "nowhere"), 1, "nowhere"),
        (("train", "bc", "dataset:dcm"), 1, "Did you mean 'dmc'?"),
        (("train", "bc", "--data", "x", "--prset", "small"), 1, "no flag --prset"),
        (("train", "bc", "--data", "x", "--seeed", "3"), 1, "Did you mean --seed?"),
        (("train", "bc", "--data", "x", "--seed", "low"), 1, "Error parsing --seed"),
        (("train", "bc"), 1, "vrl train bc --data FOLDER"),
        (("train", "bc", "--data", "x", "--preset", "smal"), 1, "no preset of bc named 'smal'"),
        (("train", "bc", "--config", "none.yaml"), 1, "There is no file none.yaml"),
        (("train", "--resume", "none"), 1, "There is no run in none"),
        (("train",), 1, "Say which algorithm"),
        (("evaluate", "none"), 1, "none"),
        (("evaluate", "none", "--episdes", "3"), 1, "Did you mean --episodes?"),
        (("evaluate", "none", "--seed", "low"), 1, "invalid int value: 'low'"),
        (("evaluate",), 1, "See: vrl evaluate --help"),
        (("report", "none"), 1, "none"),
        (("report", "none", "--ouput", "x"), 1, "Did you mean --output?"),
        (("plugins", "--jsn"), 1, "Did you mean --json?"),
        (("data", "stats", "--jsn", "x"), 1, "--json"),
        (("data", "check", "none"), 1, "none"),
        (("data", "tasks", "nothing"), 1, "all of them: vrl data tasks"),
        (("gallery", "--stps", "3"), 1, "Did you mean --steps?"),
    ],
)
def test_a_mistake_is_explained_without_a_traceback(words, status, said, tmp_path):
    done = vrl(*words, cwd=tmp_path)
    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_a_reader_that_leaves_early_sees_no_complaint(tmp_path):
    script = f"{sys.executable} -m vrl_core.cli plugins --json | head -c 1"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "{"
    assert done.stderr == ""
