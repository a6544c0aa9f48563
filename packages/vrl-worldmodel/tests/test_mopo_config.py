"""Settings of MOPO: presets, Table 6, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from vrl_core.errors import VRLError
from vrl_worldmodel.mopo_config import (
    UNPUBLISHED,
    DynamicsConfig,
    MBPOConfig,
    MOPOConfig,
    acts_uniformly,
    published_rollouts,
)
from vrl_worldmodel.penalty_config import LogitStd, MaxStd, NoPenalty


@pytest.mark.parametrize("config", [MOPOConfig, MBPOConfig])
def test_the_public_codes_settings_are_the_default(config):
    presets = config.presets()
    assert list(presets) == ["reference-code", "paper", "small"]
    assert presets[config.default_preset] == config()
    assert all(type(preset) is config for preset in presets.values())


def test_paper_and_code_differ_in_normalisation_reward_and_entropy():
    presets = MOPOConfig.presets()
    found = {
        name: (
            preset.dynamics.spectral_normalisation,
            preset.imagined_reward,
            preset.target_entropy,
        )
        for name, preset in presets.items()
        if name != "small"
    }
    assert found == {
        "reference-code": (False, "sampled", -3.0),
        "paper": (True, "mean", None),
    }


def test_the_published_sizes():
    config = MOPOConfig()
    dynamics = config.dynamics
    assert (dynamics.members, dynamics.elites, dynamics.hidden_layers) == (7, 5, (200,) * 4)
    assert (config.rollouts, config.rollout_every, config.retained_rollouts) == (50_000, 1_000, 5)
    assert isinstance(config.penalty, MaxStd)
    assert isinstance(MBPOConfig().penalty, NoPenalty)


TABLE_6 = """
random halfcheetah 5 0.5 5
random hopper 5 1 5
random walker2d 1 1 5
medium halfcheetah 1 1 5
medium hopper 5 5 5
medium walker2d 5 5 5
mixed halfcheetah 5 1 5
mixed hopper 5 1 5
mixed walker2d 1 1 1
medium_expert halfcheetah 5 1 5
medium_expert hopper 5 1 5
medium_expert walker2d 1 2 1
"""
"""Behaviour, task, (h, lambda) of MOPO, h of MBPO, as printed."""
APPENDIX_G_2 = "mixed halfcheetah_jump 5 1 5\nmixed ant_angle 25 2 25"
"""The same of the tasks out of distribution, MBPO's h ours."""
OTHER_NAMES = """
medium-replay Walker2d-v2 1 1 1
mixed hopper_v5 5 1 5
medexp walker2d 1 2 1
random ant_angle_45 25 2 25
"""


@pytest.mark.parametrize(
    "row", [row for text in (TABLE_6, APPENDIX_G_2, OTHER_NAMES) for row in text.split("\n") if row]
)
def test_rollouts_are_those_of_table_6_and_appendix_g_2(row):
    behaviour, task, *numbers = row.split()
    found = published_rollouts(task, behaviour)
    assert (found.mopo_length, found.weight, found.mbpo_length) == tuple(map(float, numbers))
    code = published_rollouts(task, behaviour, "code")
    differs = (behaviour, task) == ("medium_expert", "halfcheetah")
    assert code == (replace(found, weight=5.0) if differs else found)


def test_presets_follow_the_paper_or_the_code():
    found = {name: preset.published for name, preset in MOPOConfig.presets().items()}
    assert found == {"reference-code": "code", "paper": "paper", "small": "code"}


def test_mbpo_has_nothing_that_the_paper_says_of_mopo_alone():
    for preset in MBPOConfig.presets().values():
        assert preset.rollout_actions == "policy"
        assert not preset.dynamics.spectral_normalisation
    assert MBPOConfig.presets()["paper"].imagined_reward == "mean"
    assert MBPOConfig(rollout_actions="uniform").rollout_actions == "uniform"


@pytest.mark.parametrize(("task", "behaviour"), [("hiv", "mixed"), ("hopper", "expert")])
def test_what_is_not_published_has_the_commonest_values(task, behaviour):
    assert published_rollouts(task, behaviour) is UNPUBLISHED


def test_random_actions_are_for_the_tasks_out_of_distribution():
    assert acts_uniformly("halfcheetah-jump")
    assert acts_uniformly("ant_angle_30")
    assert not acts_uniformly("halfcheetah")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("members", 0),
        ("elites", 8),
        ("elites", 0),
        ("hidden_layers", ()),
        ("weight_decay", (1e-5,)),
        ("weight_decay", (1e-5, 1e-5, 1e-5, 1e-5, -1.0)),
        ("log_variance_bounds", (0.5, -10.0)),
        ("holdout_share", 1.5),
        ("learning_rate", math.nan),
    ],
)
def test_settings_of_the_dynamics_that_cannot_be_meant_are_refused(setting, value):
    with pytest.raises(VRLError, match=setting):
        DynamicsConfig(**{setting: value})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("rollout_length", 0),
        ("rollouts", 0),
        ("real_share", 1.1),
        ("state_bound", 0.0),
        ("target_entropy", math.inf),
        ("hidden_layers", (0,)),
        ("steps", 0),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(setting, value):
    with pytest.raises(VRLError, match=setting):
        MOPOConfig(**{setting: value})


def test_penalties_that_do_not_fit_are_refused():
    with pytest.raises(VRLError, match="max-std"):
        MOPOConfig(penalty=LogitStd())
    with pytest.raises(VRLError, match="weight must be 0 or more"):
        MOPOConfig(penalty=MaxStd(weight=-1.0))
