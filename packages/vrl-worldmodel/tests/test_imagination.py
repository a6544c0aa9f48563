"""Rollouts follow the model, penalise the states they pass and carry gradients to the actor."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vrl_core.protocols import EnsemblePrediction
from vrl_worldmodel.distributions import TruncatedNormal
from vrl_worldmodel.imagination import Imagination, imagine
from vrl_worldmodel.penalties import mean_disagreement
from vrl_worldmodel.rssm import RSSM, LatentState

HORIZON, BATCH, ACTIONS = 4, 6, 2


@pytest.fixture
def rssm(model_config) -> RSSM:
    torch.manual_seed(0)
    return RSSM(model_config, ACTIONS, 7).requires_grad_(False)


@pytest.fixture
def start(rssm: RSSM) -> LatentState:
    torch.manual_seed(1)
    noise = torch.randn(BATCH, rssm.deterministic_size).tanh()
    return LatentState(noise, rssm.prior(noise, rssm.draw_member()).sample())


def uniform_policy(features: Tensor) -> TruncatedNormal:
    shape = (*features.shape[:-1], ACTIONS)
    return TruncatedNormal(torch.zeros(shape), torch.ones(shape))


def roll_out(rssm: RSSM, start: LatentState, penalty=None, act=uniform_policy) -> Imagination:
    torch.manual_seed(2)
    return imagine(rssm, start, act, HORIZON, penalty)


def test_shapes_and_start(rssm, start) -> None:
    imagined = roll_out(rssm, start, mean_disagreement)
    assert imagined.features.shape == (HORIZON + 1, BATCH, rssm.feature_size)
    assert imagined.action.shape == (HORIZON, BATCH, ACTIONS)
    assert imagined.entropy.shape == (HORIZON, BATCH)
    assert imagined.penalty is not None
    assert imagined.penalty.shape == (HORIZON, BATCH)
    assert imagined.features[0].equal(start.features)


def test_each_state_follows_from_the_one_before(rssm, start) -> None:
    imagined = roll_out(rssm, start)
    stochastic, deterministic = imagined.features.split(
        [rssm.stochastic_size, rssm.deterministic_size], -1
    )
    before = LatentState(deterministic[:-1], stochastic[:-1])
    torch.testing.assert_close(rssm.advance(before, imagined.action), deterministic[1:])


def test_penalty_is_that_of_the_states_passed(rssm, start) -> None:
    imagined = roll_out(rssm, start, mean_disagreement)
    stochastic, deterministic = imagined.features[:-1].split(
        [rssm.stochastic_size, rssm.deterministic_size], -1
    )
    expected = mean_disagreement(rssm.predict(LatentState(deterministic, stochastic)))
    torch.testing.assert_close(imagined.penalty, expected)


def test_penalty_changes_no_rollout(rssm, start) -> None:
    penalised, plain = roll_out(rssm, start, mean_disagreement), roll_out(rssm, start)
    torch.testing.assert_close(penalised.features, plain.features)
    assert plain.penalty is None


def test_policy_acts_on_detached_features(rssm, start) -> None:
    seen = []
    scale = torch.ones((), requires_grad=True)

    def act(features: Tensor) -> TruncatedNormal:
        seen.append(features)
        policy = uniform_policy(features)
        return TruncatedNormal(policy.mean * scale, policy.std * scale)

    imagined = roll_out(rssm, start, act=act)
    assert len(seen) == HORIZON
    assert not any(features.requires_grad for features in seen)
    assert imagined.features[1:].requires_grad
    assert all(
        one.equal(other) for one, other in zip(seen, imagined.features[:-1].detach(), strict=True)
    )


def test_gradient_reaches_every_earlier_action_and_no_later_one(rssm, start) -> None:
    means = [torch.zeros(BATCH, ACTIONS, requires_grad=True) for _ in range(HORIZON)]
    remaining = iter(means)

    def act(features: Tensor) -> TruncatedNormal:
        return TruncatedNormal(next(remaining), torch.ones(BATCH, ACTIONS))

    imagined = roll_out(rssm, start, mean_disagreement, act)
    assert imagined.penalty is not None
    gradients = torch.autograd.grad(imagined.penalty[2].sum(), means, allow_unused=True)
    reached = [gradient is not None and bool(gradient.any()) for gradient in gradients]
    assert reached == [True, True, False, False]


def test_penalty_sees_one_prediction_per_state(rssm, start) -> None:
    seen: list[EnsemblePrediction] = []

    def penalty(prediction: EnsemblePrediction) -> Tensor:
        seen.append(prediction)
        return torch.zeros(BATCH)

    imagined = roll_out(rssm, start, penalty)
    samples = torch.stack([prediction.sample.flatten(1) for prediction in seen])
    assert samples.equal(imagined.features[:-1, :, : rssm.stochastic_size])
