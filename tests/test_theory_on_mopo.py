"""MOPO's theory on runs of MOPO: the packages for states, models and theory, together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vrl_core.cli import main

RUN = """
algorithm:
  name: {algorithm}
  dynamics_steps: 6
  dynamics: {{members: 3, elites: 2, hidden_layers: [8], weight_decay: [0.0, 0.0]}}
  steps: 6
  rollouts: 10
  rollout_length: 2
  rollout_every: 3
  hidden_layers: [8]
dataset: {{name: store, path: {data}}}
callbacks:
  - {{name: theory-bound, expert: {data}, horizon: 3, episodes: 2, penalty: {penalty}}}
output: {output}
device: cpu
evaluate_every: 4
evaluation_episodes: 1
evaluation_workers: 0
checkpoint_every: 4
keep_checkpoints: 9
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of HIV treatment, and a run of MOPO and one of MBPO on it, followed by the bound."""
    folder = tmp_path_factory.mktemp("theory")
    collect(folder / "data", "1e-4")
    for algorithm, penalty in (("mopo", "null"), ("mbpo", "max-std:weight=2.0")):
        settings = {"algorithm": algorithm, "penalty": penalty, "data": folder / "data"}
        text = RUN.format(**settings, output=folder / algorithm)
        (folder / f"{algorithm}.yaml").write_text(text)
        assert main(["train", "--config", str(folder / f"{algorithm}.yaml")]) == 0
    return folder


def collect(store: Path, scale: str) -> None:
    """Collect four short episodes with rewards of a scale."""
    words = "data collect --task hiv --quality random --episodes 4 --days 20 --workers 1"
    assert main([*words.split(), "--reward-scale", scale, "--output", str(store)]) == 0


@pytest.mark.parametrize(("algorithm", "weight"), [("mopo", 1.0), ("mbpo", 2.0)])
def test_the_callback_follows_the_bound_of_a_run(folder, algorithm, weight):
    text = (folder / algorithm / "theory_bound.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    # Step 4 lies in the training of the dynamics, whose best weights are not known yet.
    assert [line["step"] for line in lines] == [8, 12]
    for line in lines:
        assert line["penalty_coefficient"] == weight
        assert line["mean_penalty"] > 0
        assert line["episode_bound"] == pytest.approx(2 * weight * 20 * line["mean_penalty"])
        assert line["gap"] == pytest.approx(line["expert_return"] - line["policy_return"])
    # The dynamics rest while the policy learns; so does what they say of the expert.
    assert lines[1]["mean_penalty"] == pytest.approx(lines[0]["mean_penalty"])
    assert (folder / algorithm / "theory_bound.svg").stat().st_size > 0


def test_the_command_finds_what_the_callback_found(folder, capsys):
    capsys.readouterr()
    words = ["--data", str(folder / "data"), "--horizon", "3", "--episodes", "2", "--json"]
    assert main(["theory", "bound", str(folder / "mopo"), *words]) == 0
    found = {b["step"]: b["mean_penalty"] for b in json.loads(capsys.readouterr().out)["bounds"]}
    text = (folder / "mopo/theory_bound.jsonl").read_text()
    followed = {line["step"]: line["mean_penalty"] for line in map(json.loads, text.splitlines())}
    assert found == pytest.approx(followed)


def test_penalties_are_calibrated_by_the_simulator(folder, capsys):
    capsys.readouterr()
    words = ["--data", str(folder / "data"), "--horizon", "2", "--episodes", "3", "--json"]
    penalties = ["--penalty", "max-std", "max-disagreement"]
    assert main(["theory", "calibration", str(folder / "mopo"), *words, *penalties]) == 0
    found = json.loads(capsys.readouterr().out)["calibrations"]
    assert [each["penalty"] for each in found] == ["max-std", "max-disagreement"]
    for each in found:
        together = each["horizons"][-1]
        assert together["correlation_low"] <= together["correlation_high"]


def test_what_does_not_compare_says_what_to_do(folder, capsys):
    def refusal(*words: str) -> str:
        capsys.readouterr()
        assert main(["theory", *words]) == 1
        return capsys.readouterr().err

    data, other = str(folder / "data"), folder / "other"
    collect(other, "1")
    bound = ("bound", str(folder / "mopo"), "--data")
    assert "reward scale 1.0" in refusal(*bound, str(other))
    assert "--penalty NAME" in refusal("bound", str(folder / "mbpo"), "--data", data)
    assert "asks the simulator" in refusal(*bound, data, "--penalty", "true-error")
    assert "Did you mean" in refusal("bound", str(folder / "mop"), "--data", data)
