"""Distributions of others, built and installed as pip does it, work or are set aside."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parent / "fixtures"
WELL = ("third_party",)
ILL = ("broken", "clash", "future", "misspelt")


@pytest.fixture(scope="module")
def well(tmp_path_factory) -> Path:
    """A folder with the distribution that works."""
    return install(tmp_path_factory.mktemp("well"), WELL)


@pytest.fixture(scope="module")
def ill(tmp_path_factory) -> Path:
    """A folder with those that do not."""
    return install(tmp_path_factory.mktemp("ill"), ILL)


def install(folder: Path, names: tuple[str, ...]) -> Path:
    """Build wheels of these fixtures and install them, without any index."""
    sources = [shutil.copytree(FIXTURES / name, folder / "source" / name) for name in names]
    flags = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", *flags]
    command += ["--target", str(folder / "site"), *map(str, sources)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return folder / "site"


def vrl(
    *words: str, sites: tuple[Path, ...], cwd: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line with these folders of distributions beside the environment's own."""
    path = os.pathsep.join(map(str, sites))
    environment = {**os.environ, "PYTHONPATH": path, "VRL_HOME": str(cwd / "home"), **variables}
    environment |= {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    command = [sys.executable, "-m", "vrl_core.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)


def listing(*sites: Path, cwd: Path, **variables: str) -> dict:
    done = vrl("plugins", "--json", sites=sites, cwd=cwd, **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_installed_distribution_is_found_with_all_it_adds(well, tmp_path):
    plugins = {p["distribution"]: p for p in listing(well, cwd=tmp_path)["plugins"]}
    assert plugins["vrl-third-party"]["version"] == "2.5"
    assert plugins["vrl-third-party"]["adds"] == {
        "algorithms": ["trusted-cloning"],
        "penalties": ["mean-variance"],
        "environments": ["corridor"],
        "datasets": ["corridor-walks"],
        "commands": ["measure"],
    }


def test_its_command_is_one_of_vrl(well, tmp_path):
    done = vrl("measure", "3", "4", "--factor", "2", sites=(well,), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("3.5 metres in [")
    assert "'corridor'" in done.stdout
    listed = vrl("--help", sites=(well,), cwd=tmp_path).stdout
    assert "Say how long corridors are. (vrl-third-party 2.5)" in listed
    misspelt = vrl("mesure", "3", sites=(well,), cwd=tmp_path)
    assert misspelt.returncode == 1
    assert "Did you mean 'measure'?" in misspelt.stderr


TRAIN = (
    *("train", "trusted-cloning", "penalty:mean-variance", "--penalty.weight", "3"),
    *("dataset:corridor-walks", "--dataset.episodes", "3", "--output", "run", "--steps", "5"),
    *("--evaluation-episodes", "2", "--evaluation-workers", "0", "--device", "cpu"),
)


def test_its_algorithm_learns_from_its_data_in_its_environment(well, tmp_path):
    done = vrl(*TRAIN, sites=(well,), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "run"
    facts = (run / "run.json").read_text()
    assert "vrl-third-party" in facts
    config = (run / "config.yaml").read_text()
    assert "name: mean-variance" in config
    assert "weight: 3.0" in config
    (evaluation,) = (run / "evaluations.jsonl").read_text().splitlines()
    evaluation = json.loads(evaluation)
    # Five updates of the models and five of the actor, then two episodes.
    assert evaluation["step"] == 10
    assert len(evaluation["returns"]) == 2
    assert evaluation["score"] is not None

    again = vrl(*TRAIN, sites=(well,), cwd=tmp_path)
    assert again.returncode == 1
    assert "--resume" in again.stderr
    assert "Traceback" not in again.stderr


def test_one_file_is_a_plugin_and_travels_with_its_run(well, tmp_path):
    shutil.copy(FIXTURES / "one_file.py", tmp_path / "one_file.py")
    words = ["environment:long-corridor" if w == "--device" else w for w in TRAIN]
    words = ["--device=cpu" if w == "cpu" else w for w in words]
    words[words.index("penalty:mean-variance")] = "penalty:widest"
    # One worker process, which must find the file's environment too.
    words[words.index("--evaluation-workers") + 1] = "1"
    done = vrl(*words, "--plugin", "one_file.py", sites=(well,), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (evaluation,) = (tmp_path / "run" / "evaluations.jsonl").read_text().splitlines()
    assert json.loads(evaluation)["lengths"] == [12, 12]

    # The run knows its file: neither resuming nor evaluating asks for it again.
    assert str(tmp_path / "one_file.py") in (tmp_path / "run" / "config.yaml").read_text()
    done = vrl("train", "--resume", "run", sites=(well,), cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_it_passes_the_conformance_kit(well, tmp_path):
    script = tmp_path / "conform.py"
    script.write_text(
        "from vrl_core.testing import *\n"
        "from vrl_third_party import plugin\n"
        "from vrl_third_party.config import *\n"
        "if __name__ == '__main__':\n"
        "    check_plugin(plugin)\n"
        "    check_penalty(MeanVariance())\n"
        "    check_environment(Corridor())\n"
        "    check_dataset(CorridorWalks())\n"
        "    check_algorithm(TrustedCloning(), image_size=None, state_size=2, steps=8)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(well), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr


def test_those_that_do_not_work_are_set_aside_with_reasons(well, ill, tmp_path):
    found = listing(well, ill, cwd=tmp_path)
    reasons = {problem["source"]: problem["reason"] for problem in found["problems"]}
    assert "a_dependency_that_is_not_installed" in reasons["vrl-broken"]
    assert "vrl.v2" in reasons["vrl-future"]
    assert "imported" not in reasons["vrl-future"]
    assert "Did you mean 'vrl_penalties'" in reasons["vrl-misspelt"]
    for name in ("dataset store", "penalty mean-variance"):
        assert "VRL_BLOCK" in reasons[name]
    working = {plugin["distribution"] for plugin in found["plugins"]}
    assert {"vrl-core", "vrl-third-party", "vrl-clash"} <= working
    assert not working & {"vrl-broken", "vrl-future", "vrl-misspelt"}


def test_a_clash_is_an_error_of_its_use_with_the_way_out(well, ill, tmp_path):
    done = vrl(*TRAIN, sites=(well, ill), cwd=tmp_path)
    assert done.returncode == 1
    for word in ("mean-variance", "vrl-third-party 2.5", "vrl-clash 0.3", "VRL_BLOCK="):
        assert word in done.stderr
    assert "Traceback" not in done.stderr

    free = listing(well, ill, cwd=tmp_path, VRL_BLOCK="vrl-clash")
    reasons = {problem["source"]: problem["reason"] for problem in free["problems"]}
    assert reasons["vrl-clash"] == "blocked by VRL_BLOCK"
    assert "penalty mean-variance" not in reasons


def test_an_unknown_name_lists_what_was_set_aside(ill, tmp_path):
    done = vrl("train", "trusted-clonin", sites=(ill,), cwd=tmp_path)
    assert done.returncode == 1
    for word in ("no algorithm named 'trusted-clonin'", "vrl-broken", "vrl-misspelt", "vrl-future"):
        assert word in done.stderr
