"""Statistics against numbers worked by hand and closed forms."""

import math

import numpy as np
import pytest

from vrl_core.errors import VRLError
from vrl_core.statistics import bootstrap_band, interquartile_mean, summary


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3, 4, 5, 6, 7, 100], 4.5),  # 3, 4, 5, 6 are kept
        ([100, 1, 3, 2, 4], 3.0),  # a quarter of five is one: 2, 3, 4 are kept
        ([5, 1, 9], 5.0),  # too few to cut: the mean
        ([[0, 0], [10, 20]], 5.0),  # 0 and 10 are kept
    ],
)
def test_interquartile_mean_by_hand(values: list, expected: float) -> None:
    assert interquartile_mean(values) == pytest.approx(expected)


def test_summary_by_hand() -> None:
    result = summary([2, 4, 4, 4, 5, 5, 7, 9])
    assert (result.mean, result.std, result.n, result.runs) == (5.0, 2.0, 8, 1)
    assert result.iqm == pytest.approx(4.5)
    assert result.low < result.mean < result.high
    assert result.iqm_low < result.iqm < result.iqm_high


def test_one_value_and_equal_values_have_an_interval_of_no_width() -> None:
    for values in ([7.0], [7.0] * 9):
        result = summary(values)
        assert (result.mean, result.low, result.high, result.iqm_low) == (7.0, 7.0, 7.0, 7.0)


def test_interval_of_two_values_spans_them() -> None:
    # Resamples of {0, 1} have mean 0, 1/2, 1 with probability 1/4, 1/2, 1/4.
    result = summary([0.0, 1.0])
    assert (result.low, result.high) == (0.0, 1.0)
    # The middle half of the distribution, confidence 0.4, is all at 1/2.
    narrow = summary([0.0, 1.0], confidence=0.4)
    assert (narrow.low, narrow.high) == (0.5, 0.5)


def test_interval_of_many_values_is_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(100, 20, 400)
    result = summary(values, resamples=4000)
    half = 1.96 * values.std() / math.sqrt(400)
    assert result.high - result.mean == pytest.approx(half, rel=0.08)
    assert result.mean - result.low == pytest.approx(half, rel=0.08)


def test_interval_over_runs_is_as_wide_as_the_runs_differ() -> None:
    # Within a run nothing varies: only drawing whole runs gives the interval any width.
    values, runs = [0.0] * 10 + [10.0] * 10, [0] * 10 + [1] * 10
    result = summary(values, runs=runs)
    assert result.runs == 2
    assert (result.low, result.high) == (0.0, 10.0)
    assert summary(values).high < 8.0  # episodes alone would pretend to know more


def test_runs_of_different_length_keep_their_weight() -> None:
    result = summary([1.0, 2.0, 3.0, 50.0], runs=["a", "a", "a", "b"], resamples=500)
    assert result.n == 4
    assert result.runs == 2
    assert 1.0 <= result.low <= result.high <= 50.0


def test_strata_are_kept_in_every_resample() -> None:
    # Two tasks on different scales, no noise: every resample holds both, so nothing varies.
    values, strata = [0.0] * 5 + [10.0] * 5, ["walker"] * 5 + ["cheetah"] * 5
    result = summary(values, strata=strata, runs=list(range(10)))
    assert (result.low, result.mean, result.high) == (5.0, 5.0, 5.0)
    assert result.runs == 10


def test_the_seed_reproduces_the_interval() -> None:
    values = np.random.default_rng(1).normal(size=12)
    assert summary(values, seed=3) == summary(values, seed=3)
    assert summary(values, seed=3).low != summary(values, seed=4).low


def test_bad_values_are_refused() -> None:
    with pytest.raises(VRLError, match="no values"):
        summary([])
    with pytest.raises(VRLError, match="Value 1 to summarise is nan"):
        summary([1.0, math.nan])
    with pytest.raises(VRLError, match="2 values came with 1 labels in 'runs'"):
        summary([1.0, 2.0], runs=[0])


def test_band_of_two_curves() -> None:
    low, high = bootstrap_band([[0.0, 4.0, 1.0], [2.0, 4.0, 5.0]])
    assert low.tolist() == [0.0, 4.0, 1.0]
    assert high.tolist() == [2.0, 4.0, 5.0]
    low, high = bootstrap_band([[1.0, 2.0]])
    assert low.tolist() == high.tolist() == [1.0, 2.0]
