"""The agents on latents, against hand-worked numbers and simple decisions."""

from copy import deepcopy

import pytest
import torch

from vrl_core.protocols import TransitionBatch
from vrl_worldmodel.config import LOMPOConfig
from vrl_worldmodel.latent_agents import DeterministicAgent, SoftAgent, build_agent

CPU = torch.device("cpu")
KINDS = ("soft-actor-critic", "deterministic")


def make_agent(kind="deterministic", seed=0, **settings):
    torch.manual_seed(seed)
    small = {"actor_layers": (16,), "critic_layers": (16, 12), "learning_rate": 3e-3}
    return build_agent(LOMPOConfig(agent=kind, **(small | settings)), 3, 2, CPU)


def make_batch(size=32, discount=0.99, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return TransitionBatch(
        torch.randn(size, 3, generator=generator),
        torch.rand(size, 2, generator=generator) * 2 - 1,
        torch.randn(size, generator=generator),
        torch.full((size,), discount),
        torch.randn(size, 3, generator=generator),
    )


def constant_values(agent, **biases):
    """Make each named critic's two values these constants."""
    with torch.no_grad():
        for name, values in biases.items():
            for parameter in agent.networks[name].parameters():
                parameter.zero_()
            agent.networks[name][-1].bias.copy_(torch.tensor(values)[:, None, None])


def parameters(agent):
    networks = agent.state_dict()["networks"]
    return {name: value.clone() for name, value in networks.items()}


def test_settings_choose_the_agent() -> None:
    assert isinstance(make_agent("soft-actor-critic"), SoftAgent)
    assert isinstance(make_agent("deterministic"), DeterministicAgent)


def test_actor_and_critics_of_soft_actor_critic_have_their_own_layers() -> None:
    learner = make_agent("soft-actor-critic").learner
    assert [tuple(p.shape) for p in learner.actor.parameters() if p.ndim == 2] == [(16, 3), (4, 16)]
    weights = [tuple(p.shape) for name, p in learner.critic.named_parameters() if "weight" in name]
    assert weights == [(2, 5, 16), (2, 16, 12), (2, 12, 1)]
    assert learner.target_entropy == -2


def test_deterministic_networks_are_the_public_codes() -> None:
    networks = make_agent().networks
    kinds = [type(layer).__name__ for layer in networks["actor"]]
    assert kinds == ["Linear", "ELU", "Linear", "Tanh"]
    kinds = [type(layer).__name__ for layer in networks["critic"]]
    assert kinds == ["StackedLinear", "ELU", "StackedLinear", "ELU", "StackedLinear"]
    for value, target in zip(
        networks["critic"].parameters(), networks["target_critic"].parameters(), strict=True
    ):
        assert torch.equal(value, target)
        assert not target.requires_grad


def test_deterministic_target_and_critic_loss_by_hand() -> None:
    agent = make_agent()
    constant_values(agent, critic=[1.0, 0.5], target_critic=[3.0, 2.0])
    zeros = torch.zeros(1, 3)
    batch = TransitionBatch(
        zeros, torch.zeros(1, 2), torch.tensor([0.25]), torch.tensor([0.5]), zeros
    )
    target = agent.target(batch)
    assert target.tolist() == [1.25]  # 0.25 + 0.5 * min(3, 2)
    loss, value = agent.critic_loss(batch, target)
    assert loss.item() == pytest.approx(0.25**2 + 0.75**2)
    assert value.tolist() == [[1.0], [0.5]]


def test_deterministic_target_is_the_actors_action_without_noise() -> None:
    agent = make_agent(exploration_noise=5.0)
    batch = make_batch()
    inputs = torch.cat((batch.next_observation, agent.act(batch.next_observation)), -1)
    both = agent.networks["target_critic"](inputs.expand(2, -1, -1))[..., 0]
    wanted = batch.reward + 0.99 * torch.minimum(both[0], both[1])
    torch.testing.assert_close(agent.target(batch), wanted)


def test_deterministic_actor_loss_is_minus_the_smaller_value() -> None:
    agent = make_agent()
    batch = make_batch()
    inputs = torch.cat((batch.observation, agent.act(batch.observation)), -1)
    both = agent.networks["critic"](inputs.expand(2, -1, -1))[..., 0]
    wanted = -torch.minimum(both[0], both[1]).mean()
    torch.testing.assert_close(agent.actor_loss(batch), wanted)


def test_deterministic_actor_gradient_against_finite_differences() -> None:
    agent = make_agent()
    agent.networks.double()
    batch = TransitionBatch(*(value.double() for value in vars(make_batch()).values()))
    weight = agent.networks["actor"][0].weight
    (gradient,) = torch.autograd.grad(agent.actor_loss(batch), [weight])
    step = 1e-6
    with torch.no_grad():
        weight[3, 1] += step
        above = agent.actor_loss(batch).item()
        weight[3, 1] -= 2 * step
        below = agent.actor_loss(batch).item()
    assert gradient[3, 1].item() == pytest.approx((above - below) / (2 * step), rel=1e-5)


def test_exploration_adds_noise_of_the_given_size_and_clips() -> None:
    agent = make_agent(exploration_noise=0.2)
    features = torch.zeros(4000, 3)
    difference = agent.explore(features) - agent.act(features)
    assert difference.std().item() == pytest.approx(0.2, rel=0.05)
    agent.exploration_noise = 10.0
    actions = agent.explore(features)
    assert actions.abs().max() == 1
    assert torch.equal(agent.act(features), agent.act(features))


@pytest.mark.parametrize("kind", KINDS)
def test_evaluated_actions_are_deterministic_and_explored_ones_are_not(kind) -> None:
    agent = make_agent(kind)
    features = torch.randn(5, 3)
    assert torch.equal(agent.act(features), agent.act(features))
    assert not torch.equal(agent.explore(features), agent.explore(features))
    assert agent.explore(features).abs().max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_update_moves_every_network_and_targets_by_the_target_rate(kind) -> None:
    agent = make_agent(kind, target_rate=0.1)
    before = parameters(agent)
    agent.update(make_batch())
    after = parameters(agent)
    for name, value in after.items():
        assert not value.equal(before[name]), name
        if name.startswith("target_critic"):
            online = name.replace("target_critic", "critic")
            torch.testing.assert_close(value, 0.9 * before[name] + 0.1 * after[online])


def test_deterministic_actor_steps_by_the_critics_before_theirs() -> None:
    agent, copy = make_agent(), make_agent()
    batch = make_batch()
    copy.optimisers["actor"].step_on(copy.actor_loss(batch))
    agent.update(batch)
    for name, value in copy.networks["actor"].state_dict().items():
        assert torch.equal(value, agent.networks["actor"].state_dict()[name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_loaded_agent_goes_on_with_the_same_numbers(kind) -> None:
    agent, copy = make_agent(kind), make_agent(kind, seed=7)
    agent.update(make_batch())
    copy.load_state_dict(deepcopy(agent.state_dict()))
    for learner in (agent, copy):
        torch.manual_seed(3)
        learner.update(make_batch(seed=2))
    for name, value in parameters(agent).items():
        assert torch.equal(value, parameters(copy)[name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_agent_learns_which_action_pays(kind) -> None:
    agent = make_agent(kind, learning_rate=1e-2, critic_layers=(32, 32))
    best = torch.tensor([0.5, -0.3])
    generator = torch.Generator().manual_seed(0)
    for _ in range(500):
        features = torch.randn(64, 3, generator=generator)
        action = torch.rand(64, 2, generator=generator) * 2 - 1
        reward = -3 * (action - best).square().sum(-1)
        zeros = torch.zeros(64)
        metrics = agent.update(TransitionBatch(features, action, reward, zeros, features))
    assert all(value.isfinite() and not value.requires_grad for value in metrics.values())
    assert (agent.act(torch.zeros(1, 3)) - best).abs().max() < 0.2
