"""Sampling, densities, divergences and their gradients against independent calculations."""

import math

import pytest
import torch
from torch.distributions import Categorical, Independent, Normal
from torch.distributions import kl_divergence as torch_kl

from vrl_worldmodel.distributions import (
    CategoricalLatent,
    GaussianLatent,
    Latent,
    TruncatedNormal,
    at_least_float32,
    kl_divergence,
)


def random_categorical(*shape: int, stoch: int = 3, classes: int = 5) -> CategoricalLatent:
    return CategoricalLatent(2.0 * torch.randn(*shape, stoch, classes))


def random_gaussian(*shape: int, stoch: int = 3) -> GaussianLatent:
    return GaussianLatent(torch.randn(*shape, stoch), 0.1 + torch.rand(*shape, stoch))


def torch_distribution(latent: Latent) -> Independent:
    if isinstance(latent, CategoricalLatent):
        return Independent(Categorical(logits=latent.logits), 1)
    return Independent(Normal(latent.mean, latent.std), 1)


@pytest.mark.parametrize("make", [random_categorical, random_gaussian])
def test_divergence_and_entropy_agree_with_torch(make) -> None:
    p, q = make(2, 4), make(2, 4)
    expected = torch_kl(torch_distribution(p), torch_distribution(q))
    torch.testing.assert_close(kl_divergence(p, q), expected)
    torch.testing.assert_close(p.entropy(), torch_distribution(p).entropy())
    torch.testing.assert_close(kl_divergence(p, p), torch.zeros(2, 4), atol=1e-6, rtol=0)


def test_divergence_by_hand() -> None:
    even = CategoricalLatent(torch.zeros(1, 2))
    odd = CategoricalLatent(torch.tensor([[0.0, math.log(3.0)]]))
    # 1/2 log(1/2 / 1/4) + 1/2 log(1/2 / 3/4)
    assert kl_divergence(even, odd).item() == pytest.approx(0.5 * math.log(4.0 / 3.0))
    narrow = GaussianLatent(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0]))
    wide = GaussianLatent(torch.tensor([0.0, 0.0]), torch.tensor([2.0, 1.0]))
    # log 2 + (1 + 1) / (2 * 4) - 1/2 in the first coordinate, nothing in the second
    assert kl_divergence(narrow, wide).item() == pytest.approx(math.log(2.0) - 0.25)


def test_latents_of_two_kinds_have_no_divergence() -> None:
    with pytest.raises(TypeError, match="GaussianLatent from a CategoricalLatent"):
        kl_divergence(random_gaussian(2), random_categorical(2))


def test_log_prob_agrees_with_torch_and_broadcasts_over_members() -> None:
    members = random_categorical(7, 4)
    sample = random_categorical(4).sample()
    classes = sample.reshape(4, 3, 5).argmax(-1)
    torch.testing.assert_close(
        members.log_prob(sample), torch_distribution(members).log_prob(classes.expand(7, 4, 3))
    )
    gaussians, point = random_gaussian(7, 4), torch.randn(4, 3)
    torch.testing.assert_close(
        gaussians.log_prob(point), torch_distribution(gaussians).log_prob(point)
    )


def test_categorical_sample_is_one_hot_with_the_right_frequencies() -> None:
    torch.manual_seed(0)
    probabilities = torch.tensor([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]])
    latent = CategoricalLatent(probabilities.log().clamp(min=-1e9).expand(20_000, 2, 3))
    sample = latent.sample().reshape(20_000, 2, 3)
    assert set(sample.unique().tolist()) == {0.0, 1.0}
    assert (sample.sum(-1) == 1.0).all()
    torch.testing.assert_close(sample.mean(0), probabilities, atol=0.015, rtol=0)


def test_straight_through_gradient_is_that_of_the_probabilities() -> None:
    logits = torch.randn(6, 3, 5, requires_grad=True)
    weight = torch.randn(6, 15)
    drawn = (CategoricalLatent(logits).sample() * weight).sum()
    smooth = (logits.softmax(-1).flatten(-2) * weight).sum()
    torch.testing.assert_close(
        torch.autograd.grad(drawn, logits), torch.autograd.grad(smooth, logits)
    )


def test_noise_decides_the_sample_and_broadcasts() -> None:
    probabilities = torch.tensor([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]])
    latent = CategoricalLatent(probabilities.log().clamp(min=-1e9).expand(4, 2, 3))
    noise = torch.tensor([[0.0, 0.0], [0.69, 0.49], [0.71, 0.51], [0.95, 1.0 - 2.0**-24]])
    drawn = latent.sample(noise).reshape(4, 2, 3).argmax(-1)
    assert drawn.tolist() == [[0, 1], [0, 1], [1, 2], [2, 2]]
    assert torch.equal(latent.sample(noise[0]), latent.sample(noise[:1].expand(4, 2)))
    assert torch.equal(latent.mode()[0], torch.tensor([1.0, 0, 0, 0, 1, 0]))
    gaussian = random_gaussian(5)
    torch.testing.assert_close(
        gaussian.sample(torch.full((3,), 2.0)), gaussian.mean + 2.0 * gaussian.std
    )
    assert torch.equal(gaussian.mode(), gaussian.mean)


