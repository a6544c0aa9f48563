"""Settings of MOPO: presets, Table 6, and what is refused."""

from __future__ import annotations

import math

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


@pytest.mark.parametrize(
    ("task", "behaviour", "wanted"),
    [
        ("halfcheetah", "random", (5, 0.5, 5)),
        ("halfcheetah", "medium", (1, 1.0, 5)),
        ("hopper", "medium", (5, 5.0, 5)),
        ("hopper_v5", "mixed", (5, 1.0, 5)),
        ("walker2d", "random", (1, 1.0, 5)),
        ("Walker2d-v2", "medium-replay", (1, 1.0, 1)),
        ("walker2d", "medium_expert", (1, 2.0, 1)),
        ("halfcheetah_jump", "mixed", (5, 1.0, 5)),
        ("ant_angle_45", "mixed", (25, 2.0, 25)),
    ],
)
def test_rollouts_of_table_6(task, behaviour, wanted):
    found = published_rollouts(task, behaviour)
    assert (found.mopo_length, found.weight, found.mbpo_length) == wanted


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
