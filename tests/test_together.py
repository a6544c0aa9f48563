"""All packages as they are installed, through the command line a user types."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ALGORITHMS = ("bc", "cql", "drq-bc")
TINY = ("--steps", "3", "--batch-size", "4", "--evaluation-episodes", "0", "--device", "cpu")
TINY_MODEL = (
    *("--model-steps", "2", "--steps", "2", "--model.batch-size", "2", "--model.sequence-length"),
    *("6", "--model.members", "2", "--evaluation-episodes", "0", "--device", "cpu"),
)
WORLD_MODELS = {
    "offline-dv2": (),
    "lompo": ("--first-imagined", "20", "--batch-size", "8"),
    "lmbrl": ("--first-imagined", "20", "--batch-size", "8"),
    "offline-slac": ("--batch-size", "8"),
}


def vrl(*words: str | Path, folder: Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run `vrl` as its own process in this folder and check how it ends."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "vrl_core.cli", *map(str, words)]
    run = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == status, f"{' '.join(command)}\n{run.stdout}\n{run.stderr}"
    return run


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small dataset, collected from the simulator."""
    folder = tmp_path_factory.mktemp("collected")
    words = "--task walker_walk --quality random --size 64 --episodes 2 --workers 1"
    vrl("data", "collect", *words.split(), "--output", "data/walker", folder=folder)
    return folder


def test_every_package_adds_its_plugins_and_none_is_set_aside(tmp_path):
    listing = json.loads(vrl("plugins", "--json", folder=tmp_path).stdout)
    assert listing["problems"] == []
    adds = {plugin["distribution"]: plugin["adds"] for plugin in listing["plugins"]}
    assert set(ALGORITHMS) <= set(adds["vrl-modelfree"]["algorithms"])
    assert "dmc" in adds["vrl-envs"]["environments"]
    assert "store" in adds["vrl-core"]["datasets"]
    assert set(WORLD_MODELS) <= set(adds["vrl-worldmodel"]["algorithms"])


def test_collected_data_is_whole_and_described(collected):
    vrl("data", "check", "data/walker", folder=collected)
    (row,) = json.loads(vrl("data", "stats", "data/walker", "--json", folder=collected).stdout)
    assert row["timesteps"] == 1000


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_trains_evaluates_and_reports(algorithm, collected):
    run = Path("runs") / algorithm
    words: Sequence[str] = ("train", algorithm, "--preset", "small", "--data", "data/walker")
    vrl(*words, *TINY, "--output", run, folder=collected)
    answer = vrl("evaluate", run, "--episodes", "1", "--json", folder=collected)
    assert '"returns"' in answer.stdout
    vrl("report", run, "--output", f"report-{algorithm}", folder=collected)
    assert algorithm in (collected / f"report-{algorithm}/index.html").read_text()


@pytest.fixture(scope="module")
def modelled(collected: Path) -> Path:
    """The same folder, with a run of Offline DV2 that has a world model."""
    words = ("train", "offline-dv2", "--preset", "small", "--data", "data/walker", *TINY_MODEL)
    vrl(*words, "--output", "runs/offline-dv2", folder=collected)
    return collected


@pytest.mark.parametrize("algorithm", WORLD_MODELS)
def test_every_algorithm_on_a_world_model_trains_evaluates_and_reports(algorithm, modelled):
    run = Path("runs") / algorithm
    if algorithm != "offline-dv2":
        words = ("train", algorithm, "--preset", "small", "--data", "data/walker", *TINY_MODEL)
        vrl(*words, *WORLD_MODELS[algorithm], "--output", run, folder=modelled)
    answer = vrl("evaluate", run, "--episodes", "1", "--json", folder=modelled)
    assert '"returns"' in answer.stdout
    vrl("report", run, "--output", f"report-{algorithm}", folder=modelled)
    assert algorithm in (modelled / f"report-{algorithm}/index.html").read_text()


def test_a_runs_model_serves_another_with_another_penalty(modelled):
    words = ("train", "offline-dv2", "--preset", "small", "--data", "data/walker", *TINY_MODEL)
    other = ("penalty:logit-std", "--penalty.weight", "3", "--model-run", "runs/offline-dv2")
    vrl(*words, *other, "--output", "runs/second", folder=modelled)
    lines = (modelled / "runs/second/metrics.jsonl").read_text().splitlines()
    assert {json.loads(line)["phase"] for line in lines} == {"behaviour"}


def test_a_world_model_is_looked_into(modelled):
    words = ("--data", "data/walker", "--episodes", "1", "--horizon", "6", "--output", "seen")
    vrl("imagine", "runs/offline-dv2", *words, "--pictures", "1", folder=modelled)
    assert list((modelled / "seen").rglob("*.png"))
    table = vrl(
        *("penalties", "runs/offline-dv2", "--data", "data/walker", "--states", "8", "--json"),
        folder=modelled,
    )
    assert "mean-disagreement" in table.stdout


def test_the_documented_command_counts(collected):
    text = Path(__file__).with_name("..").resolve() / "docs/plugins.md"
    (block,) = (b for b in text.read_text().split("```") if "class Count(CommandConfig)" in b)
    (collected / "count.py").write_text(block.removeprefix("python\n"))
    words = ("count", "data/walker", "--longer-than", "100", "--plugin", "count.py")
    assert vrl(*words, folder=collected).stdout == "data/walker 2\n"


def test_an_environment_of_another_render_quality_is_refused(collected):
    words: Sequence[str] = ("train", "bc", "--preset", "small", "--data", "data/walker")
    other = ("environment:dmc", "--environment.task", "walker_walk")
    quality = ("--environment.rendering", "reference", "--evaluation-episodes", "1")
    error = vrl(*words, *TINY, *other, *quality, "--output", "x", folder=collected, status=1).stderr
    assert "reference" in error
    assert "fast" in error
    assert "Traceback" not in error


def test_quickstart_collects_learns_and_goes_on_where_it_was(tmp_path):
    words = "quickstart --episodes 2 --steps 4 --evaluation-episodes 1 --quality random --workers 1"
    first = vrl(*words.split(), folder=tmp_path)
    output = tmp_path / "quickstart"
    results = json.loads((output / "results.json").read_text())
    assert set(results) == {"random policy", "data", "learned policy"}
    assert results["data"]["n"] == 2
    assert (output / "learning_curve.png").stat().st_size > 1000
    assert (output / "learned_policy.mp4").stat().st_size > 1000
    assert "learned policy" in first.stdout
    before = {path: path.stat().st_mtime_ns for path in (output / "data").iterdir()}
    (output / "evaluations/learned.json").unlink()
    vrl(*words.split(), folder=tmp_path)
    assert json.loads((output / "results.json").read_text()) == results
    assert {path: path.stat().st_mtime_ns for path in (output / "data").iterdir()} == before


def test_quickstart_refuses_a_folder_of_other_settings(tmp_path):
    (tmp_path / "quickstart").mkdir()
    (tmp_path / "quickstart/quickstart.yaml").write_text("seed: 7\n")
    error = vrl("quickstart", folder=tmp_path, status=1).stderr
    assert "seed 7 (now 0)" in error
    assert "--output" in error