def test_gaussian_sample_is_reparameterised() -> None:
    mean, std = torch.zeros(2, 3, requires_grad=True), torch.ones(2, 3, requires_grad=True)
    noise = torch.randn(2, 3)
    to_mean, to_std = torch.autograd.grad(
        GaussianLatent(mean, std).sample(noise).sum(), (mean, std)
    )
    torch.testing.assert_close(to_mean, torch.ones(2, 3))
    torch.testing.assert_close(to_std, noise)


@pytest.mark.parametrize("make", [random_categorical, random_gaussian])
def test_detached_latents_have_no_gradient(make) -> None:
    latent = make(2).apply(lambda value: value.requires_grad_())
    assert latent.sample().requires_grad
    assert not latent.detach().sample().requires_grad


CASES = [(0.0, 0.1), (0.3, 0.5), (-0.95, 0.2), (1.0, 0.1), (0.5, 2.1)]


def integrate(mean: float, std: float) -> tuple[float, float]:
    """Mean and entropy of a truncated normal variable by the trapezoidal rule."""
    points = torch.linspace(-1.0, 1.0, 200_001, dtype=torch.float64)
    density = torch.exp(-0.5 * ((points - mean) / std) ** 2)
    density = density / torch.trapezoid(density, points)
    plogp = torch.where(density > 0, density * density.clamp(min=1e-300).log(), 0.0)
    return (
        torch.trapezoid(points * density, points).item(),
        -torch.trapezoid(plogp, points).item(),
    )


@pytest.mark.parametrize(("mean", "std"), CASES)
def test_truncated_normal_against_integration(mean: float, std: float) -> None:
    torch.manual_seed(0)
    expected_mean, expected_entropy = integrate(mean, std)
    parameters = torch.tensor([mean, mean]), torch.tensor([std, std])
    entropy = TruncatedNormal(*parameters).entropy().item()
    assert entropy == pytest.approx(2 * expected_entropy, abs=2e-4)
    many = [parameter.expand(50_000, 2) for parameter in parameters]
    sample = TruncatedNormal(*many).sample()
    assert sample.abs().max() <= 1.0 - 1e-6 + 1e-7
    assert sample.mean().item() == pytest.approx(expected_mean, abs=4 * std / 50_000**0.5)


def test_truncated_normal_passes_the_gradient_of_mean_and_std() -> None:
    mean = torch.tensor([[0.2, -0.9, 1.0]], requires_grad=True)
    std = torch.tensor([[0.5, 0.3, 0.1]], requires_grad=True)
    sample = TruncatedNormal(mean, std).sample(torch.tensor([[0.1, 0.9, 0.999999]]))
    to_mean, to_std = torch.autograd.grad(sample.sum(), (mean, std))
    torch.testing.assert_close(to_mean, torch.ones(1, 3))
    torch.testing.assert_close(to_std, ((sample - mean) / std).detach(), atol=1e-4, rtol=1e-4)


def test_truncated_normal_puts_uniform_noise_through_the_inverse_distribution_function() -> None:
    mean, std = torch.tensor([0.3], dtype=torch.float64), torch.tensor([0.5], dtype=torch.float64)
    noise = torch.tensor([0.25], dtype=torch.float64)
    sample = TruncatedNormal(mean, std).sample(noise)
    below = Normal(mean, std).cdf(sample) - Normal(mean, std).cdf(torch.tensor(-1.0))
    inside = Normal(mean, std).cdf(torch.tensor(1.0)) - Normal(mean, std).cdf(torch.tensor(-1.0))
    torch.testing.assert_close(below / inside, noise)


@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0 - 2.0**-24])
def test_truncated_normal_is_finite_for_any_noise(noise: float) -> None:
    mean = torch.tensor([[-1.0, -0.5, 0.0, 0.5, 1.0]], requires_grad=True)
    action = TruncatedNormal(mean, torch.full_like(mean, 0.01))
    sample = action.sample(torch.full_like(mean, noise))
    assert (sample.abs() <= 1.0).all()
    (gradient,) = torch.autograd.grad(sample.sum() + action.entropy().sum(), mean)
    assert gradient.isfinite().all()


def test_lower_precision_ends_in_float32_and_higher_stays() -> None:
    assert at_least_float32(torch.zeros(1, dtype=torch.bfloat16)).dtype == torch.float32
    assert at_least_float32(torch.zeros(1, dtype=torch.float64)).dtype == torch.float64
