"""One model phase serves several behaviour runs, and a model that does not fit is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import vrl_core.plugin
import vrl_worldmodel.plugin
from vrl_core.checkpoint import checkpoints, load_checkpoint, save_checkpoint
from vrl_core.config import load_yaml, save_yaml
from vrl_core.episodes import DataSpec, FieldSpec
from vrl_core.errors import VRLError
from vrl_core.flags import parse_run, split_words
from vrl_core.registry import Registry
from vrl_core.run_folder import RunFolder, restore
from vrl_core.testing import tiny_data
from vrl_core.train import train
from vrl_worldmodel.config import WorldModelConfig
from vrl_worldmodel.model_source import load_model

CPU = torch.device("cpu")
MODEL = WorldModelConfig(
    deterministic_size=12,
    stochastic_size=3,
    classes=4,
    hidden_size=10,
    members=3,
    channels=(4, 6),
    reward_layers=(8,),
    batch_size=3,
    sequence_length=5,
)
FLAGS = """
    --model.deterministic-size 12 --model.stochastic-size 3 --model.classes 4
    --model.hidden-size 10 --model.members 3 --model.channels 4 6 --model.reward-layers 8
    --model.batch-size 3 --model.sequence-length 5 --model-steps 2 --steps 2
    --actor-layers 8 --critic-layers 8 --precision float32
    --evaluation-episodes 0 --checkpoint-every 1 --log-every 1 --device cpu
"""


def registry() -> Registry:
    return Registry(installed=False, modules=[vrl_core.plugin, vrl_worldmodel.plugin])


def run(folder: Path, *words: str, data: Path, algorithm: str = "offline-dv2") -> RunFolder:
    """Do what `vrl train ALGORITHM ... ` does with these words, in this process."""
    plugins = registry()
    request = split_words([algorithm, "--data", str(data), *FLAGS.split(), *words])
    return train(parse_run(request, plugins), registry=plugins, folder=folder)


def final_state(folder: Path) -> dict:
    return load_checkpoint(checkpoints(folder / "checkpoints")[-1][1])[1]["algorithm"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with a store, `data`, and a finished run on it, `model`."""
    folder = tmp_path_factory.mktemp("source")
    tiny_data(folder / "data", image_size=16)
    run(folder / "model", "--seed", "4", data=folder / "data")
    return folder


@pytest.fixture
def spec(trained) -> DataSpec:
    return RunFolder(trained / "model").spec()


def test_several_behaviours_learn_in_one_model(trained, tmp_path) -> None:
    words = ("--model-run", str(trained / "model"))
    others = {
        "same": (),
        "penalty": ("penalty:max-disagreement", "--penalty.weight", "1"),
        "weight": ("penalty:mean-disagreement", "--penalty.weight", "0.5"),
        "seed": ("--seed", "1"),
        "training": ("--model.batch-size", "2", "--model.sequence-length", "4"),
    }
    actors = []
    weights = final_state(trained / "model")["model"]
    for name, changes in others.items():
        folder = tmp_path / name
        done = run(folder, *words, *changes, data=trained / "data")
        assert done.facts()["steps"] == 2  # no model phase
        assert {line["phase"] for line in done.metrics.read()} == {"behaviour"}
        state = final_state(folder)
        assert all(state["model"][key].equal(value) for key, value in weights.items())
        assert "model_optimiser" not in state
        source = state["model_source"]
        assert source["run"] == str(trained / "model")
        assert (source["step"], source["seed"]) == (4, 4)
        assert source["data"] == RunFolder(trained / "model").facts()["dataset"]["checksum"]
        actors.append(state["agent"]["networks"]["actor"]["network.output.weight"])
    assert all(not one.equal(two) for k, one in enumerate(actors) for two in actors[:k])


def test_a_behaviours_model_serves_in_turn(trained, spec, tmp_path) -> None:
    run(tmp_path / "first", "--model-run", str(trained / "model"), data=trained / "data")
    weights, source = load_model(tmp_path / "first", MODEL, spec)
    assert source.run == str(tmp_path / "first")
    expected = final_state(trained / "model")["model"]
    assert all(weights[key].equal(value) for key, value in expected.items())


def test_a_trained_behaviour_acts_without_the_models_run(trained, tmp_path) -> None:
    shutil.copytree(trained / "model", tmp_path / "model")
    words = ("--model-run", str(tmp_path / "model"))
    run(tmp_path / "behaviour", *words, data=trained / "data")
    blank = {"image": np.zeros((1, 16, 16, 3), np.uint8)}
    actions = []
    for _ in range(2):
        policy = restore(tmp_path / "behaviour", registry(), CPU).algorithm.policy()
        actions.append(policy.act(blank, policy.start(1))[0])
        shutil.rmtree(tmp_path / "model", ignore_errors=True)
    assert np.array_equal(*actions)


def test_a_named_checkpoint_serves_before_the_models_end(trained, spec, tmp_path) -> None:
    shutil.copytree(trained / "model", tmp_path / "model")
    folder = tmp_path / "model/checkpoints"
    step, state = load_checkpoint(checkpoints(folder)[-1][1])
    state["algorithm"]["model"] = {k: v * 0.5 for k, v in state["algorithm"]["model"].items()}
    early = {"phase": 0, "phase_step": 1}
    save_checkpoint(folder, step + 1, state | early, keep=9)
    save_checkpoint(folder, step + 2, state | early, keep=9)

    words = ("--model-run", str(tmp_path / "model"), "--model-run-step", str(step + 1))
    run(tmp_path / "behaviour", *words, data=trained / "data")
    found = final_state(tmp_path / "behaviour")
    assert found["model_source"]["step"] == step + 1
    wanted = state["algorithm"]["model"]
    assert all(found["model"][key].equal(value) for key, value in wanted.items())

    shutil.rmtree(folder / f"step_{step + 1:08d}")  # a run keeps its newest alone
    assert restore(tmp_path / "behaviour", registry(), CPU).algorithm.policy()
    with pytest.raises(VRLError, match=f"no checkpoint of update {step + 1}. There are: .*{step}"):
        run(tmp_path / "late", *words, data=trained / "data")
    assert not (tmp_path / "late").exists()


