"""Settings: what the presets are, and what is refused before anything is built."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from vrl_core.errors import VRLError
from vrl_core.plugin_file import import_file
from vrl_core.testing import check_plugin
from vrl_worldmodel import plugin
from vrl_worldmodel.config import (
    LMBRLConfig,
    LOMPOConfig,
    OfflineDV2Config,
    OfflineSLACConfig,
    WorldModelConfig,
    paper_weight,
    weight_of,
)
from vrl_worldmodel.penalty_config import (
    LogitStd,
    LogProbStd,
    LogProbVariance,
    MaxStd,
    MeanDisagreement,
    MeanStd,
    NoPenalty,
)

ALGORITHMS = (OfflineDV2Config, LOMPOConfig, LMBRLConfig, OfflineSLACConfig)


def test_the_plugin_conforms():
    check_plugin(plugin)


@pytest.mark.parametrize("config", ALGORITHMS)
def test_every_algorithm_has_the_three_presets(config):
    presets = config.presets()
    assert list(presets) == ["paper", "reference-code", "small"]
    assert presets["paper"] == config()
    assert all(type(preset) is config for preset in presets.values())


def test_epochs_of_the_papers_are_updates():
    batches = 100_000 / (64 * 50)
    paper = OfflineDV2Config.presets()["paper"]
    assert (paper.model_steps, paper.steps) == (800 * batches, 2400 * batches)
    code = OfflineDV2Config.presets()["reference-code"]
    assert (code.model_steps, code.steps, code.penalty.weight) == (25_100, 200_000, 10.0)


def test_paper_and_code_of_lompo_differ_in_penalty_agent_and_reward():
    presets = LOMPOConfig.presets()
    assert isinstance(presets["paper"].penalty, LogProbVariance)
    assert isinstance(presets["reference-code"].penalty, LogProbStd)
    assert presets["reference-code"].agent == "deterministic"
    assert presets["reference-code"].imagined_reward == "sampled-member"


@pytest.mark.parametrize("config", [LMBRLConfig, OfflineSLACConfig])
def test_the_relatives_of_lompo_have_no_penalty_in_any_preset(config):
    assert all(isinstance(preset.penalty, NoPenalty) for preset in config.presets().values())


def test_only_offline_slac_imagines_nothing():
    shares = {config: config().real_share for config in ALGORITHMS[1:]}
    assert shares == {LOMPOConfig: 0.5, LMBRLConfig: 0.5, OfflineSLACConfig: 1.0}


@pytest.mark.parametrize(
    ("task", "behaviour", "weight"),
    [
        ("walker_walk", "random", 3.0),
        ("cheetah_run", "random", 3.0),
        ("walker_walk", "mixed", 8.0),
        ("walker-walk", "medium_replay", 8.0),
        ("cheetah_run", "mixed", 10.0),
        ("walker_walk", "expert", 10.0),
        ("own-task", "own-behaviour", 10.0),
    ],
)
def test_the_papers_weights(task, behaviour, weight):
    assert paper_weight(task, behaviour) == weight


@pytest.mark.parametrize("weight", [-1.0, -1e-9, math.nan, math.inf])
@pytest.mark.parametrize("config", [OfflineDV2Config, LOMPOConfig])
def test_a_weight_that_cannot_be_meant_is_refused(config, weight):
    with pytest.raises(VRLError, match=r"weight must be 0 or more and finite.*penalty:none"):
        config(penalty=LogProbStd(weight=weight))


@pytest.mark.parametrize("weight", [None, 0.0, 2.5])
def test_a_weight_that_can_be_meant_is_taken(weight):
    assert OfflineDV2Config(penalty=MeanDisagreement(weight=weight)).penalty.weight == weight


@pytest.mark.parametrize(("penalty", "name"), [(MeanStd(), "mean-std"), (MaxStd(), "max-std")])
def test_penalties_on_deviations_are_refused_for_categorical_members(penalty, name):
    with pytest.raises(VRLError) as refusal:
        OfflineDV2Config(penalty=penalty)
    said, _, fit = str(refusal.value).partition("These fit: ")
    assert said.startswith(f"{name} is a penalty on gaussian ensembles")
    for fitting in ("mean-disagreement", "logit-std", "ensemble-std", "none"):
        assert fitting in fit
    assert "mean-std" not in fit
    assert "true-error" not in fit


def test_penalties_on_logits_are_refused_for_gaussian_members():
    with pytest.raises(VRLError) as refusal:
        LOMPOConfig(penalty=LogitStd())
    said, _, fit = str(refusal.value).partition("These fit: ")
    assert said.startswith("logit-std")
    assert "max-std" in fit
    assert "logit-std" not in fit


PLUGIN = """
from dataclasses import dataclass
from typing import ClassVar
from vrl_core import PenaltyConfig, hookimpl


