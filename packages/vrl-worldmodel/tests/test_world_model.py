"""Every loss against NumPy, where gradients go, and that a model learns."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from vrl_core.metrics import first_not_finite
from vrl_core.observations import images_alone
from vrl_core.protocols import SequenceBatch
from vrl_worldmodel.config import LOMPOConfig, WorldModelConfig
from vrl_worldmodel.distributions import CategoricalLatent, GaussianLatent, Latent
from vrl_worldmodel.optimiser import ModuleOptimiser
from vrl_worldmodel.world_model import (
    WorldModel,
    divergence_loss,
    image_loss,
    reward_loss,
    to_uint8,
)

MakeBatch = Callable[..., SequenceBatch]


def build(config: WorldModelConfig) -> WorldModel:
    torch.manual_seed(0)
    return WorldModel(config, images_alone((16, 16, 3)), 2)


def optimiser_of(model: WorldModel, rate: float = 1e-3) -> ModuleOptimiser:
    return ModuleOptimiser([model], rate, 1e-5, 1e-6, 100.0)


def fix_members(monkeypatch: pytest.MonkeyPatch, model: WorldModel, members: list[int]) -> None:
    monkeypatch.setattr(model.rssm, "draw_member", lambda count=1: torch.tensor(members)[:count])


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def numpy_divergence(p: Latent, q: Latent) -> np.ndarray:
    """KL divergence from its definition, summed over the latent's axes."""
    if isinstance(p, CategoricalLatent) and isinstance(q, CategoricalLatent):
        first, second = softmax(p.logits.numpy()), softmax(q.logits.numpy())
        return (first * np.log(first / second)).sum((-2, -1))
    mean, std = p.mean.numpy(), p.std.numpy()
    other_mean, other_std = q.mean.numpy(), q.std.numpy()
    terms = np.log(other_std / std) + (std**2 + (mean - other_mean) ** 2) / (2 * other_std**2)
    return (terms - 0.5).sum(-1)


def test_whole_loss_against_numpy(
    model_config: WorldModelConfig, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(model_config, free_nats=0.0)
    model, batch = build(config), make_batch()
    rssm, members = model.rssm, [2, 0, 1, 1, 2]
    fix_members(monkeypatch, model, members)
    noise = rssm.draw_noise(3, 5)
    monkeypatch.setattr(rssm, "draw_noise", lambda *shape: noise)
    with torch.no_grad():
        loss, metrics = model.loss(batch)
        # The same in plain steps: row 0 has no action, row t the action that led to it.
        embedding = model.encoder(batch.observations["image"])
        state, image_errors, reward_errors, divergences = rssm.start(3), [], [], []
        for step in range(5):
            action = batch.action[:, step - 1] if step else torch.zeros(3, 2)
            state, posterior = rssm.observe_step(state, action, embedding[:, step], noise[:, step])
            prior = rssm.prior(state.deterministic, torch.tensor(members[step]))
            divergences.append(numpy_divergence(posterior, prior))
            decoded = model.decoder(state.features).numpy()
            pixels = batch.observations["image"][:, step].numpy() / 255.0 - 0.5
            image_errors.append(0.5 * ((decoded - pixels) ** 2).sum((1, 2, 3)))
            if step:
                error = model.reward(state.features) - batch.reward[:, step - 1]
                reward_errors.append(0.5 * error.numpy() ** 2)
    expected = {
        "image_loss": np.mean(image_errors),
        "reward_loss": np.mean(reward_errors),
        "kl": np.mean(divergences),
        "loss": np.mean(image_errors) + np.mean(reward_errors) + np.mean(divergences),
    }
    for name, value in expected.items():
        assert metrics[name].item() == pytest.approx(value, rel=1e-4), name
    assert loss.item() == pytest.approx(expected["loss"], rel=1e-4)


@pytest.mark.parametrize(
    ("part", "named"),
    [("decoder", "image_loss"), ("reward", "reward_loss"), ("rssm.prior_heads", "kl")],
)
def test_the_first_metric_that_is_not_finite_is_the_part_that_diverged(
    model_config: WorldModelConfig, make_batch: MakeBatch, part: str, named: str
) -> None:
    model = build(model_config)
    for parameter in model.get_submodule(part).parameters():
        parameter.data.fill_(math.nan)
    with torch.no_grad():
        metrics = model.loss(make_batch())[1]
    assert metrics["loss"].isnan()
    assert first_not_finite({name: float(value) for name, value in metrics.items()}) == named


def test_image_loss_by_hand() -> None:
    images = torch.zeros(1, 2, 1, 1, 3, dtype=torch.uint8)
    images[0, 1] = 255
    predicted = torch.zeros(1, 2, 1, 1, 3)
    # Black is -1/2 and white +1/2: each of three numbers in each of two images is 1/2 off.
    assert image_loss(predicted, images).item() == pytest.approx(0.5 * 3 * 0.25)
    assert image_loss(predicted.bfloat16(), images).dtype == torch.float32


def test_reward_loss_by_hand() -> None:
    predicted, reward = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 5.0]])
    assert reward_loss(predicted, reward).item() == pytest.approx(0.5 * 9.0 / 2)


