"""Actor, critic and their losses, by hand and in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vrl_worldmodel.actor_critic import (
    Actor,
    ActorCritic,
    Critic,
    actor_loss,
    copy_when,
    critic_loss,
)
from vrl_worldmodel.config import OfflineDV2Config
from vrl_worldmodel.imagination import Imagination

CPU = torch.device("cpu")
FEATURES, ACTIONS = 5, 2


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None]


def numpy_network(network: torch.nn.Module, value: np.ndarray) -> np.ndarray:
    """Dense layers with ELU between them, written from DreamerV2."""
    tensors = [each.detach().double().numpy() for each in network.parameters()]
    layers = list(zip(tensors[::2], tensors[1::2], strict=True))
    for number, (weight, bias) in enumerate(layers):
        value = value @ weight.T + bias
        if number < len(layers) - 1:
            value = np.where(value > 0, value, np.expm1(value))
    return value


def random_imagination(horizon: int = 4, batch: int = 3) -> Imagination:
    torch.manual_seed(7)
    return Imagination(
        features=torch.randn(horizon + 1, batch, FEATURES),
        action=torch.rand(horizon, batch, ACTIONS),
        entropy=torch.randn(horizon, batch),
        penalty=None,
    )


@pytest.fixture
def agent() -> ActorCritic:
    torch.manual_seed(0)
    config = OfflineDV2Config(
        actor_layers=(8,),
        critic_layers=(8, 6),
        target_interval=3,
        actor_learning_rate=1e-2,
        critic_learning_rate=1e-2,
    )
    return ActorCritic(config, FEATURES, ACTIONS, CPU)


def test_actor_is_a_truncated_normal() -> None:
    torch.manual_seed(0)
    actor = Actor(FEATURES, (8, 6), ACTIONS, minimum_std=0.1)
    features = torch.randn(4, FEATURES)
    policy = actor(features)
    mean, raw = np.split(numpy_network(actor, features.double().numpy()), 2, axis=-1)
    np.testing.assert_allclose(policy.mean.detach(), np.tanh(mean), rtol=1e-5, atol=1e-6)
    std = 2 / (1 + np.exp(-raw / 2)) + 0.1
    np.testing.assert_allclose(policy.std.detach(), std, rtol=1e-5)


def test_actor_loss_by_hand() -> None:
    target, entropy = column(1.0, 2.0, 3.0), column(0.5, 0.25, 9.0)
    # Two terms: 1 (2 + 0.1 * 0.5) = 2.05 and 0.5 (3 + 0.1 * 0.25) = 1.5125; their mean, negated.
    assert actor_loss(target, entropy, 0.5, 0.1).item() == pytest.approx(-1.78125)


def test_horizon_of_five_has_four_terms() -> None:
    target = torch.zeros(5, 1, requires_grad=True)
    entropy = torch.zeros(5, 1, requires_grad=True)
    actor_loss(target, entropy, 0.5, 1.0).backward()
    assert target.grad[:, 0].tolist() == [0.0, -1 / 4, -1 / 8, -1 / 16, -1 / 32]
    assert entropy.grad[:, 0].tolist() == [-1 / 4, -1 / 8, -1 / 16, -1 / 32, 0.0]


def test_critic_loss_by_hand() -> None:
    value = column(1.0, 2.0).requires_grad_()
    target = column(3.0, 1.0).requires_grad_()
    loss = critic_loss(value, target, 0.5)
    # Halved squares 2 and 0.5, weighted by 1 and 0.5: the mean of 2 and 0.25.
    assert loss.item() == pytest.approx(1.125)
    loss.backward()
    assert value.grad[:, 0].tolist() == pytest.approx([-1.0, 0.25])
    assert target.grad is None


def test_losses_equal_numpy(agent) -> None:
    imagined = random_imagination()
    torch.manual_seed(8)
    for parameter in agent.target_critic.parameters():  # another network than the critic
        parameter.data.normal_()
    reward = torch.randn(4, 3)
    of_actor, of_critic, metrics = agent.losses(imagined, reward)

    features = imagined.features.double().numpy()
    next_value = numpy_network(agent.target_critic, features[1:])[..., 0]
    value = numpy_network(agent.critic, features[:-1])[..., 0]
    discount, mix = 0.99, 0.95
    targets, target = [], next_value[-1]
    for step in (3, 2, 1, 0):
        mixed = (1 - mix) * next_value[step] + mix * target
        target = reward[step].numpy() + discount * mixed
        targets.insert(0, target)
    weight = discount ** np.arange(4)[:, None]
    entropy = imagined.entropy.numpy()
    objective = np.stack(targets[1:]) + 1e-4 * entropy[:-1]
    assert of_actor.item() == pytest.approx(-(weight[:-1] * objective).mean(), rel=1e-5)
    error = 0.5 * (value - np.stack(targets)) ** 2
    assert of_critic.item() == pytest.approx((weight * error).mean(), rel=1e-5)
    assert metrics["critic/target"].item() == pytest.approx(np.mean(targets), rel=1e-5)
    assert not any(value.requires_grad for value in metrics.values())


def test_actor_has_no_gradient_from_the_critic_being_trained(agent) -> None:
    imagined = random_imagination()
    imagined.features.requires_grad_()
    of_actor, of_critic, _ = agent.losses(imagined, torch.zeros(4, 3))
    critic = list(agent.critic.parameters())
    assert torch.autograd.grad(of_actor, critic, allow_unused=True, retain_graph=True) == (
        None,
    ) * len(critic)
    (reached,) = torch.autograd.grad(of_critic, imagined.features, allow_unused=True)
    assert reached is None


def test_copies_when_due_and_only_then() -> None:
    torch.manual_seed(0)
    source, target = Critic(FEATURES, (4,)), Critic(FEATURES, (4,))
    before = [each.clone() for each in target.parameters()]
    copy_when(torch.tensor(False), source, target)
    assert all(a.equal(b) for a, b in zip(target.parameters(), before, strict=True))
    copy_when(torch.tensor(True), source, target)
    assert all(a.equal(b) for a, b in zip(target.parameters(), source.parameters(), strict=True))


def test_target_critic_is_copied_after_update_one_and_every_interval(agent) -> None:
    imagined = random_imagination()
    copied = []
    for _ in range(7):
        imagined.entropy.requires_grad_()
        of_critic = agent.losses(imagined, torch.ones(4, 3))[1]
        of_actor = agent.actor(imagined.features[0]).mean.sum()
        agent.step_on(of_actor, of_critic)
        pairs = zip(agent.critic.parameters(), agent.target_critic.parameters(), strict=True)
        copied.append(all(new.equal(old) for new, old in pairs))
    assert copied == [True, False, False, True, False, False, True]
    assert agent.updates.item() == 7


def test_outputs_stay_exact_under_bfloat16() -> None:
    critic = Critic(FEATURES, (4,))
    with torch.no_grad():
        critic.network.output.weight.zero_()
        critic.network.output.bias.fill_(100.3)
    with torch.autocast("cpu", torch.bfloat16):
        value = critic(torch.randn(3, FEATURES))
    assert value.dtype == torch.float32
    assert value.tolist() == pytest.approx([100.3] * 3)
