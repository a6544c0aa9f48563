"""The ensemble of dynamics: its products, its loss and its gradients, worked by other means."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vrl_worldmodel.dynamics import EnsembleLayer, ProbabilisticEnsemble
from vrl_worldmodel.dynamics_training import DynamicsTrainer
from vrl_worldmodel.mopo_config import DynamicsConfig

STATE, ACTION, BATCH = 3, 2, 4
CONFIG = DynamicsConfig(
    members=3, elites=2, hidden_layers=(6, 5), weight_decay=(0.1, 0.2, 0.3), batch_size=BATCH
)
SPECTRAL = DynamicsConfig(
    members=3,
    elites=2,
    hidden_layers=(6, 5),
    weight_decay=(0.1, 0.2, 0.3),
    spectral_normalisation=True,
)


def make_ensemble(config: DynamicsConfig = CONFIG) -> ProbabilisticEnsemble:
    torch.manual_seed(0)
    return ProbabilisticEnsemble(config, STATE, ACTION)


def make_batch(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(3, BATCH, STATE + ACTION, generator=generator, dtype=dtype)
    return inputs, torch.randn(3, BATCH, STATE + 1, generator=generator, dtype=dtype)


def member_outputs(ensemble: ProbabilisticEnsemble, member: int, inputs: np.ndarray):
    """Follow one member through its layers in NumPy; mean, and log variance without bounds."""
    value = inputs
    weights = {name: tensor.detach().numpy() for name, tensor in ensemble.named_parameters()}
    for layer in range(len(ensemble.hidden)):
        value = value @ weights[f"hidden.{layer}.weight"][member]
        value = value + weights[f"hidden.{layer}.bias"][member]
        value = value / (1 + np.exp(-value))  # swish
    return tuple(
        value @ weights[f"{head}.weight"][member] + weights[f"{head}.bias"][member]
        for head in ("mean_head", "variance_head")
    )


def test_bfloat16_rounds_the_inner_layers_alone():
    torch.manual_seed(0)
    short = ProbabilisticEnsemble(CONFIG, STATE, ACTION, torch.bfloat16)
    exact = make_ensemble()
    inputs, targets = make_batch()
    losses = []
    for ensemble in (short, exact):
        loss, _ = ensemble.loss(inputs, targets)
        loss.backward()
        assert all(value.grad.dtype == torch.float32 for value in ensemble.parameters())
        losses.append(loss.detach())
    assert losses[0] != losses[1]
    torch.testing.assert_close(*losses, rtol=0.01, atol=0)
    for one, other in zip(short.parameters(), exact.parameters(), strict=True):
        assert torch.equal(one, other)
        torch.testing.assert_close(one.grad, other.grad, rtol=0.05, atol=0.05)


def test_one_product_for_all_members_equals_a_loop_over_them():
    ensemble, (inputs, _) = make_ensemble(), make_batch()
    mean, log_variance = ensemble.outputs(inputs)
    for member in range(3):
        wanted, raw = member_outputs(ensemble, member, inputs[member].numpy())
        np.testing.assert_allclose(mean[member].detach(), wanted, rtol=1e-5, atol=1e-6)
        bounded = ensemble.bounded(torch.from_numpy(raw))
        torch.testing.assert_close(log_variance[member], bounded)


def test_the_loss_is_the_published_one():
    ensemble, (inputs, targets) = make_ensemble(), make_batch()
    total = 0.0
    for member in range(3):
        mean, raw = member_outputs(ensemble, member, inputs[member].numpy())
        below = 0.5 - np.log1p(np.exp(0.5 - raw))
        log_variance = -10 + np.log1p(np.exp(below + 10))
        error = (mean - targets[member].numpy()) ** 2
        total += (error / np.exp(log_variance) + log_variance).mean()
    total += 0.01 * (STATE + 1) * (0.5 - -10)
    loss, metrics = ensemble.loss(inputs, targets)
    assert float(loss.detach()) == pytest.approx(total, rel=1e-5)
    assert not any(value.requires_grad for value in metrics.values())


def test_the_loss_of_a_constant_network_by_hand():
    ensemble, (inputs, targets) = make_ensemble(), make_batch()
    with torch.no_grad():
        for layer in ensemble.layers():
            layer.weight.zero_()
        ensemble.mean_head.bias.fill_(1.0)
        ensemble.variance_head.bias.zero_()
        targets.fill_(3.0)
    # softplus(0.5) = 0.974077, so the log variance is 0.5 - 0.974077, a little raised by the lower
    # bound: -10 + softplus(9.525923) = -0.474004; each member's loss is 4 e^0.474004 - 0.474004.
    log_variance = -0.474004
    wanted = 3 * (4 * math.exp(-log_variance) + log_variance) + 0.01 * 4 * 10.5
    assert float(ensemble.loss(inputs, targets)[0].detach()) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("config", [CONFIG, SPECTRAL], ids=["plain", "spectral"])
def test_gradients_agree_with_finite_differences(config):
    ensemble = make_ensemble(config).double()
    inputs, targets = make_batch(torch.float64)

    def loss() -> torch.Tensor:
        # Without the power iteration, whose vectors are constants of the gradient.
        mean, log_variance = ensemble.outputs(inputs)
        likelihood = (targets - mean).square() * (-log_variance).exp() + log_variance
        bounds = (ensemble.upper_bound - ensemble.lower_bound).sum()
        return likelihood.mean((1, 2)).sum() + config.bound_weight * bounds

    parameters = dict(ensemble.named_parameters())
    gradients = torch.autograd.grad(loss(), list(parameters.values()))
    for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
        for index in {0, parameter.numel() // 2, parameter.numel() - 1}:
            ends = []
            for step in (1e-5, -1e-5):
                with torch.no_grad():
                    parameter.data.view(-1)[index] += step
                    ends.append(float(loss().detach()))
                    parameter.data.view(-1)[index] -= step
            slope = (ends[0] - ends[1]) / 2e-5
            assert slope == pytest.approx(float(gradient.reshape(-1)[index]), rel=1e-4, abs=1e-8), (
                name
            )


def test_the_loss_moves_the_bounds_towards_each_other_unless_errors_push_them_apart():
    ensemble, (inputs, targets) = make_ensemble(), make_batch()
    loss, _ = ensemble.loss(inputs, targets * 1e-3)
    upper, lower = torch.autograd.grad(loss, [ensemble.upper_bound, ensemble.lower_bound])
    assert (upper > 0).all()
    assert (lower < 0).all()


def test_log_variances_keep_to_their_bounds():
    ensemble = make_ensemble()
    raw = torch.linspace(-1e4, 1e4, 9)[:, None].expand(3, 9, STATE + 1)
    bounded = ensemble.bounded(raw)
    assert (bounded >= -10).all()
    assert (bounded <= 0.5 + 1e-4).all()  # the lower bound's softplus raises it by e^-10.5


def test_an_update_is_adam_on_the_loss_with_the_decay_of_the_weights_as_terms():
    ensembles, (inputs, targets) = [make_ensemble(), make_ensemble()], make_batch()
    decays = [*CONFIG.weight_decay, CONFIG.weight_decay[-1]]
    with_terms = torch.optim.Adam(ensembles[0].parameters(), lr=CONFIG.learning_rate, fused=False)
    trainer = DynamicsTrainer(CONFIG, ensembles[1], torch.device("cpu"))
    trainer._draw_batch = lambda: (inputs, targets)  # type: ignore[method-assign]
    for _ in range(3):
        loss, _ = ensembles[0].loss(inputs, targets)
        for decay, layer in zip(decays, ensembles[0].layers(), strict=True):
            loss = loss + decay * layer.weight.square().sum() / 2
        with_terms.zero_grad()
        loss.backward()
        with_terms.step()
        trainer.update()
    for one, other in zip(*(each.parameters() for each in ensembles), strict=True):
        torch.testing.assert_close(one, other)


def test_predictions_are_of_the_next_state_and_the_reward_in_the_datas_units():
    ensemble = make_ensemble()
    mean, std = torch.arange(5.0), torch.tensor([2.0, 1.0, 0.5, 4.0, 0.0])
    ensemble.set_standardisation(mean, std)
    generator = torch.Generator().manual_seed(2)
    state = torch.randn(BATCH, STATE, generator=generator)
    action = torch.rand(BATCH, ACTION, generator=generator)
    scale = torch.tensor([2.0, 1.0, 0.5, 4.0, 1.0])  # a constant input is shifted only
    inputs = ((torch.cat((state, action), -1) - mean) / scale).expand(3, -1, -1)
    change, log_variance = (part.detach() for part in ensemble.outputs(inputs))
    predicted, deviation = ensemble.predict(state, action)
    torch.testing.assert_close(predicted[..., :STATE], state + change[..., :STATE])
    torch.testing.assert_close(predicted[..., STATE], change[..., STATE])
    torch.testing.assert_close(deviation, (log_variance / 2).exp())


def test_spectral_normalisation_bounds_every_layer_but_the_variances():
    ensemble, (inputs, targets) = make_ensemble(SPECTRAL), make_batch()
    with torch.no_grad():
        for layer in ensemble.layers():
            layer.weight.mul_(7)
    for _ in range(50):
        ensemble.loss(inputs, targets)
    *normalised, variance = ensemble.layers()
    for layer in normalised:
        largest = torch.linalg.matrix_norm(layer.used_weight(), ord=2)
        torch.testing.assert_close(largest, torch.ones(3), atol=1e-3, rtol=0)
    assert variance.used_weight() is variance.weight


def test_weights_start_as_in_the_public_code():
    torch.manual_seed(0)
    layer = EnsembleLayer(5, 100, 80, spectral=False)
    assert not layer.bias.any()
    assert float(layer.weight.detach().abs().max()) <= 2 / 20
    # A normal distribution cut at two deviations has 0.8796 of the deviation.
    assert float(layer.weight.detach().std()) == pytest.approx(0.8796 / 20, rel=0.01)