def latents() -> tuple[CategoricalLatent, CategoricalLatent]:
    """A posterior and a prior with a divergence of about 1/2 log(4/3) = 0.1438 each."""
    posterior = CategoricalLatent(torch.zeros(2, 3, 1, 2, requires_grad=True))
    odd = torch.tensor([0.0, math.log(3.0)]).expand(2, 3, 1, 2).clone().requires_grad_()
    return posterior, CategoricalLatent(odd)


def gradients(config: WorldModelConfig) -> tuple[float, Tensor | None, Tensor | None]:
    posterior, prior = latents()
    loss, _ = divergence_loss(config, posterior, prior)
    to_posterior, to_prior = torch.autograd.grad(
        loss, (posterior.logits, prior.logits), allow_unused=True
    )
    return loss.item(), to_posterior, to_prior


DIVERGENCE = 0.5 * math.log(4.0 / 3.0)


def test_balance_splits_the_gradient_and_not_the_value(categorical: WorldModelConfig) -> None:
    plain = replace(categorical, kl_balance=None, free_nats=0.0)
    value, to_posterior, to_prior = gradients(plain)
    assert value == pytest.approx(DIVERGENCE)
    balanced = gradients(replace(plain, kl_balance=0.8))
    assert balanced[0] == pytest.approx(DIVERGENCE)
    torch.testing.assert_close(balanced[1], 0.2 * to_posterior)
    torch.testing.assert_close(balanced[2], 0.8 * to_prior)
    # By hand: d KL / d prior logit = (q - p), averaged over 6 rows.
    torch.testing.assert_close(to_prior[0, 0, 0], torch.tensor([-0.25, 0.25]) / 6)


def test_balance_of_one_leaves_the_posterior_alone(categorical: WorldModelConfig) -> None:
    _, to_posterior, to_prior = gradients(replace(categorical, kl_balance=1.0, free_nats=0.0))
    assert (to_posterior == 0).all()
    assert (to_prior != 0).all()


@pytest.mark.parametrize("balance", [None, 0.8])
def test_free_nats_are_a_floor_without_a_gradient(
    categorical: WorldModelConfig, balance: float | None
) -> None:
    value, to_posterior, to_prior = gradients(
        replace(categorical, kl_balance=balance, free_nats=1.0)
    )
    assert value == pytest.approx(1.0)
    assert (to_posterior == 0).all()
    assert (to_prior == 0).all()
    value, _, to_prior = gradients(replace(categorical, kl_balance=balance, free_nats=0.1))
    assert value == pytest.approx(DIVERGENCE)
    assert (to_prior != 0).all()


def test_free_nats_bound_the_mean_and_not_its_terms(gaussian: WorldModelConfig) -> None:
    mean = torch.tensor([[[0.0], [2.0]]])  # divergences 0 and 2: mean 1
    posterior, prior = (
        GaussianLatent(mean, torch.ones(1, 2, 1)),
        GaussianLatent(torch.zeros(1, 2, 1), torch.ones(1, 2, 1)),
    )
    loss, metrics = divergence_loss(replace(gaussian, free_nats=0.5), posterior, prior)
    assert loss.item() == pytest.approx(1.0)
    assert metrics["kl"].item() == pytest.approx(1.0)


