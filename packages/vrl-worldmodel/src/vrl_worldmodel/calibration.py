"""Does a penalty rank states by the model's true error? Needs numpy only.

A penalty need not have the error's scale, because its weight sets that; it must put states in the
right order. Spearman's rank correlation measures just this (Lu et al. 2022, "Revisiting Design
Choices in Offline Model-Based Reinforcement Learning", Section 4).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

RESAMPLES = 200


@dataclass(frozen=True)
class Correlation:
    """A rank correlation with its 95% bootstrap interval."""

    value: float
    low: float
    high: float

    def to_data(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks of values `(n,)`, counted from 1; equal values share their mean rank."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean: np.ndarray = (last - (counts - 1) / 2)[place]
    return mean


def spearman(first: np.ndarray, second: np.ndarray) -> float | None:
    """Correlate the ranks of two samples `(n,)`; None where one of them does not vary."""
    a, b = (ranks(values) - (len(values) + 1) / 2 for values in (first, second))
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 0 else None


def rank_correlation(
    first: np.ndarray, second: np.ndarray, groups: np.ndarray, *, seed: int = 0
) -> Correlation | None:
    """Return Spearman's correlation with an interval; None where one sample does not vary.

    Values of one group `(n,)`, such as the states of one stretch of an episode, resemble each
    other; so whole groups are drawn with replacement.
    """
    value = spearman(first, second)
    if value is None:
        return None
    random = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    drawn = []
    for _ in range(RESAMPLES):
        chosen = random.integers(len(members), size=len(members))
        rows = np.concatenate([members[index] for index in chosen])
        drawn.append(spearman(first[rows], second[rows]))
    known = [each for each in drawn if each is not None]
    low, high = np.percentile(known, [2.5, 97.5]) if known else (value, value)
    return Correlation(value, float(low), float(high))
