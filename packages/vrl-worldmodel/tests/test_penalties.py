"""The penalties against numbers worked by hand, and the properties that all of them have."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from vrl_core.protocols import EnsemblePrediction
from vrl_core.testing import check_penalty
from vrl_worldmodel.penalty_config import (
    EnsembleStd,
    LogitStd,
    LogProbStd,
    LogProbVariance,
    MaxDisagreement,
    MaxStd,
    MeanDisagreement,
    MeanStd,
    NoPenalty,
    TrueError,
)
from vrl_worldmodel.plugin import vrl_penalties

EVERY = [
    NoPenalty(),
    MeanDisagreement(),
    MeanDisagreement(form="squared"),
    MaxDisagreement(),
    MeanStd(),
    MaxStd(),
    LogitStd(),
    LogProbVariance(),
    LogProbStd(),
    EnsembleStd(),
]
PAIRS = [(config, kind) for config in EVERY for kind in config.kinds]
each = pytest.mark.parametrize(
    ("config", "kind"), PAIRS, ids=lambda value: value if isinstance(value, str) else str(value)
)


def gaussian(mean: Tensor, std: Tensor, sample: Tensor | None = None) -> EnsemblePrediction:
    """A prediction of these members `(member, ..., batch, feature)`."""
    sample = mean[0] if sample is None else sample
    member = torch.zeros(mean.shape[1:-1], dtype=torch.int64)
    return EnsemblePrediction(kind="gaussian", sample=sample, member=member, mean=mean, std=std)


def categorical(logits: Tensor, sample: Tensor | None = None) -> EnsemblePrediction:
    """A prediction of these members `(member, ..., batch, stoch, classes)`."""
    if sample is None:
        sample = torch.nn.functional.one_hot(logits[0].argmax(-1), logits.shape[-1])
    member = torch.zeros(logits.shape[1:-2], dtype=torch.int64)
    sample = sample.to(logits.dtype)
    return EnsemblePrediction(kind="categorical", sample=sample, member=member, logits=logits)


def two_gaussians() -> EnsemblePrediction:
    """Two members, one state: means (0, 0) and (6, 8), deviations (3, 4) and (1, 1)."""
    mean = torch.tensor([[[0.0, 0.0]], [[6.0, 8.0]]])
    std = torch.tensor([[[3.0, 4.0]], [[1.0, 1.0]]])
    return gaussian(mean, std, sample=torch.tensor([[3.0, 8.0]]))


def two_tables() -> EnsemblePrediction:
    """Two members, one state of two variables: (1/2, 1/2) both, and (3/4, 1/4), (1/2, 1/2)."""
    table = torch.tensor([[[0.5, 0.5], [0.5, 0.5]], [[0.75, 0.25], [0.5, 0.5]]])
    sample = torch.tensor([[[1, 0], [0, 1]]])
    return categorical(table.log().unsqueeze(1), sample)


def made_up(kind: str, *lead: int, members: int = 4, seed: int = 0) -> EnsemblePrediction:
    """A prediction in float64 for states of these leading axes."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float64)

    if kind == "categorical":
        logits = normal(members, *lead, 3, 5)
        return categorical(logits, torch.nn.functional.one_hot(normal(*lead, 3, 5).argmax(-1), 5))
    mean, std = normal(members, *lead, 6), 0.2 + normal(members, *lead, 6).abs()
    return gaussian(mean, std, normal(*lead, 6))


def parameters(prediction: EnsemblePrediction) -> tuple[Tensor, ...]:
    fields = (prediction.logits, prediction.mean, prediction.std)
    return tuple(value for value in fields if value is not None)


def replace_parameters(prediction: EnsemblePrediction, *values: Tensor) -> EnsemblePrediction:
    names = ("logits",) if prediction.kind == "categorical" else ("mean", "std")
    return dataclasses.replace(prediction, **dict(zip(names, values, strict=True)))


# Log densities of the Gaussian members at (3, 8), without the shared constant:
# -(1/2)(1^2 + 2^2) - log 3 - log 4, and -(1/2)(3^2 + 0^2) - log 1 - log 1.
GAUSSIAN_GAP = (-2.5 - math.log(12)) - (-4.5)
# Both variables' first and second class: log 1/4 against log 3/8.
CATEGORICAL_GAP = math.log(0.25 / 0.375)


