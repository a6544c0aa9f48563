"""Noise schedule, noisy actions, and the networks against NumPy."""

import numpy as np
import pytest
import torch

from vrl_modelfree.actor_critic import Actor, Critic, noise_deviation, sample_action
from vrl_modelfree.config import DrQBCConfig


@pytest.mark.parametrize(
    ("preset", "updates", "expected"),
    [
        ("paper", 0, 1.0),
        ("paper", 100_000, 0.64),  # its last update: 200,000 of 500,000 schedule steps
        ("paper", 250_000, 0.1),
        ("reference-code", 62_500, 0.55),
        ("reference-code", 125_000, 0.1),
        ("reference-code", 550_000, 0.1),
    ],
)
def test_noise_falls_linearly_and_stays(preset: str, updates: int, expected: float) -> None:
    config = DrQBCConfig.presets()[preset]
    assert noise_deviation(config, torch.tensor(updates)).item() == pytest.approx(expected)


def test_sampled_actions_by_hand() -> None:
    mean = torch.tensor([[0.0, 0.5, 0.9, -0.9]])
    noise = torch.tensor([[0.1, -2.0, 1.0, -1.0]])
    action = sample_action(mean, torch.tensor(0.5), 0.3, noise)
    # 0.05; clipped to -0.3; clipped to +-0.3 and then clamped just inside the bounds.
    expected = torch.tensor([[0.05, 0.2, 1 - 1e-6, -1 + 1e-6]])
    torch.testing.assert_close(action, expected, atol=1e-7, rtol=0)


def test_gradient_passes_the_clamp_unchanged() -> None:
    mean = torch.tensor([0.2, 0.95, -0.99], requires_grad=True)
    action = sample_action(mean, torch.tensor(1.0), 0.3, torch.tensor([0.1, 3.0, -3.0]))
    (gradient,) = torch.autograd.grad((action * torch.tensor([1.0, 2.0, 3.0])).sum(), mean)
    assert gradient.tolist() == [1.0, 2.0, 3.0]


def test_drawn_noise_has_the_clipped_gaussians_spread() -> None:
    torch.manual_seed(0)
    noise = sample_action(torch.zeros(100_000), torch.tensor(1.0), 0.3)
    assert noise.abs().max() == pytest.approx(0.3)
    beyond = (noise.abs() > 0.2999).float().mean().item()
    assert beyond == pytest.approx(0.764, abs=0.01)  # P(|z| > 0.3)


def test_networks_equal_numpy(networks) -> None:
    torch.manual_seed(0)
    actor, critic = Actor(7, 2, 5, 16), Critic(7, 2, 5, 16)
    features, action = torch.randn(4, 7), torch.rand(4, 2)
    np.testing.assert_allclose(
        actor(features).detach(), networks.actor(actor, features.double().numpy()), atol=1e-6
    )
    expected = networks.critic(critic, features.double().numpy(), action.double().numpy())
    np.testing.assert_allclose(critic(features, action).detach(), expected, atol=1e-6)


def test_trunk_once_equals_repeated_features() -> None:
    torch.manual_seed(0)
    critic = Critic(40, 3, 5, 16)
    features, actions = torch.randn(4, 40), torch.rand(4, 6, 3) * 2 - 1
    once = critic.values(critic.trunk(features), actions)
    repeated = critic(features.repeat_interleave(6, 0), actions.flatten(0, 1)).view(2, 4, 6)
    torch.testing.assert_close(once, repeated)
    weight = torch.randn(2, 4, 6)
    parameters = list(critic.parameters())
    for one, other in zip(
        torch.autograd.grad((once * weight).sum(), parameters),
        torch.autograd.grad((repeated * weight).sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_initial_weights_are_orthogonal_for_each_critic() -> None:
    critic = Critic(64, 2, 5, 16)
    for weight in (*critic.hidden[2].weight, critic.trunk.linear.weight):
        product = weight @ weight.T
        torch.testing.assert_close(product, torch.eye(len(product)), atol=1e-5, rtol=0)
    assert not critic.hidden[2].weight[0].equal(critic.hidden[2].weight[1])
    assert not critic.hidden[0].bias.any()


def test_outputs_are_float32_under_autocast() -> None:
    actor, critic = Actor(7, 2, 5, 16), Critic(7, 2, 5, 16)
    features = torch.randn(4, 7)
    with torch.autocast("cpu", torch.bfloat16):
        action = actor(features)
        value = critic(features, action)
    assert action.dtype == value.dtype == torch.float32


def test_gradients_equal_finite_differences() -> None:
    torch.manual_seed(0)
    actor, critic = Actor(6, 2, 3, 4).double(), Critic(6, 2, 3, 4).double()
    features = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    noise = torch.randn(3, 2, dtype=torch.float64) * 0.01  # away from every clamp

    def value(features: torch.Tensor) -> torch.Tensor:
        deviation = torch.tensor(1.0, dtype=torch.float64)
        return critic(features, sample_action(actor(features), deviation, 0.3, noise))

    assert torch.autograd.gradcheck(value, (features,))
