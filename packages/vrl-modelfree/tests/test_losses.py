"""Each loss against an independent NumPy version of its paper's equation.

Augmentation is off, and the noise is drawn a second time from the same seed.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vrl_modelfree.config import BCConfig, CQLConfig, DrQBCConfig
from vrl_modelfree.cql import conservative_gap, gaussian_log_density
from vrl_modelfree.critic_learner import bellman_loss

CPU = torch.device("cpu")


def build(config, spec):
    torch.manual_seed(0)
    learner = config.build(spec, CPU)
    # A target critic unlike the critic, and a policy away from zero, so that mix-ups show.
    with torch.no_grad():
        for parameter in learner.actor.output.parameters():
            parameter.add_(0.3)
        for parameter in learner.networks.get("target_critic", torch.nn.Module()).parameters():
            parameter.mul_(1.2)
    return learner


def clipped(noise: torch.Tensor, deviation: float) -> np.ndarray:
    return np.clip(noise.double().numpy() * deviation, -0.3, 0.3)


def within(action: np.ndarray) -> np.ndarray:
    return np.clip(action, -1 + 1e-6, 1 - 1e-6)


def features_of(learner, observation) -> tuple[torch.Tensor, np.ndarray]:
    with torch.no_grad():
        features = learner.encode_unshifted(observation)
    return features, features.double().numpy()


def test_cloning_loss_of_bc(small, spec, make_batch, networks) -> None:
    learner, batch = build(BCConfig(**small, shift_padding=0), spec), make_batch()
    features, exact = features_of(learner, batch.observation)
    torch.manual_seed(1)
    loss = learner.actor_loss(features, batch.action, torch.tensor(0.4))
    torch.manual_seed(1)
    sample = within(networks.actor(learner.actor, exact) + clipped(torch.randn(6, 2), 0.4))
    assert loss.item() == pytest.approx(((sample - batch.action.numpy()) ** 2).mean(), rel=1e-5)


def test_losses_of_drq_bc(small, spec, make_batch, networks) -> None:
    learner, batch = build(DrQBCConfig(**small, shift_padding=0), spec), make_batch()
    features, exact = features_of(learner, batch.observation)
    _, exact_next = features_of(learner, batch.next_observation)
    action = batch.action.double().numpy()

    torch.manual_seed(1)
    loss, _ = learner.critic_loss(features, batch, torch.tensor(0.4))
    torch.manual_seed(1)
    noise = clipped(torch.randn(6, 2), 0.4)
    next_action = within(networks.actor(learner.actor, exact_next) + noise)
    bootstrap = networks.critic(learner.target_critic, exact_next, next_action).min(0)
    target = batch.reward.numpy() + batch.discount.numpy() * bootstrap
    values = networks.critic(learner.critic, exact, action)
    expected = ((values[0] - target) ** 2).mean() + ((values[1] - target) ** 2).mean()
    assert loss.item() == pytest.approx(expected, rel=1e-5)

    torch.manual_seed(2)
    loss, _ = learner.actor_loss(features, batch.action, torch.tensor(0.4))
    torch.manual_seed(2)
    noise = clipped(torch.randn(6, 2), 0.4)
    sample = within(networks.actor(learner.actor, exact) + noise)
    value = networks.critic(learner.critic, exact, sample).min(0)
    weight = 2.5 / np.abs(value).mean()
    expected = -weight * value.mean() + ((sample - action) ** 2).mean()
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("importance_sampling", [False, True])
def test_losses_of_cql(importance_sampling, small, spec, make_batch, networks) -> None:
    config = CQLConfig(
        **small,
        shift_padding=0,
        importance_sampling=importance_sampling,
        temperature=0.7,
        trade_off=3.0,
        sampled_actions=4,
    )
    learner, batch = build(config, spec), make_batch()
    features, exact = features_of(learner, batch.observation)
    _, exact_next = features_of(learner, batch.next_observation)
    action = batch.action.double().numpy()

    torch.manual_seed(1)
    loss, metrics = learner.critic_loss(features, batch, torch.tensor(0.4))
    torch.manual_seed(1)
    mean, next_mean = (networks.actor(learner.actor, x) for x in (exact, exact_next))
    next_action = within(next_mean + clipped(torch.randn(6, 2), 0.4))
    bootstrap = networks.critic(learner.target_critic, exact_next, next_action).min(0)
    target = batch.reward.numpy() + batch.discount.numpy() * bootstrap
    noise = clipped(torch.randn(6, 8, 2), 0.4)
    uniform = torch.rand(6, 4, 2).double().numpy() * 2 - 1

    drawn, densities = [], []
    for k in range(4):
        drawn.append(uniform[:, k])
        densities.append(np.full(6, 2 * np.log(0.5)))
    for k in range(8):
        centre = mean if k < 4 else next_mean
        drawn.append(within(centre + noise[:, k]))
        z = (drawn[-1] - centre) / 0.4
        densities.append((-0.5 * z**2 - np.log(0.4 * np.sqrt(2 * np.pi))).sum(-1))
    expected = 0.0
    for head in range(2):
        data_value = networks.critic(learner.critic, exact, action)[head]
        entries = [networks.critic(learner.critic, exact, a)[head] for a in drawn]
        if importance_sampling:
            entries = [q - density for q, density in zip(entries, densities, strict=True)]
        else:
            entries.append(data_value)
        assert len(entries) == (12 if importance_sampling else 13)
        soft = 0.7 * np.log(sum(np.exp(q / 0.7) for q in entries)).mean()
        expected += 0.5 * ((data_value - target) ** 2).mean() + 3.0 * (soft - data_value.mean())
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert metrics["critic/target"].item() == pytest.approx(target.mean(), rel=1e-5)

    torch.manual_seed(2)
    loss, _ = learner.actor_loss(features, batch.action, torch.tensor(0.4))
    torch.manual_seed(2)
    sample = within(mean + clipped(torch.randn(6, 2), 0.4))
    value = networks.critic(learner.critic, exact, sample).min(0).mean()
    assert loss.item() == pytest.approx(-value, rel=1e-5)


def test_cql_sums_31_entries_or_30_with_importance_sampling(small, spec, make_batch) -> None:
    learner, batch = build(CQLConfig(**small), spec), make_batch()
    features, _ = features_of(learner, batch.observation)
    drawn, log_density = learner.draw_actions(features, batch.action, torch.tensor(0.1))
    assert drawn.shape == (6, 30, 2)
    assert log_density.shape == (6, 30)
    # With equal values everywhere the gap is the logarithm of the number of entries.
    values = torch.full((2, 6, 31), 7.0)
    assert conservative_gap(values, 1.0).tolist() == pytest.approx([np.log(31)] * 2)
    weighted = conservative_gap(values, 1.0, torch.zeros(6, 30))
    assert weighted.tolist() == pytest.approx([np.log(30)] * 2)
    # Ten of each source: uniform, policy at the state, policy at the next state.
    assert (drawn[:, 20:] - batch.action.unsqueeze(1)).abs().amax() <= 0.3001
    assert drawn[:, :10].abs().amax() > 0.9


def test_conservative_gap_by_hand() -> None:
    values = torch.tensor([[[0.0, np.log(3.0)]], [[2.0, 2.0]]])
    # log(1 + 3) - 0 and log(2 e^2) - 2
    expected = [np.log(4.0), np.log(2.0)]
    assert conservative_gap(values, 1.0).tolist() == pytest.approx(expected)


def test_gaussian_log_density_by_hand() -> None:
    value, mean = torch.tensor([[0.5, 0.0]]), torch.tensor([[0.0, 0.0]])
    # Two standard normals at one deviation and at the mean.
    log_density = gaussian_log_density(value, mean, torch.tensor(0.5))
    expected = -0.5 - 2 * np.log(0.5 * np.sqrt(2 * np.pi))
    assert log_density.item() == pytest.approx(expected)


def test_bellman_loss_by_hand() -> None:
    value = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    # ((0, 1) -> 0.5) + ((2, -1) -> 2.5)
    assert bellman_loss(value, torch.tensor([1.0, 1.0])).item() == pytest.approx(3.0)


def test_no_bootstrap_after_a_termination(small, spec, make_batch) -> None:
    learner, batch = build(DrQBCConfig(**small, shift_padding=0), spec), make_batch()
    batch.discount.zero_()
    features, mean = learner.next_features(batch)
    assert learner.target(batch, features, mean).equal(batch.reward)


def test_normalised_value_term_ignores_the_values_scale(small, spec, make_batch) -> None:
    learner, batch = build(DrQBCConfig(**small), spec), make_batch()
    features, _ = features_of(learner, batch.observation)

    def gradient() -> torch.Tensor:
        torch.manual_seed(3)
        loss, _ = learner.actor_loss(features, batch.action, torch.tensor(0.1))
        return torch.autograd.grad(loss, learner.actor.output.weight)[0]

    before = gradient()
    with torch.no_grad():
        learner.critic.output.weight.mul_(50)
        learner.critic.output.bias.mul_(50)
    torch.testing.assert_close(gradient(), before, rtol=1e-4, atol=1e-6)
