import numpy as np
import pytest

from vrl_worldmodel.calibration import rank_correlation, ranks, spearman


def test_ranks_count_from_one_and_equal_values_share_theirs():
    assert ranks(np.array([3.0, 1.0, 2.0])).tolist() == [3, 1, 2]
    assert ranks(np.array([5.0, 1.0, 5.0, 0.0, 5.0])).tolist() == [4, 2, 4, 1, 4]


def test_any_rising_function_correlates_fully():
    values = np.array([0.3, -2.0, 5.0, 1.0])
    assert spearman(values, np.exp(values)) == pytest.approx(1)
    assert spearman(values, -(values**3)) == pytest.approx(-1)


def test_spearman_by_hand():
    # Differences of ranks 0, 1, -1, 1, -1: 1 - 6 * 4 / (5 * 24).
    first, second = np.array([1.0, 2, 3, 4, 5]), np.array([10.0, 30, 20, 50, 40])
    assert spearman(first, second) == pytest.approx(0.8)


def test_spearman_with_ties_is_the_correlation_of_mean_ranks():
    first, second = np.array([1.0, 1, 2, 3]), np.array([2.0, 1, 3, 3])
    expected = np.corrcoef([1.5, 1.5, 3, 4], [2, 1, 3.5, 3.5])[0, 1]
    assert spearman(first, second) == pytest.approx(expected)


def test_what_does_not_vary_ranks_nothing():
    groups = np.arange(4)
    assert spearman(np.zeros(4), np.arange(4.0)) is None
    assert rank_correlation(np.zeros(4), np.arange(4.0), groups) is None


def test_interval_holds_the_value_and_is_wider_when_groups_are_few():
    random = np.random.default_rng(0)
    first = random.normal(size=200)
    second = first + random.normal(size=200)
    alone = rank_correlation(first, second, np.arange(200))
    assert alone is not None
    assert alone.low < alone.value < alone.high
    assert alone == rank_correlation(first, second, np.arange(200))
    # Ten groups with an offset each: their number, not that of the states, is what counts.
    offset = np.repeat(random.normal(size=(2, 10)) * 5, 20, axis=1)
    grouped = rank_correlation(first + offset[0], second + offset[1], np.arange(200) // 20)
    split = rank_correlation(first + offset[0], second + offset[1], np.arange(200))
    assert grouped is not None
    assert split is not None
    assert grouped.high - grouped.low > 2 * (split.high - split.low)
