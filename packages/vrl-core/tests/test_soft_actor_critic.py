"""Soft actor-critic against hand-worked numbers, finite differences and its own equations."""

import math

import pytest
import torch

from vrl_core.soft_actor_critic import (
    SoftActorCritic,
    SoftActorCriticConfig,
    StateBatch,
    TanhGaussianActor,
    tanh_gaussian_log_density,
)


def make_agent(**options):
    torch.manual_seed(0)
    return SoftActorCritic(SoftActorCriticConfig(hidden_sizes=(16, 16), **options), 3, 2)


def make_batch(size=8, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return StateBatch(
        torch.randn(size, 3, generator=generator),
        torch.rand(size, 2, generator=generator) * 2 - 1,
        torch.randn(size, generator=generator),
        torch.full((size,), 0.99),
        torch.randn(size, 3, generator=generator),
    )


def snapshot(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def changed(module, before):
    return {name for name, value in module.state_dict().items() if not value.equal(before[name])}


def test_log_density_at_a_hand_worked_point():
    # mean 0, log std 0, noise 0: standard normal density at 0, and tanh'(0) = 1.
    value = tanh_gaussian_log_density(*torch.zeros(3, 1, 1))
    assert value.item() == pytest.approx(-0.5 * math.log(2 * math.pi))


def test_log_density_integrates_to_one_over_the_actions():
    action = torch.linspace(-0.99999, 0.99999, 200_001, dtype=torch.float64)[:, None]
    mean, std = 0.3, 0.5
    raw = torch.atanh(action)
    density = tanh_gaussian_log_density(
        raw, (raw - mean) / std, torch.full_like(raw, std).log()
    ).exp()
    assert torch.trapezoid(density, action[:, 0]).item() == pytest.approx(1.0, abs=1e-4)


def test_log_density_stays_finite_for_extreme_actions():
    raw = torch.tensor([[50.0], [-50.0]])
    assert tanh_gaussian_log_density(raw, torch.zeros(2, 1), torch.zeros(2, 1)).isfinite().all()


def test_samples_are_differentiated_as_torch_would():
    torch.manual_seed(0)
    actor = TanhGaussianActor(3, 2, (8,)).double()
    observation = torch.randn(5, 3, dtype=torch.float64)
    weights = torch.randn(5, 2, dtype=torch.float64)

    def by_hand():
        action, density = actor.sample(observation)
        return (weights * action).sum() + (weights[:, 0] * density).sum()

    def by_torch():
        mean, std = actor.distribution(observation)
        noise = torch.randn_like(mean)
        raw = mean + std * noise
        density = tanh_gaussian_log_density(raw, noise, std.log())
        return (weights * torch.tanh(raw)).sum() + (weights[:, 0] * density).sum()

    found = []
    for loss in (by_hand, by_torch):
        torch.manual_seed(4)
        value = loss()
        found.append([value.detach(), *torch.autograd.grad(value, list(actor.parameters()))])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_samples_have_the_distribution_the_density_claims():
    torch.manual_seed(0)
    actor = TanhGaussianActor(3, 1, (8,))
    observation = torch.randn(1, 3).expand(40_000, 3)
    action, _ = actor.sample(observation)
    mean, std = actor.distribution(observation[:1])
    raw = torch.atanh(action.clamp(-0.999999, 0.999999))
    assert raw.mean().item() == pytest.approx(mean.item(), abs=0.03)
    assert raw.std().item() == pytest.approx(std.item(), rel=0.03)


def test_critic_target_by_hand():
    agent = make_agent()
    with torch.no_grad():
        for network in (agent.critic, agent.target_critic):
            for parameter in network.parameters():
                parameter.zero_()
        agent.target_critic[-1].bias.copy_(torch.tensor([3.0, 2.0])[:, None, None])
        agent.critic[-1].bias.copy_(torch.tensor([1.0, 0.5])[:, None, None])
    agent.actor.sample = lambda obs: (torch.zeros(len(obs), 2), torch.full((len(obs),), -1.5))
    batch = StateBatch(
        torch.zeros(1, 3), torch.zeros(1, 2), torch.tensor([0.25]), torch.tensor([0.5]),
        torch.zeros(1, 3),
    )  # fmt: skip
    # min(3, 2) - 1.0 * -1.5 = 3.5; target 0.25 + 0.5 * 3.5 = 2; (1 - 2)^2 + (0.5 - 2)^2 = 3.25
    assert agent.critic_loss(batch)[0].item() == pytest.approx(3.25)


def test_actor_loss_is_temperature_times_log_density_minus_smaller_value():
    agent = make_agent(initial_temperature=0.2)
    batch = make_batch()
    torch.manual_seed(5)
    loss, log_density = agent.actor_loss(batch)
    torch.manual_seed(5)
    action, expected_density = agent.actor.sample(batch.observation)
    value = agent.values(agent.critic, batch.observation, action).min(0).values
    assert loss.item() == pytest.approx((0.2 * expected_density - value).mean().item(), rel=1e-5)
    torch.testing.assert_close(log_density, expected_density.detach())


def test_actor_gradient_against_finite_differences():
    agent = make_agent().double()
    batch = StateBatch(*(value.double() for value in vars(make_batch()).values()))
    parameter = agent.actor.network[0].weight

    def loss():
        torch.manual_seed(3)
        return agent.actor_loss(batch)[0]

    (gradient,) = torch.autograd.grad(loss(), [parameter])
    step = 1e-6
    for index in ((0, 0), (7, 2)):
        with torch.no_grad():
            parameter[index] += step
            above = loss().item()
            parameter[index] -= 2 * step
            below = loss().item()
            parameter[index] += step
        assert gradient[index].item() == pytest.approx((above - below) / (2 * step), rel=1e-4)


@pytest.mark.parametrize(("log_density", "direction"), [(5.0, 1), (-5.0, -1)])
def test_temperature_rises_when_the_policy_is_too_certain(log_density, direction):
    agent = make_agent()  # target entropy -2: a log density of 5 is an entropy of -5
    before = agent.log_temperature.item()
    loss = agent.temperature_loss(torch.full((4,), log_density))
    agent.optimisers["temperature"].descend(loss)
    assert (agent.log_temperature.item() - before) * direction > 0


def test_each_step_changes_only_its_own_parameters():
    agent = make_agent()
    before = snapshot(agent)
    loss, _ = agent.critic_loss(make_batch())
    agent.optimisers["critic"].descend(loss)
    assert {name.split(".")[0] for name in changed(agent, before)} == {"critic"}
    before = snapshot(agent)
    loss, _ = agent.actor_loss(make_batch())
    agent.optimisers["actor"].descend(loss)
    assert {name.split(".")[0] for name in changed(agent, before)} == {"actor"}


def test_target_moves_by_the_target_rate():
    agent = make_agent(target_rate=0.1)
    before = snapshot(agent.target_critic)
    agent.update(make_batch())
    for name, value in agent.target_critic.state_dict().items():
        expected = 0.9 * before[name] + 0.1 * agent.critic.state_dict()[name]
        torch.testing.assert_close(value, expected)


def test_critics_fit_one_batch_of_terminal_rewards():
    agent = make_agent(learning_rate=3e-3)
    batch = make_batch()
    batch = StateBatch(
        batch.observation, batch.action, batch.reward, torch.zeros(8), batch.next_observation
    )
    first = agent.critic_loss(batch)[0].item()
    for _ in range(300):
        agent.update(batch)
    assert agent.critic_loss(batch)[0].item() < first / 100