@dataclass(frozen=True, kw_only=True)
class Fits(PenaltyConfig):
    "For categorical ensembles."

    kinds: ClassVar[tuple[str, ...]] = ("categorical",)


@dataclass(frozen=True, kw_only=True)
class Misfits(PenaltyConfig):
    "For Gaussian ensembles."

    kinds: ClassVar[tuple[str, ...]] = ("gaussian",)


@hookimpl
def vrl_penalties():
    return {"own-fitting": Fits, "own-misfit": Misfits}
"""


def test_the_refusal_of_a_plugins_penalty_names_it_and_what_the_plugin_has(tmp_path):
    (tmp_path / "own_penalties.py").write_text(PLUGIN)
    module = import_file(tmp_path / "own_penalties.py")
    with pytest.raises(VRLError, match=r"^own-misfit \(own_penalties\.Misfits\) is .*own-f"):
        OfflineDV2Config(penalty=module.Misfits())


def test_the_refusal_names_the_penalties_of_other_plugins(tmp_path, monkeypatch):
    (tmp_path / "other_penalties.py").write_text(PLUGIN)
    monkeypatch.setenv("VRL_PLUGINS", str(tmp_path / "other_penalties.py"))
    with pytest.raises(VRLError, match="own-fitting") as refusal:
        OfflineDV2Config(penalty=MaxStd())
    assert "own-misfit" not in str(refusal.value)


def test_a_published_weight_belongs_to_its_penalties_alone():
    owners = (LogProbStd, MeanDisagreement)
    assert weight_of(MeanDisagreement(), 5.0, owners) == 5.0
    assert weight_of(MeanDisagreement(weight=0.5), 5.0, owners) == 0.5
    assert weight_of(MaxStd(weight=2.0), 5.0, owners) == 2.0
    assert weight_of(NoPenalty(), 5.0, owners) == 0.0
    refusal = r"max-std needs a weight.*5 belongs to log-prob-std and mean-disagreement"
    with pytest.raises(VRLError, match=refusal):
        weight_of(MaxStd(), 5.0, owners)


def test_a_checkpoint_needs_the_run_that_it_is_of():
    with pytest.raises(VRLError, match="model_run_step"):
        OfflineDV2Config(model_run_step=3)


def test_the_papers_epochs_grow_with_the_data():
    paper = OfflineDV2Config()
    assert paper.paper_updates(100_000) == {"model_steps": 25_000, "steps": 75_000}
    assert paper.paper_updates(50_000) == {"model_steps": 12_500, "steps": 37_500}
    assert replace(paper, model_steps=12_500).paper_updates(50_000) == {"steps": 37_500}
    smaller = replace(paper, model=replace(paper.model, batch_size=16))
    assert smaller.paper_updates(100_000) == {"model_steps": 100_000, "steps": 300_000}
    assert OfflineDV2Config.presets()["reference-code"].paper_updates(50_000) == {}


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("members", 0),
        ("classes", 1),
        ("sequence_length", 1),
        ("learning_rate", -1e-4),
        ("learning_rate", math.nan),
        ("kl_balance", 1.5),
        ("free_nats", -1.0),
        ("minimum_std", 0.0),
        ("channels", ()),
        ("reward_layers", (32, 0)),
    ],
)
def test_settings_of_a_model_that_cannot_be_meant_are_refused(setting, value):
    with pytest.raises(VRLError, match=setting):
        replace(WorldModelConfig(), **{setting: value})


@pytest.mark.parametrize(
    ("config", "setting", "value"),
    [
        (OfflineDV2Config, "imagination_horizon", 1),
        (OfflineDV2Config, "return_mix", 1.1),
        (OfflineDV2Config, "discount", -0.1),
        (OfflineDV2Config, "actor_layers", ()),
        (OfflineDV2Config, "actor_learning_rate", -1e-4),
        (OfflineDV2Config, "critic_learning_rate", math.nan),
        (LOMPOConfig, "imagination_horizon", 0),
        (LOMPOConfig, "real_share", 1.5),
        (LOMPOConfig, "imagined_capacity", 0),
        (LOMPOConfig, "exploration_noise", math.inf),
    ],
)
def test_settings_of_an_algorithm_that_cannot_be_meant_are_refused(config, setting, value):
    with pytest.raises(VRLError, match=setting):
        config(**{setting: value})
