"""A penalty of somebody else's, in one file, in an algorithm of this project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vrl_core.testing import tiny_data

ROOT = Path(__file__).resolve().parent.parent
PENALTY = ROOT / "tests" / "fixtures" / "mutual_information.py"
TINY = (
    *("--model.deterministic-size", "8", "--model.hidden-size", "8", "--model.members", "3"),
    *("--model.stochastic-size", "4", "--model.classes", "4", "--model.channels", "4", "4"),
    *("--model.reward-layers", "8", "--model.batch-size", "2", "--model.sequence-length", "6"),
    *("--model-steps", "2", "--precision", "float32", "--evaluation-episodes", "0"),
    *("--device", "cpu", "--log-every", "1"),
)
BEHAVIOUR = ("--actor-layers", "8", "--critic-layers", "8", "--steps", "2")


def vrl(*words: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `vrl` as its own process in this folder."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "NO_COLOR": "1"}
    environment["VRL_HOME"] = str(folder / "home")
    command = [sys.executable, "-m", "vrl_core.cli", *map(str, words)]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny store."""
    folder = tmp_path_factory.mktemp("penalty")
    tiny_data(folder / "data", image_size=16)
    return folder


def test_it_passes_the_conformance_kit(tmp_path):
    script = tmp_path / "conform.py"
    script.write_text(
        "from vrl_core.testing import check_penalty, check_plugin\n"
        "from mutual_information import MutualInformation\n"
        "if __name__ == '__main__':\n"
        f"    check_plugin({str(PENALTY)!r})\n"
        "    check_penalty(MutualInformation())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(PENALTY.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr


def test_offline_dv2_trains_with_it(data):
    chosen = ("penalty:mutual-information", "--penalty.weight", "2.5")
    words = ("train", "offline-dv2", "--data", "data", "--output", "run", *TINY, *BEHAVIOUR)
    done = vrl(*words, "--plugin", PENALTY, *chosen, folder=data)
    assert done.returncode == 0, done.stderr
    config = (data / "run" / "config.yaml").read_text()
    assert "name: mutual-information" in config
    assert "weight: 2.5" in config
    assert str(PENALTY) in config
    lines = (data / "run" / "metrics.jsonl").read_text().splitlines()
    metrics = {name: value for line in lines for name, value in json.loads(line).items()}
    assert metrics["behaviour/imagination/penalty"] > 0


def test_it_is_refused_before_training_where_its_maths_does_not_allow_it(data):
    words = ("train", "lompo", "--data", "data", "--output", "refused", *TINY)
    done = vrl(*words, "--plugin", PENALTY, "penalty:mutual-information", folder=data)
    assert done.returncode == 1, done.stderr
    for word in ("MutualInformation", "categorical", "gaussian", "log-prob-variance"):
        assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert not (data / "refused").exists()


@pytest.mark.parametrize("page", ["README.md", "docs/plugins.md", "docs/penalties.md"])
def test_the_pages_print_it_as_it_is(page):
    assert f"```python\n{PENALTY.read_text()}```" in (ROOT / page).read_text()
