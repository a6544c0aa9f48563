import math

import pytest
import torch

from vrl_core.metrics import MetricAverages, first_not_finite


def test_means_over_the_updates_that_had_the_metric():
    averages = MetricAverages()
    averages.add({"loss": torch.tensor(1.0), "rare": torch.tensor(5.0)})
    averages.add({"loss": torch.tensor(4.0)})
    assert averages.read() == {"loss": 2.5, "rare": 5.0}
    assert averages.updates == 2
    averages.clear()
    assert averages.read() == {}
    assert averages.updates == 0


def test_a_metric_may_be_overwritten_afterwards():
    """A replayed CUDA graph returns the same tensors again."""
    averages, value = MetricAverages(), torch.tensor(1.0)
    for number in (1.0, 2.0, 6.0):
        value.fill_(number)
        averages.add({"loss": value})
    assert averages.read() == {"loss": 3.0}


def test_state_goes_on():
    one, other = MetricAverages(), MetricAverages()
    one.add({"loss": torch.tensor(1.0)})
    other.load_state_dict(one.state_dict(), torch.device("cpu"))
    other.add({"loss": torch.tensor(2.0)})
    assert other.read() == {"loss": 1.5}
    assert (other.updates, other.finite_updates) == (2, 2)
    assert one.read() == {"loss": 1.0}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_bad_update_shows_in_the_mean(bad):
    averages = MetricAverages()
    for value in (1.0, bad, 2.0):
        averages.add({"fine": torch.tensor(1.0), "loss": torch.tensor(value)})
    assert first_not_finite(averages.read()) == "loss"
    assert (averages.updates, averages.finite_updates) == (3, 1)
    averages.clear()
    averages.add({"loss": torch.tensor(1.0)})
    assert (averages.updates, averages.finite_updates) == (1, 1)


def test_all_finite():
    assert first_not_finite({"a": 1.0}) is None