@pytest.mark.parametrize(
    ("config", "by_hand"),
    [
        (NoPenalty(), 0.0),
        (MeanDisagreement(), 5.0),  # both members are (3, 4) from the mean
        (MeanDisagreement(form="squared"), 50.0),
        (MaxDisagreement(), 5.0),
        (MeanStd(), (5 + math.sqrt(2)) / 2),
        (MaxStd(), 5.0),
        (LogProbVariance(), GAUSSIAN_GAP**2 / 4),
        (LogProbStd(), abs(GAUSSIAN_GAP) / 2),
        # Per coordinate (9 + 1)/2 + 9 and (16 + 1)/2 + 16.
        (EnsembleStd(), math.sqrt(14 + 24.5)),
    ],
    ids=str,
)
def test_gaussian_members_by_hand(config, by_hand):
    assert config.build()(two_gaussians()).tolist() == pytest.approx([by_hand], rel=1e-6)


@pytest.mark.parametrize(
    ("config", "by_hand"),
    [
        (NoPenalty(), 0.0),
        # The tables are (1/8, -1/8, 0, 0) from their mean, either way.
        (MeanDisagreement(), math.sqrt(2) / 8),
        (MeanDisagreement(form="squared"), 2 * 2 / 64),
        (MaxDisagreement(), math.sqrt(2) / 8),
        # Half the gaps of the four logits: of 1/2 and 3/4, of 1/2 and 1/4, and twice none.
        (LogitStd(), (math.log(1.5) / 2 + math.log(2) / 2) / 4),
        (LogProbVariance(), CATEGORICAL_GAP**2 / 4),
        (LogProbStd(), abs(CATEGORICAL_GAP) / 2),
        # A class of mean probability m has the mixture's variance m (1 - m): 15/64 and 1/4, twice.
        (EnsembleStd(), math.sqrt(2 * 15 / 64 + 2 / 4)),
    ],
    ids=str,
)
def test_categorical_members_by_hand(config, by_hand):
    assert config.build()(two_tables()).tolist() == pytest.approx([by_hand], rel=1e-6)


def test_mean_and_maximum_over_members_differ_where_they_should():
    prediction = gaussian(torch.tensor([[[0.0]], [[0.0]], [[3.0]]]), torch.ones(3, 1, 1))
    # The members are 1, 1 and 2 from their mean.
    assert MeanDisagreement().build()(prediction).item() == pytest.approx(4 / 3)
    assert MeanDisagreement(form="squared").build()(prediction).item() == pytest.approx(6)
    assert MaxDisagreement().build()(prediction).item() == pytest.approx(2)


def test_the_table_has_one_norm_and_not_one_a_variable():
    # Members at opposite corners of two variables: every probability is 1/2 from the mean.
    logits = 40 * torch.tensor([[[[1.0, -1.0], [1.0, -1.0]]], [[[-1.0, 1.0], [-1.0, 1.0]]]])
    assert MeanDisagreement().build()(categorical(logits)).item() == pytest.approx(1.0)


@pytest.mark.parametrize("config", EVERY, ids=str)
def test_the_conformance_kit_agrees(config):
    own_noise = isinstance(config, MeanStd | MaxStd)
    idle = isinstance(config, NoPenalty)
    zero = not isinstance(config, MeanStd | MaxStd | EnsembleStd)
    check_penalty(config, zero_in_agreement=zero, grows=not own_noise and not idle)


def test_all_names_are_covered():
    covered = {type(config) for config in EVERY} | {TrueError}  # which test_simulator.py covers
    assert covered == set(vrl_penalties().values())


@each
def test_any_leading_axes_and_each_state_by_itself(config, kind):
    penalty, prediction = config.build(), made_up(kind, 2, 3, 4)
    whole = penalty(prediction)
    assert whole.shape == (2, 3, 4)
    alone = dataclasses.replace(
        replace_parameters(prediction, *(value[:, 1, 2, 3] for value in parameters(prediction))),
        sample=prediction.sample[1, 2, 3],
        member=prediction.member[1, 2, 3],
    )
    torch.testing.assert_close(penalty(alone), whole[1, 2, 3])


@each
def test_the_order_of_members_does_not_matter(config, kind):
    penalty, prediction = config.build(), made_up(kind, 5)
    turned = replace_parameters(
        prediction, *(value[[2, 0, 3, 1]] for value in parameters(prediction))
    )
    torch.testing.assert_close(penalty(turned), penalty(prediction))


