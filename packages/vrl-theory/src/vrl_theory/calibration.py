"""Does an error estimator rank places by the model's true error, and is it large enough?

The rank correlation (Spearman) is what a penalty needs whose weight is tuned; admissibility is what
MOPO's theory needs (Assumption 4.3). Both by horizon: steps since the rollout left true states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from numpy.random import Generator
from scipy.stats import rankdata

from vrl_core.errors import VRLError
from vrl_theory.estimators import admissibility_rate
from vrl_theory.mdp import FiniteMDP, StateAction, Transition

Sample = Float[ndarray, " place"]
ByHorizon = Float[ndarray, "horizon place"]
COVERED = 0.95
"""Share of places that `Calibration.factor` makes admissible."""
RESAMPLES = 500
"""Draws of the bootstrap; enough for two digits of an interval."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How an estimator stands to the true error at some places."""

    horizon: int | None
    """Steps since the rollout began, from 0; None for all places together."""
    places: int
    correlation: float | None
    """Spearman's; None where penalty or error does not vary."""
    correlation_low: float | None
    correlation_high: float | None
    """95% interval of it, by resampling whole groups; None of a single group."""
    admissible: float
    """Share of places where the estimator is at least the error."""
    factor: float
    """Least factor with which the estimator is admissible at 95% of the places; may be infinite."""
    mean_penalty: float
    mean_error: float

    def to_data(self) -> dict[str, Any]:
        """Plain values for JSON; an infinite factor is None."""
        return asdict(self) | {"factor": self.factor if np.isfinite(self.factor) else None}


def calibrate(
    penalties: ByHorizon,
    errors: ByHorizon,
    groups: Int[ndarray, " place"] | None = None,
    seed: int = 0,
) -> tuple[Calibration, ...]:
    """Compare estimates with true errors at each horizon, and last at all together.

    Intervals resample groups of rollouts, such as those of one episode, whose states are alike;
    without `groups` every rollout is one. Raises `VRLError` for numbers that are not finite, with
    the horizon.
    """
    for name, values in (("penalty", penalties), ("error", errors)):
        if not np.isfinite(values).all():
            step, place = (int(each) for each in np.argwhere(~np.isfinite(values))[0])
            raise VRLError(f"The {name} of rollout {place} is not finite after {step} steps.")
    numbers = np.arange(penalties.shape[1]) if groups is None else groups
    members = [np.flatnonzero(numbers == group) for group in np.unique(numbers)]
    chosen = [slice(step, step + 1) for step in range(len(penalties))]
    return tuple(
        _compare(penalties[rows], errors[rows], members, horizon, seed)
        for horizon, rows in [*enumerate(chosen), (None, slice(None))]
    )


def spearman(first: Sample, second: Sample) -> float | None:
    """Correlate ranks, equal values sharing their mean rank; None where one does not vary."""
    a, b = (rankdata(values) - (len(values) + 1) / 2 for values in (first, second))
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else None


def correlation_interval(
    penalties: ByHorizon, errors: ByHorizon, members: Sequence[ndarray], seed: int
) -> tuple[float, float] | None:
    """Return the 95% bootstrap interval of Spearman's correlation.

    `members` are the rollouts of each group; whole groups are drawn, with replacement. None where
    there are fewer than two, or no draw varies.
    """
    random = np.random.default_rng(seed)
    if len(members) < 2:
        return None
    found = []
    for _ in range(RESAMPLES):
        drawn = random.integers(len(members), size=len(members))
        places = np.concatenate([members[group] for group in drawn])
        found.append(spearman(penalties[:, places].ravel(), errors[:, places].ravel()))
    known = [value for value in found if value is not None]
    if not known:
        return None
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


def covering_factor(penalties: Sample, errors: Sample, share: float = COVERED) -> float:
    """Return the least factor k with k penalty >= error at this share of the places."""
    with np.errstate(divide="ignore", invalid="ignore"):
        factors = np.where(errors <= 0, 0.0, errors / penalties)
    return float(np.sort(factors)[max(0, int(np.ceil(share * len(factors))) - 1)])


def model_rollouts(
    mdp: FiniteMDP,
    model: Transition,
    policy: StateAction,
    horizon: int,
    count: int,
    random: Generator,
) -> tuple[Int[ndarray, "horizon count"], Int[ndarray, "horizon count"]]:
    """Return states and actions of a policy's rollouts in the model of a single MDP."""
    state = _draw(np.broadcast_to(mdp.initial, (count, mdp.states)), random)
    states, actions = [], []
    for _ in range(horizon):
        action = _draw(policy[state], random)
        states.append(state)
        actions.append(action)
        state = _draw(model[state, action], random)
    return np.stack(states), np.stack(actions)


def _compare(
    penalties: ByHorizon,
    errors: ByHorizon,
    members: Sequence[ndarray],
    horizon: int | None,
    seed: int,
) -> Calibration:
    low, high = correlation_interval(penalties, errors, members, seed) or (None, None)
    return Calibration(
        horizon=horizon,
        places=errors.size,
        correlation=spearman(penalties.ravel(), errors.ravel()),
        correlation_low=low,
        correlation_high=high,
        admissible=admissibility_rate(penalties, errors),
        factor=covering_factor(penalties.ravel(), errors.ravel()),
        mean_penalty=float(penalties.mean()),
        mean_error=float(errors.mean()),
    )


def _draw(rows: Float[ndarray, "count outcome"], random: Generator) -> Int[ndarray, " count"]:
    """Draw an outcome from each row."""
    below = rows.cumsum(-1) < random.random((len(rows), 1))
    drawn: ndarray = np.minimum(below.sum(-1), rows.shape[-1] - 1)
    return drawn