@pytest.mark.parametrize("algorithm", ["offline-dv2", "lompo", "lmbrl", "offline-slac"])
def test_a_run_of_the_model_alone_serves_others(trained, tmp_path, algorithm) -> None:
    words = ("--steps", "0", "--model-steps", "3")
    done = run(tmp_path / "model", *words, data=trained / "data", algorithm=algorithm)
    assert {line["phase"] for line in done.metrics.read()} == {"model"}
    assert done.facts()["steps"] == 3
    model = ("--model-run", str(tmp_path / "model"))
    run(tmp_path / "behaviour", *model, data=trained / "data", algorithm=algorithm)
    wanted = final_state(tmp_path / "model")["model"]
    assert all(
        final_state(tmp_path / "behaviour")["model"][key].equal(value)
        for key, value in wanted.items()
    )


def test_a_run_of_the_model_alone_has_no_policy(trained, tmp_path) -> None:
    run(tmp_path / "model", "--steps", "0", data=trained / "data")
    policy = restore(tmp_path / "model", registry(), CPU).algorithm.policy()
    blank = {"image": np.zeros((1, 16, 16, 3), np.uint8)}
    with pytest.raises(VRLError, match=r"steps is 0.*--evaluation-episodes 0.*--model-run"):
        policy.act(blank, policy.start(1))


def test_neither_model_nor_behaviour_is_no_run(trained, tmp_path) -> None:
    words = ("--model-run", str(trained / "model"), "--steps", "0")
    with pytest.raises(VRLError, match="no updates; set --steps"):
        run(tmp_path / "x", *words, data=trained / "data")


def test_a_missing_run_is_refused_before_anything_is_written(trained, tmp_path) -> None:
    with pytest.raises(VRLError, match=r"there is no run at .*nowhere"):
        run(tmp_path / "x", "--model-run", str(tmp_path / "nowhere"), data=trained / "data")
    assert not (tmp_path / "x").exists()


def test_a_folder_that_is_no_run_is_refused(trained, spec) -> None:
    with pytest.raises(VRLError, match=r"no config\.yaml"):
        load_model(trained / "data", MODEL, spec)


def test_training_settings_need_not_agree(trained, spec) -> None:
    other = replace(MODEL, batch_size=7, learning_rate=1.0, kl_balance=None, minimum_std=0.5)
    load_model(trained / "model", other, spec)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"deterministic_size": 16}, "model.deterministic_size is 12 there and 16 here"),
        ({"members": 5}, "model.members is 3 there and 5 here"),
        ({"channels": (4, 8)}, r"model.channels is \(4, 6\) there and \(4, 8\) here"),
        ({"latent": "gaussian"}, "model.latent is categorical there and gaussian here"),
        ({"classes": 8}, "model.classes is 4 there and 8 here"),
    ],
)
def test_a_model_of_other_sizes_is_refused(trained, spec, changes, words) -> None:
    with pytest.raises(VRLError, match=words):
        load_model(trained / "model", replace(MODEL, **changes), spec)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"observations": {"image": FieldSpec((32, 32, 3), "uint8")}}, r"\(16, 16, 3\) there"),
        ({"action_size": 6}, "action size is 2 there and 6 here"),
        ({"render_quality": "fast"}, "render quality is reference there and fast here"),
        ({"action_repeat": 2}, "action repeat is 1 there and 2 here"),
        ({"task": "another"}, "task is tiny there and another here"),
    ],
)
def test_a_model_of_other_data_is_refused(trained, spec, changes, words) -> None:
    with pytest.raises(VRLError, match=words):
        load_model(trained / "model", MODEL, replace(spec, **changes))


def test_all_differences_are_named_at_once(trained, spec) -> None:
    with pytest.raises(VRLError) as refusal:
        load_model(
            trained / "model", replace(MODEL, members=5), replace(spec, render_quality="fast")
        )
    assert "model.members" in str(refusal.value)
    assert "render quality" in str(refusal.value)


def test_another_algorithms_run_is_refused(trained, spec, tmp_path) -> None:
    shutil.copytree(trained / "model", tmp_path / "run")
    config = load_yaml(tmp_path / "run/config.yaml")
    config["algorithm"] = {"name": "bc", "steps": 3}
    save_yaml(tmp_path / "run/config.yaml", config)
    with pytest.raises(VRLError, match=r"is a run of bc, which has no world model"):
        load_model(tmp_path / "run", MODEL, spec)


def test_a_model_phase_under_way_is_refused(trained, spec, tmp_path) -> None:
    shutil.copytree(trained / "model", tmp_path / "run")
    folder = tmp_path / "run/checkpoints"
    step, state = load_checkpoint(checkpoints(folder)[-1][1])
    save_checkpoint(folder, step + 1, state | {"phase": 0, "phase_step": 1})
    with pytest.raises(
        VRLError, match=r"update 1 of 2 of the model phase.*--resume.*--model-run-step 5"
    ):
        load_model(tmp_path / "run", MODEL, spec)
    shutil.rmtree(folder)
    with pytest.raises(VRLError, match="no checkpoint yet"):
        load_model(tmp_path / "run", MODEL, spec)
