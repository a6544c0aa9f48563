"""A run that is given more updates is, bit for bit, one that had them from the beginning."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import vrl_core.train
from nested_state import assert_equal as assert_same
from tiny_runs import final_state, logged, registry, run_config, train_tiny
from tiny_training import TinyConfig, TwoNumbersConfig
from vrl_core.commands.train import split_steps
from vrl_core.errors import VRLError
from vrl_core.run_folder import load_config
from vrl_core.run_groups import settings
from vrl_core.run_record import read_run


@pytest.fixture
def configured(counting_store):
    def config(algorithm: object = None, **changes):
        # Logged where it ends: a period of metrics that ends with a phase is another one.
        quiet = {"evaluation_episodes": 0, "log_every": 9}
        return run_config(counting_store.path, algorithm, **{**quiet, **changes})

    return config


def extended(folder: Path, **steps: int) -> Path:
    return train_tiny(load_config(folder, registry()), folder, resume=True, steps=steps).path


def facts(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())


def assert_equal_runs(one: Path, other: Path) -> None:
    assert_same(final_state(one), final_state(other))
    assert logged(one) == logged(other)
    assert (one / "config.yaml").read_text() == (other / "config.yaml").read_text()


@pytest.fixture
def whole(configured, tmp_path) -> Path:
    return train_tiny(
        configured(TwoNumbersConfig(model_steps=9, steps=27)), tmp_path / "whole"
    ).path


def test_a_finished_run_goes_on(configured, tmp_path, whole) -> None:
    first = TwoNumbersConfig(model_steps=9, steps=9)
    folder = train_tiny(configured(first, evaluation_episodes=2), tmp_path / "run").path
    assert facts(folder)["finished"]
    extended(folder, steps=18)
    extended(folder, steps=27)
    assert [it["to"] for it in facts(folder)["extensions"]] == [18, 27]
    assert facts(folder)["extensions"][1] == {
        "step": 27, "phase": "policy", "done": 18, "setting": "steps", "from": 18, "to": 27,
    }  # fmt: skip
    assert (facts(folder)["steps"], facts(folder)["finished"]) == (36, True)
    assert not read_run(folder).problems
    assert_same(final_state(folder), final_state(whole))
    assert logged(folder) == logged(whole)
    assert load_config(folder, registry()).algorithm.steps == 27


@pytest.mark.parametrize(
    ("stops_at", "steps"),
    [(4, {"model_steps": 9, "steps": 27}), (9, {"steps": 27}), (14, {"steps": 27})],
)
def test_a_stopped_run_goes_on_to_other_numbers(configured, tmp_path, whole, stops_at, steps):
    algorithm = TwoNumbersConfig(
        model_steps=20 if "model_steps" in steps else 9, steps=20, stops_at=stops_at
    )
    with pytest.raises(KeyboardInterrupt):
        train_tiny(configured(algorithm), tmp_path / "run")
    folder = tmp_path / "run"
    config = (folder / "config.yaml").read_text().replace(f"stops_at: {stops_at}", "stops_at: -1")
    (folder / "config.yaml").write_text(config)
    assert_equal_runs(extended(folder, **steps), whole)


def test_a_process_that_dies_at_once_has_extended_it(configured, tmp_path, whole, monkeypatch):
    """Its only checkpoint is still that of the end."""
    first = TwoNumbersConfig(model_steps=9, steps=9)
    folder = train_tiny(configured(first), tmp_path / "run").path

    def die(*arguments):
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(vrl_core.train, "run_phase", die)
        for steps in ({"steps": 27}, {}):
            with pytest.raises(MemoryError):
                extended(folder, **steps)
    assert_equal_runs(extended(folder), whole)
    assert len(facts(folder)["extensions"]) == 1


def test_a_death_between_both_files_changes_nothing(configured, tmp_path, whole, monkeypatch):
    first = TwoNumbersConfig(model_steps=9, steps=9)
    folder = train_tiny(configured(first), tmp_path / "run").path

    def die(*arguments):
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr("vrl_core.run_folder.RunFolder.save_config", die)
        with pytest.raises(MemoryError):
            extended(folder, steps=27)
    before = final_state(folder)
    assert_same(final_state(extended(folder)), before)
    assert_equal_runs(extended(folder, steps=27), whole)


def test_a_last_phase_without_updates_may_be_given_some(configured, tmp_path, whole) -> None:
    model = TwoNumbersConfig(model_steps=9, steps=0)
    folder = train_tiny(configured(model), tmp_path / "run").path
    assert_equal_runs(extended(folder, steps=27), whole)


def test_the_first_phase_of_a_run_of_it_alone(configured, tmp_path, whole) -> None:
    folder = train_tiny(configured(TwoNumbersConfig(model_steps=5, steps=0)), tmp_path / "run").path
    extended(folder, model_steps=9, steps=27)
    assert_same(final_state(folder), final_state(whole))


def test_the_runs_own_number(configured, tmp_path) -> None:
    """Without a setting of the algorithm's, or over it, `steps` is the run's."""
    folder = train_tiny(configured(TinyConfig(first_steps=1), steps=8), tmp_path / "run").path
    extended(folder, steps=17)
    again = load_config(folder, registry())
    assert (again.steps, again.algorithm.steps) == (17, 20)
    assert final_state(folder)[0] == 18


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ({"steps": 8}, "has done 9 updates of the phase 'policy' .* --steps .* more than 9"),
        ({"model_steps": 20}, "phase 'model' is over"),
        ({"first_steps": 20}, "first_steps is not the number of .* model and policy"),
        ({"modle_steps": 20}, "Did you mean 'model_steps'"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(configured, tmp_path, steps, message):
    first = TwoNumbersConfig(model_steps=9, steps=9)
    folder = train_tiny(configured(first), tmp_path / "run").path
    before = [(folder / name).read_bytes() for name in ("run.json", "config.yaml")]
    with pytest.raises(VRLError, match=message):
        extended(folder, **steps)
    assert [(folder / name).read_bytes() for name in ("run.json", "config.yaml")] == before


def test_a_schedule_over_all_updates_is_warned_of_and_told(configured, tmp_path) -> None:
    first = TwoNumbersConfig(steps=3, falls=True)
    folder = train_tiny(configured(first), tmp_path / "run").path
    with pytest.warns(UserWarning, match="The rate falls: from update 3 .* of 5 updates, and was"):
        extended(folder, steps=5)
    told = settings(read_run(folder))
    assert told.pop("extended") == "3 to 5 after 11"
    whole = train_tiny(configured(TwoNumbersConfig(steps=5, falls=True)), tmp_path / "whole").path
    assert settings(read_run(whole)) == told


def test_the_same_number_only_resumes(configured, tmp_path, capsys) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_tiny(configured(TinyConfig(stops_at=12)), tmp_path / "run")
    extended(tmp_path / "run", steps=20)
    extended(tmp_path / "run", steps=20)
    assert "has done all its 28 updates. More of them: vrl train" in capsys.readouterr().err
    assert "extensions" not in facts(tmp_path / "run")
    assert final_state(tmp_path / "run")[0] == 28


def test_words() -> None:
    words = ["--steps", "20", "--seed", "3", "--dynamics-steps=4", "--model_steps", "5"]
    numbers = {"steps": 20, "dynamics_steps": 4, "model_steps": 5}
    assert split_steps(words) == (numbers, ["--seed", "3"])
    for words in (["--steps"], ["--steps", "1e5"], ["--steps=-4"]):
        with pytest.raises(VRLError, match="--steps needs a whole number"):
            split_steps(words)