@each
def test_gradient_agrees_with_finite_differences(config, kind):
    penalty, prediction = config.build(), made_up(kind, 2, members=3)
    if isinstance(config, NoPenalty):
        assert not penalty(prediction).any()
        return
    leaves = [value.requires_grad_() for value in parameters(prediction)]

    def of_parameters(*values: Tensor) -> Tensor:
        return penalty(replace_parameters(prediction, *values))

    assert torch.autograd.gradcheck(of_parameters, leaves)


@pytest.mark.parametrize("config", [LogProbVariance(), LogProbStd()], ids=str)
@pytest.mark.parametrize("kind", ["categorical", "gaussian"])
def test_no_gradient_passes_through_the_sample(config, kind):
    prediction = made_up(kind, 3)
    sample = prediction.sample.clone().requires_grad_()
    leaf = parameters(prediction)[0].requires_grad_()
    value = config.build()(dataclasses.replace(prediction, sample=sample)).sum()
    to_sample, to_leaf = torch.autograd.grad(value, (sample, leaf), allow_unused=True)
    assert to_sample is None
    assert to_leaf.abs().min() > 0


@pytest.mark.parametrize("form", ["norm", "squared"])
def test_the_gradient_of_disagreement_reaches_the_logits_and_brings_members_together(form):
    prediction = made_up("categorical", 3)
    logits = parameters(prediction)[0].requires_grad_()
    penalty = MeanDisagreement(form=form).build()
    before = penalty(prediction)
    (gradient,) = torch.autograd.grad(before.sum(), logits)
    assert gradient.abs().min() > 0
    after = penalty(replace_parameters(prediction, logits.detach() - 0.01 * gradient))
    assert (after < before).all()


@each
def test_members_that_agree_have_finite_gradients_in_float32(config, kind):
    source = made_up(kind, 3)
    same = (value[:1].float().expand_as(value).clone() for value in parameters(source))
    leaves = [value.requires_grad_() for value in same]
    agreeing = replace_parameters(source, *leaves)
    value = config.build()(agreeing)
    assert value.isfinite().all()
    if value.requires_grad:
        for gradient in torch.autograd.grad(value.sum(), leaves, allow_unused=True):
            assert gradient is None or gradient.isfinite().all()


def test_certain_members_that_agree_have_finite_gradients():
    # Probabilities of exactly 0 and 1: every variance is zero, and so is its root's argument.
    logits = torch.tensor([200.0, 0.0]).expand(3, 2, 4, 2).clone().requires_grad_()
    for config in (EnsembleStd(), MeanDisagreement(), MaxDisagreement(), LogitStd(), LogProbStd()):
        value = config.build()(categorical(logits))
        assert value.tolist() == [0.0, 0.0]
        (gradient,) = torch.autograd.grad(value.sum(), logits)
        assert gradient.isfinite().all()


@each
def test_half_precision_predictions_give_float32_penalties(config, kind):
    full = made_up(kind, 3)
    values = [value.bfloat16() for value in parameters(full)]
    half = replace_parameters(full, *values)
    rounded = replace_parameters(full, *(value.float() for value in values))
    with torch.autocast("cpu", torch.bfloat16):
        found = config.build()(dataclasses.replace(half, sample=half.sample.bfloat16()))
    assert found.dtype == torch.float32
    exact = config.build()(dataclasses.replace(rounded, sample=half.sample.bfloat16().float()))
    torch.testing.assert_close(found, exact)


def test_logits_count_up_to_a_shift_and_probabilities_do_not():
    prediction = made_up("categorical", 2, members=1)
    logits = parameters(prediction)[0]
    shifted = categorical(torch.cat((logits, logits + 2.0)))
    assert LogitStd().build()(shifted).tolist() == pytest.approx([1.0, 1.0])
    assert MeanDisagreement().build()(shifted).tolist() == pytest.approx([0.0, 0.0], abs=1e-9)


def test_the_mixtures_deviation_is_that_of_its_draws():
    prediction = made_up("gaussian", 1, members=3)
    mean, std = parameters(prediction)
    random = torch.Generator().manual_seed(3)
    noise = torch.randn(3, 50_000, 6, generator=random, dtype=torch.float64)
    draws = (mean + std * noise).flatten(0, 1)
    by_draws = draws.var(0).sum().sqrt()
    assert EnsembleStd().build()(prediction).item() == pytest.approx(by_draws.item(), rel=1e-2)
