"""Which checkpoints and penalties of a run can be judged, and what is said of the others."""

import json
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import vrl_core.plugin
import vrl_theory.plugin
from vrl_core.cli import main
from vrl_core.errors import VRLError
from vrl_core.registry import Registry
from vrl_core.run_config import RunConfig
from vrl_core.store_config import StoreDataset
from vrl_core.testing.tiny_data import tiny_data
from vrl_core.train import train
from vrl_theory.config import Theory, TheoryBoundConfig
from vrl_theory.judged_run import UntrainedModelError, load_judged, with_penalty
from vrl_theory.rollout_model import model_is_trained, prediction_kind

FAKE = Path(__file__).with_name("fake_run.py")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def registry():
    return Registry(installed=False, modules=[vrl_core.plugin, vrl_theory.plugin], files=[FAKE])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "expert"
    return tiny_data(folder, episodes=3, steps=6, image_size=None, state_size=3)


def trained_run(registry, store, folder, trained_after):
    """A run of four updates, with checkpoints and evaluations after two and four."""
    config = RunConfig(
        algorithm=registry.get("algorithms", "counter")(trained_after=trained_after),
        dataset=StoreDataset(path=str(store.path)),
        environment=registry.get("environments", "counting")(),
        callbacks=(TheoryBoundConfig(expert=store.path, horizon=2, episodes=2),),
        device="cpu",
        evaluate_every=2,
        evaluation_episodes=2,
        evaluation_workers=0,
        checkpoint_every=2,
        plugins=(str(FAKE),),
    )
    return train(config, registry=registry, folder=folder).path


@pytest.fixture(scope="module")
def late(registry, store, tmp_path_factory):
    """A run whose model is trained after three updates."""
    return trained_run(registry, store, tmp_path_factory.mktemp("runs") / "late", 3)


@pytest.fixture(scope="module")
def never(registry, store, tmp_path_factory):
    """A run whose model is not trained when it ends."""
    folder = tmp_path_factory.mktemp("runs") / "never"
    with pytest.warns(UserWarning, match="theory-bound judged nothing"):
        return trained_run(registry, store, folder, 9)


def bound(registry, store, *runs, output):
    command = Theory(
        subject="bound", runs=runs, data=(store.path,), horizon=2, output=output, json=True
    )
    return command.run(registry)


def test_whether_a_model_is_trained_is_asked_of_algorithm_or_trainer():
    assert model_is_trained(SimpleNamespace())
    assert not model_is_trained(SimpleNamespace(trainer=SimpleNamespace(finished=False)))
    assert model_is_trained(SimpleNamespace(trainer=SimpleNamespace(finished=True)))
    trainer = SimpleNamespace(finished=True)
    assert not model_is_trained(SimpleNamespace(model_trained=False, trainer=trainer))


def test_a_model_in_training_is_not_judged(late, registry):
    with pytest.raises(UntrainedModelError, match=r"no trained model at update 2.* real_share 1"):
        load_judged(late, registry, CPU, 2)
    assert load_judged(late, registry, CPU, 4).step == 4


def test_checkpoints_in_training_are_left_out_with_one_warning(
    late, registry, store, tmp_path, capsys
):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert bound(registry, store, late, output=tmp_path) == 0
    said = [str(each.message) for each in caught if "left out" in str(each.message)]
    assert said == [
        f"{late}: left out the checkpoints at updates 2, where the model was still in training."
    ]
    assert [each["step"] for each in json.loads(capsys.readouterr().out)["bounds"]] == [4]


def test_a_run_without_a_trained_model_is_refused(late, never, registry, store, tmp_path):
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(VRLError, match="no trained model at update 4"),
    ):
        bound(registry, store, late, never, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    command = Theory(subject="calibration", runs=(never,), data=(store.path,), horizon=2)
    with pytest.raises(VRLError, match="no trained model at update 4"):
        command.run(registry)


def test_the_callback_passes_over_evaluations_before_the_model_is_trained(late, never):
    lines = [json.loads(line) for line in (late / "theory_bound.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [4]
    assert (late / "theory_bound.png").is_file()
    assert not (never / "theory_bound.jsonl").exists()


def test_a_penalty_on_another_kind_of_ensemble_names_those_that_fit(late, registry):
    judged = load_judged(late, registry, CPU, 4)
    refusal = r"logit is one on categorical ensembles, .* is gaussian\. Name one, .*: first-std\.$"
    with pytest.raises(VRLError, match=refusal):
        with_penalty(judged, "logit", None, registry)
    blind = replace(judged, penalty_config=None)
    with pytest.raises(VRLError, match=r"--penalty NAME: first-std\.$"):
        with_penalty(blind, None, None, registry)
    world = SimpleNamespace(config=SimpleNamespace(latent="categorical"))
    latent = replace(judged, model=SimpleNamespace(fields=("image",), model=world))
    assert with_penalty(latent, "logit", None, registry)
    with pytest.raises(VRLError, match=r"Name one, .*: first-std, logit\.$"):
        with_penalty(replace(latent, penalty_config=None), None, None, registry)
    assert prediction_kind(SimpleNamespace(fields=("state",))) is None


def test_the_callback_without_an_expert_says_so(store, tmp_path, capsys):
    words = ["train", "counter", "--plugin", str(FAKE), "--data", str(store.path)]
    words += ["--callbacks", "theory-bound", "--evaluation-episodes", "0"]
    assert main([*words, "--device", "cpu", "--output", str(tmp_path / "run")]) == 1
    assert "needs the expert's episodes, expert: STORE" in capsys.readouterr().err
