"""What VRL expects of a penalty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vrl_core.hooks import PenaltyConfig
from vrl_core.testing.expectations import expect, expect_pickles

if TYPE_CHECKING:
    from torch import Tensor

    from vrl_core.protocols import EnsemblePrediction

KINDS = ("categorical", "gaussian")
MEMBERS, HORIZON, BATCH, STOCH, CLASSES, FEATURES = 5, 3, 4, 6, 8, 7


def check_penalty(
    config: PenaltyConfig, *, zero_in_agreement: bool = True, grows: bool = True, seed: int = 0
) -> None:
    """Check a penalty on made-up predictions of every kind it is defined for.

    It must give one finite number `(... batch)` for each predicted state, the same whatever else
    is in the batch, with finite gradients. It must be zero where the members agree and grow on
    average as they part, unless `zero_in_agreement` or `grows` say that this penalty measures
    something else, such as the members' own noise.

    Raises `ConformanceError`.
    """
    expect_pickles(config)
    known = set(KINDS)
    expect(
        config.kinds and set(config.kinds) <= known,
        f"kinds must be some of {KINDS}, not {config.kinds!r}",
    )
    penalty = config.build()
    for kind in config.kinds:
        together, apart, far = (_prediction(kind, spread, seed) for spread in (0.0, 0.5, 2.0))
        for prediction in (together, apart, far):
            _check_values(penalty, prediction)
            _check_gradients(penalty, prediction)
        _check_independence(penalty, apart)
        means = [float(penalty(prediction).mean()) for prediction in (together, apart, far)]
        if zero_in_agreement:
            zero = abs(means[0]) <= 1e-3 * max(1e-3, abs(means[2]))
            expect(zero, f"{kind}: members agree, but the penalty is {means[0]}")
        if grows:
            said = ", ".join(f"{mean:.4g}" for mean in means)
            expect(means[0] < means[1] < means[2], f"{kind}: as members part it goes {said}")


def _check_values(penalty: Any, prediction: EnsemblePrediction) -> None:
    import torch

    value = penalty(prediction)
    expect(isinstance(value, torch.Tensor), f"the penalty must be a tensor, not {type(value)}")
    wanted = tuple(prediction.member.shape)
    found = tuple(value.shape)
    expect(found == wanted, f"{prediction.kind}: shape (... batch) is {wanted}, not {found}")
    expect(value.isfinite().all(), f"{prediction.kind}: the penalty has NaN or infinity: {value}")


def _check_gradients(penalty: Any, prediction: EnsemblePrediction) -> None:
    """Expect finite gradients, also where members agree and a square root has none."""
    import dataclasses

    import torch

    names = ("logits",) if prediction.kind == "categorical" else ("mean", "std")
    leaves = {name: getattr(prediction, name).clone().requires_grad_() for name in names}
    value = penalty(dataclasses.replace(prediction, **leaves)).sum()
    if not value.requires_grad:
        return
    gradients = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
    for name, gradient in zip(names, gradients, strict=True):
        finite = gradient is None or bool(gradient.isfinite().all())
        expect(finite, f"{prediction.kind}: the gradient to {name} has NaN or infinity")


def _check_independence(penalty: Any, prediction: EnsemblePrediction) -> None:
    """Expect each step of the horizon to be judged as if it were alone."""
    import dataclasses

    import torch

    whole = penalty(prediction)
    for step in range(HORIZON):
        fields = {name: getattr(prediction, name) for name in ("logits", "mean", "std")}
        alone = {name: value[:, step] for name, value in fields.items() if value is not None}
        one = dataclasses.replace(
            prediction, sample=prediction.sample[step], member=prediction.member[step], **alone
        )
        same = torch.allclose(penalty(one), whole[step], rtol=1e-4, atol=1e-5)
        expect(same, f"{prediction.kind}: a state's penalty depends on the others in the batch")


def _prediction(kind: str, spread: float, seed: int) -> EnsemblePrediction:
    """Return a prediction `(member, horizon, batch, ...)` whose members are `spread` apart."""
    import torch

    from vrl_core.protocols import EnsemblePrediction

    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    member = torch.randint(MEMBERS, (HORIZON, BATCH), generator=random)
    tail = (STOCH, CLASSES) if kind == "categorical" else (FEATURES,)
    shared, own = normal(1, HORIZON, BATCH, *tail), normal(MEMBERS, HORIZON, BATCH, *tail)
    values = shared + spread * own
    index = member.reshape(1, HORIZON, BATCH, *(1 for _ in tail)).expand(1, HORIZON, BATCH, *tail)
    chosen = values.gather(0, index).squeeze(0)
    if kind == "categorical":
        sample = torch.nn.functional.one_hot(chosen.argmax(-1), CLASSES).float()
        return EnsemblePrediction(kind="categorical", sample=sample, member=member, logits=values)
    std = (0.1 + 0.1 * normal(1, HORIZON, BATCH, *tail).abs()).expand_as(values).clone()
    sample = chosen + std[0] * normal(HORIZON, BATCH, *tail)
    return EnsemblePrediction(kind="gaussian", sample=sample, member=member, mean=values, std=std)