def test_one_step_changes_all_but_the_members_not_drawn(
    model_config: WorldModelConfig, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(model_config, free_nats=0.0, weight_decay=0.0)
    model = build(config)
    before = {name: value.clone() for name, value in model.named_parameters()}
    fix_members(monkeypatch, model, [2, 0, 2, 0, 0])
    optimiser = ModuleOptimiser([model], 1e-3, 1e-5, 0.0, 100.0)
    optimiser.step_on(model.loss(make_batch())[0])
    for name, value in model.named_parameters():
        changed = (value != before[name]).flatten(1 if "prior_heads" in name else 0).any(-1)
        expected = [True, False, True] if "prior_heads" in name else True
        assert changed.tolist() == expected, name


def test_actions_are_those_that_led_to_a_row(
    model_config: WorldModelConfig, make_batch: MakeBatch
) -> None:
    model, batch = build(model_config), make_batch()
    embedding = model.encode(batch.observations)
    noise = model.rssm.draw_noise(3, 5)
    changed = batch.action.clone()
    changed[:, 2] += 0.5
    first = model.infer(embedding, batch.action, noise).states.deterministic
    second = model.infer(embedding, changed, noise).states.deterministic
    assert torch.equal(first[:, :3], second[:, :3])
    assert (first[:, 3] != second[:, 3]).any(-1).all()


@pytest.mark.parametrize("bfloat16", [False, True])
def test_overfits_one_batch(
    model_config: WorldModelConfig, make_batch: MakeBatch, bfloat16: bool
) -> None:
    config = replace(model_config, channels=(8, 16), hidden_size=32, reward_layers=(32,))
    model = build(config)
    batch = make_batch(size=2, length=3)
    # Smooth images that differ by row and window, as frames of a film do.
    ramp = torch.linspace(0, 255, 16)
    scale = torch.linspace(0.1, 1.0, 8).reshape(2, 4, 1, 1, 1)
    batch.observations["image"].copy_(ramp[:, None].expand(16, 3) * scale)
    optimiser, losses = optimiser_of(model, 3e-3), []
    for _ in range(60):
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss, metrics = model.loss(batch)
        optimiser.step_on(loss)
        losses.append(metrics)
    first, last = losses[0], losses[-1]
    assert last["image_loss"] < 0.25 * first["image_loss"]
    assert last["reward_loss"] < 0.5 * first["reward_loss"]
    assert all(not value.requires_grad and value.ndim == 0 for value in last.values())


def moving_squares(seed: int) -> SequenceBatch:
    """Windows of 13 frames of 16 px in which actions move a white square on black."""
    generator = torch.Generator().manual_seed(seed)
    action = torch.rand(4, 12, 2, generator=generator) * 2 - 1
    place = [torch.rand(4, 2, generator=generator) * 12]
    for step in range(12):
        place.append((place[-1] + 3 * action[:, step]).clamp(0, 12))
    places, pixels = torch.stack(place, 1).round(), torch.arange(16)
    rows, columns = ((pixels >= p) & (pixels < p + 4) for p in places.unsqueeze(-1).unbind(2))
    squares = (rows[..., :, None] & columns[..., None, :]).to(torch.uint8) * 255
    numbers = torch.arange(4 * 13).reshape(4, 13)
    return SequenceBatch(
        observations={"image": squares[..., None].expand(4, 13, 16, 16, 3)},
        action=action,
        reward=places[:, 1:, 0] / 12,
        termination=torch.zeros(4, 12, dtype=torch.bool),
        is_first=numbers % 13 == 0,
        rows=numbers,
    )


def test_the_small_gaussian_model_looks_at_its_frames() -> None:
    """Its posterior says what the prior cannot know, instead of collapsing onto it."""
    config = replace(LOMPOConfig.presets()["small"].model, channels=(16, 32))
    model = build(config)
    optimiser = optimiser_of(model, config.learning_rate)
    for update in range(100):
        loss, metrics = model.loss(moving_squares(update))
        optimiser.step_on(loss)
    assert metrics["kl"] > 0.3


def test_decoded_images_are_pixels(model_config: WorldModelConfig, make_batch: MakeBatch) -> None:
    model, batch = build(model_config), make_batch()
    features = torch.randn(2, 3, model.feature_size)
    torch.testing.assert_close(model.decode(features), model.decoder(features) + 0.5)
    shades = torch.tensor([-0.1, 0.0, 0.5, 1.0, 1.7]).reshape(5, 1, 1)
    assert to_uint8(shades).flatten().tolist() == [0, 0, 128, 255, 255]
    # What the encoder and the loss call a pixel is what is decoded.
    images = batch.observations["image"]
    assert torch.equal(to_uint8(images / 255.0), images)
