"""Settings: what the presets are, and what is refused before anything is built."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from vrl_core.errors import VRLError
from vrl_core.testing import check_plugin
from vrl_worldmodel import plugin
from vrl_worldmodel.config import (
    LMBRLConfig,
    LOMPOConfig,
    OfflineDV2Config,
    OfflineSLACConfig,
    WorldModelConfig,
    paper_weight,
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
    with pytest.raises(VRLError, match="weight must be 0 or more and finite"):
        config(penalty=LogProbStd(weight=weight))


@pytest.mark.parametrize("weight", [None, 0.0, 2.5])
def test_a_weight_that_can_be_meant_is_taken(weight):
    assert OfflineDV2Config(penalty=MeanDisagreement(weight=weight)).penalty.weight == weight


@pytest.mark.parametrize("penalty", [MeanStd(), MaxStd()])
def test_penalties_on_deviations_are_refused_for_categorical_members(penalty):
    with pytest.raises(VRLError) as refusal:
        OfflineDV2Config(penalty=penalty)
    said = str(refusal.value)
    assert type(penalty).__name__ in said
    for fitting in ("mean-disagreement", "logit-std", "ensemble-std", "none"):
        assert fitting in said
    assert "mean-std" not in said


def test_penalties_on_logits_are_refused_for_gaussian_members():
    with pytest.raises(VRLError) as refusal:
        LOMPOConfig(penalty=LogitStd())
    assert "max-std" in str(refusal.value)
    assert "logit-std" not in str(refusal.value)


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
        (LOMPOConfig, "imagination_horizon", 0),
        (LOMPOConfig, "real_share", 1.5),
        (LOMPOConfig, "imagined_capacity", 0),
        (LOMPOConfig, "exploration_noise", math.inf),
    ],
)
def test_settings_of_an_algorithm_that_cannot_be_meant_are_refused(config, setting, value):
    with pytest.raises(VRLError, match=setting):
        config(**{setting: value})
