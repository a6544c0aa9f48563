"""One ensemble serves several runs of MOPO, and one that does not fit is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import vrl_core.plugin
import vrl_worldmodel.plugin
from vrl_core.checkpoint import checkpoints, load_checkpoint
from vrl_core.errors import VRLError
from vrl_core.flags import parse_run, split_words
from vrl_core.registry import Registry
from vrl_core.run_folder import RunFolder, load_config, restore
from vrl_core.testing import tiny_data
from vrl_core.train import train

FLAGS = """
    --dynamics.members 3 --dynamics.elites 2 --dynamics.hidden-layers 8
    --dynamics.weight-decay 1e-5 1e-5 --dynamics.batch-size 16 --dynamics-steps 3 --steps 4
    --hidden-layers 8 --termination never --rollouts 10 --rollout-length 2 --rollout-every 2
    --evaluation-episodes 0 --checkpoint-every 1 --keep-checkpoints 20 --log-every 1 --device cpu
"""


def registry() -> Registry:
    return Registry(installed=False, modules=[vrl_core.plugin, vrl_worldmodel.plugin])


def run(folder: Path, *words: str, data: Path, algorithm: str = "mopo") -> RunFolder:
    plugins = registry()
    request = split_words([algorithm, "--data", str(data), *FLAGS.split(), *words])
    return train(parse_run(request, plugins), registry=plugins, folder=folder)


def final_state(folder: Path) -> dict:
    return load_checkpoint(checkpoints(folder / "checkpoints")[-1][1])[1]["algorithm"]


def forget(folder: Path, *, after: int) -> None:
    """Remove a run's checkpoints of later updates."""
    for step, path in checkpoints(folder / "checkpoints"):
        if step > after:
            shutil.rmtree(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with a store, `data`, and a finished run on it, `model`."""
    folder = tmp_path_factory.mktemp("dynamics")
    tiny_data(folder / "data", image_size=None, state_size=3)
    run(folder / "model", "--seed", "4", data=folder / "data")
    return folder


def test_several_penalties_learn_in_one_ensemble(trained, tmp_path):
    words = ("--dynamics-run", str(trained / "model"))
    others = {
        "same": (),
        "penalty": ("penalty:max-disagreement", "--penalty.weight", "9"),
        "none": ("penalty:none",),
        "seed": ("--seed", "1"),
        "training": ("--dynamics.batch-size", "4", "--dynamics.patience", "1"),
    }
    expected, actors = final_state(trained / "model")["dynamics"], {}
    for name, changes in others.items():
        done = run(tmp_path / name, *words, *changes, data=trained / "data")
        assert {line["phase"] for line in done.metrics.read()} == {"policy"}
        state = final_state(tmp_path / name)
        model = state["dynamics"]["model"]
        assert all(model[key].equal(value) for key, value in expected["model"].items())
        assert state["dynamics"]["elites"].equal(expected["elites"])
        source = state["dynamics_source"]
        assert source["run"] == str(trained / "model")
        assert (source["step"], source["seed"]) == (7, 4)
        actors[name] = state["agent"]["actor.network.0.weight"]
    # Settings of a training that does not happen change nothing; the others do.
    assert actors.pop("training").equal(actors["same"])
    different = list(actors.values())
    assert all(not one.equal(two) for k, one in enumerate(different) for two in different[:k])


def test_mbpo_learns_in_mopos_ensemble_and_lends_it_on(trained, tmp_path):
    first = ("--dynamics-run", str(trained / "model"))
    run(tmp_path / "first", *first, data=trained / "data", algorithm="mbpo")
    second = ("--dynamics-run", str(tmp_path / "first"))
    run(tmp_path / "second", *second, data=trained / "data")
    source = final_state(tmp_path / "second")["dynamics_source"]
    assert source["run"] == str(tmp_path / "first")


def test_a_run_resumes_and_acts_without_the_ensembles_run(trained, tmp_path):
    shutil.copytree(trained / "model", tmp_path / "model")
    words = ("--dynamics-run", str(tmp_path / "model"))
    run(tmp_path / "whole", *words, data=trained / "data")
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    forget(tmp_path / "cut", after=3)
    shutil.rmtree(tmp_path / "model")
    config = load_config(tmp_path / "cut", registry())
    train(config, registry=registry(), folder=tmp_path / "cut", resume=True)
    whole, cut = (final_state(tmp_path / name)["agent"] for name in ("whole", "cut"))
    assert all(cut[key].equal(value) for key, value in whole.items())
    policy = restore(tmp_path / "cut", registry(), torch.device("cpu")).algorithm.policy()
    state = {"state": np.zeros((1, 3), np.float32)}
    assert np.isfinite(policy.act(state, policy.start(1))[0]).all()


def test_what_does_not_fit_is_refused(trained, tmp_path):
    def refused(match: str, *words: str, model: Path = trained / "model", data=trained / "data"):
        with pytest.raises(VRLError, match=match):
            run(tmp_path / "new", "--dynamics-run", str(model), *words, data=data)
        shutil.rmtree(tmp_path / "new", ignore_errors=True)

    refused("no run at", model=tmp_path / "nowhere")
    refused("members is 3 there and 4 here", "--dynamics.members", "4")
    refused("hidden layers is .8,. there and .9,. here", "--dynamics.hidden-layers", "9")
    tiny_data(tmp_path / "wide", image_size=None, state_size=5)
    refused("observations is", data=tmp_path / "wide")
    refused("data's own|no dynamics ensemble|there is no run", model=trained / "data")


def test_a_run_that_never_trains_its_ensemble_is_refused(trained, tmp_path):
    run(tmp_path / "sac", "--real-share", "1.0", data=trained / "data")
    words = ("--dynamics-run", str(tmp_path / "sac"))
    with pytest.raises(VRLError, match=r"real data alone \(real_share 1\) and trains no ensemble"):
        run(tmp_path / "new", *words, data=trained / "data")


def test_an_ensemble_in_training_is_refused(trained, tmp_path):
    shutil.copytree(trained / "model", tmp_path / "early")
    forget(tmp_path / "early", after=2)
    words = ("--dynamics-run", str(tmp_path / "early"))
    with pytest.raises(VRLError, match=r"not trained to the end.*--resume"):
        run(tmp_path / "new", *words, data=trained / "data")
