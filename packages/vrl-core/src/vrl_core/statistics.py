"""Means, interquartile means and bootstrap intervals of returns. Needs numpy only.

The interquartile mean and its stratified bootstrap are those of Agarwal et al. 2021, "Deep
Reinforcement Learning at the Edge of the Statistical Precipice", Sections 4.1 and 4.3.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vrl_core.errors import VRLError

RESAMPLES = 2000


@dataclass(frozen=True)
class Summary:
    """A sample in six numbers."""

    mean: float
    iqm: float
    low: float
    """Lower end of the bootstrap interval of the mean."""
    high: float
    """Upper end of the bootstrap interval of the mean."""
    n: int
    """Number of values."""
    iqm_low: float
    iqm_high: float
    std: float
    """Standard deviation of the values, with n in the denominator as in the papers' tables."""
    runs: int
    """Number of independent runs (seeds) that the values come from."""

    def to_data(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def interquartile_mean(values: ArrayLike) -> float:
    """Mean of the middle half: the lowest and the highest quarter of the values are left out.

    A quarter is rounded down to whole values, so fewer than four values give their plain mean.
    """
    return float(_trimmed_mean(np.sort(np.asarray(values, np.float64), axis=None)))


def summary(
    values: ArrayLike,
    *,
    runs: Sequence[Hashable] | None = None,
    strata: Sequence[Hashable] | None = None,
    seed: int = 0,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Summary:
    """Summarise values with percentile-bootstrap intervals of the mean and interquartile mean.

    `runs[i]` names the run (training seed) that earned `values[i]`. With several runs, whole runs
    are drawn with replacement before the values within each, because episodes of one policy say
    nothing about how another seed would have done. With one run, or without `runs`, values are
    drawn alone. `strata[i]` names a part that is kept in every resample, such as the task; runs
    and values are drawn within it. The same `seed` gives the same intervals.

    Raises `VRLError` without values, or when they are not finite.
    """
    flat = np.asarray(values, np.float64).reshape(-1)
    _check(flat, runs, strata)
    tree = _tree(runs, strata, len(flat))
    drawn = np.sort(flat[_resample(tree, np.random.default_rng(seed), resamples)], axis=1)
    tails = [50 * (1 - confidence), 50 * (1 + confidence)]
    low, high = np.percentile(drawn.mean(1), tails)
    iqm_low, iqm_high = np.percentile(_trimmed_mean(drawn), tails)
    return Summary(
        mean=float(flat.mean()),
        iqm=interquartile_mean(flat),
        low=float(low),
        high=float(high),
        n=len(flat),
        iqm_low=float(iqm_low),
        iqm_high=float(iqm_high),
        std=float(flat.std()),
        runs=sum(len(members) for members in tree),
    )


def bootstrap_band(
    curves: ArrayLike, *, seed: int = 0, confidence: float = 0.95, resamples: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray]:
    """Interval `(low, high)` of the mean at every point of curves of shape `(run, point)`.

    Whole runs are drawn, so one run gives a band of no width.
    """
    matrix = np.asarray(curves, np.float64)
    rng = np.random.default_rng(seed)
    means = matrix[rng.integers(len(matrix), size=(resamples, len(matrix)))].mean(1)
    low, high = np.percentile(means, [50 * (1 - confidence), 50 * (1 + confidence)], axis=0)
    return low, high


def _trimmed_mean(ordered: np.ndarray) -> np.ndarray:
    cut = ordered.shape[-1] // 4
    kept: np.ndarray = ordered[..., cut : ordered.shape[-1] - cut].mean(-1)
    return kept


def _check(
    values: np.ndarray, runs: Sequence[Hashable] | None, strata: Sequence[Hashable] | None
) -> None:
    if not len(values):
        raise VRLError("There are no values to summarise; evaluate at least one episode.")
    if not np.isfinite(values).all():
        index = int(np.flatnonzero(~np.isfinite(values))[0])
        raise VRLError(f"Value {index} to summarise is {values[index]}; returns must be finite.")
    for name, labels in (("runs", runs), ("strata", strata)):
        if labels is not None and len(labels) != len(values):
            raise VRLError(f"{len(values)} values came with {len(labels)} labels in {name!r}.")


def _tree(
    runs: Sequence[Hashable] | None, strata: Sequence[Hashable] | None, count: int
) -> list[list[np.ndarray]]:
    """Return, for each stratum, for each of its runs, the indices of the values."""
    groups: dict[Hashable, dict[Hashable, list[int]]] = {}
    for index in range(count):
        stratum = groups.setdefault(strata[index] if strata is not None else None, {})
        stratum.setdefault(runs[index] if runs is not None else None, []).append(index)
    return [[np.array(run) for run in stratum.values()] for stratum in groups.values()]


def _resample(tree: list[list[np.ndarray]], rng: np.random.Generator, resamples: int) -> np.ndarray:
    """Draw indices `(resamples, values)`.

    A run drawn into a run's place brings as many values as the place had, so that every
    resample is of one size also when runs differ in their number of episodes.
    """
    parts = []
    for members in tree:
        lengths = np.array([len(run) for run in members])
        padded = np.zeros((len(members), lengths.max()), np.int64)
        for row, run in zip(padded, members, strict=True):
            row[: len(run)] = run
        for place in lengths:
            chosen = rng.integers(len(members), size=(resamples, 1))
            within = rng.random((resamples, place)) * lengths[chosen]
            parts.append(padded[chosen, within.astype(np.int64)])
    return np.concatenate(parts, axis=1)
