"""Stacked networks equal a loop over their members; Polyak averaging equals its formula."""

import pytest
import torch
from torch import nn

from vrl_core.networks import StackedLinear, move_towards, stacked_mlp


def test_stacked_linear_equals_a_loop_over_members():
    torch.manual_seed(0)
    layer = StackedLinear(3, 4, 2)
    inputs = torch.randn(3, 5, 4)
    expected = torch.stack([inputs[m] @ layer.weight[m] + layer.bias[m] for m in range(3)])
    torch.testing.assert_close(layer(inputs), expected)


def test_stacked_linear_starts_within_the_usual_bound():
    layer = StackedLinear(2, 16, 8)
    assert layer.weight.abs().max() <= 1 / 4
    assert layer.weight.std() > 0.1  # uniform in [-1/4, 1/4] has a deviation of 0.144


@pytest.mark.parametrize("layer_norm", [False, True])
def test_members_of_a_stacked_mlp_do_not_touch_each_other(layer_norm):
    torch.manual_seed(0)
    network = stacked_mlp(2, [3, 8, 1], layer_norm=layer_norm)
    inputs = torch.randn(2, 6, 3, requires_grad=True)
    network(inputs)[0].sum().backward()
    assert inputs.grad is not None
    assert inputs.grad[0].abs().sum() > 0
    assert inputs.grad[1].abs().sum() == 0


def test_move_towards_is_a_weighted_mean():
    target, source = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.constant_(target.weight, 1.0)
    nn.init.constant_(source.weight, 5.0)
    move_towards(target, source, 0.25)
    assert target.weight.item() == pytest.approx(2.0)
    assert source.weight.item() == 5.0
