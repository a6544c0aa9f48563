"""Stacked layers against hand-worked numbers, finite differences, and layers one by one."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from vrl_core.networks import StackedLinear, stacked_mlp
from vrl_core.stacked_layers import Activation, stacked_layers

SIZES = (3, 5, 4, 2)


def parameters(members: int, sizes: tuple[int, ...]) -> tuple[list[Tensor], list[Tensor]]:
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        found = torch.randn(shape, generator=generator, dtype=torch.float64)
        return found.requires_grad_()

    pairs = list(pairwise(sizes))
    return (
        [drawn(members, *pair) for pair in pairs],
        [drawn(members, 1, outputs) for _, outputs in pairs],
    )


def by_layer(
    value: Tensor, weights: list[Tensor], biases: list[Tensor], activation: Activation
) -> Tensor:
    act = {"relu": torch.relu, "silu": torch.nn.functional.silu}[activation]
    for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        value = value @ weight + bias
        if number < len(weights) - 1:
            value = act(value)
    return value


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_two_layers_by_hand():
    weights = [torch.tensor([[[2.0, -1.0]]]), torch.tensor([[[3.0], [5.0]]])]
    biases = [torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.5]]])]
    for each in (*weights, *biases):
        each.requires_grad_()
    value = torch.tensor([[[1.0], [-2.0]]], requires_grad=True)
    # x = 1: hidden (3, 0), output 9.5; x = -2: hidden (0, 2), output 10.5.
    output = stacked_layers(value, weights, biases, "relu")
    assert output.flatten().tolist() == [9.5, 10.5]
    found = torch.autograd.grad(output.sum(), [value, *weights, *biases])
    wanted = [[6, -5], [3, -10], [3, 2], [3, 5], [2]]
    assert [each.flatten().tolist() for each in found] == wanted


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("activation", ["relu", "silu"])
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("members", [1, 2, 3])
def test_gradients_agree_with_finite_differences(
    activation: Activation, outputs: int, members: int
):
    weights, biases = parameters(members, (*SIZES[:-1], outputs))
    value = torch.randn(members, 6, 3, dtype=torch.float64, requires_grad=True)

    def apply(value: Tensor, *both: Tensor) -> Tensor:
        return stacked_layers(value, both[: len(weights)], both[len(weights) :], activation)

    assert torch.autograd.gradcheck(apply, (value, *weights, *biases))


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("activation", ["relu", "silu"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_without_gradients_the_values_are_the_same(activation: Activation, outputs: int):
    weights, biases = parameters(3, (*SIZES[:-1], outputs))
    value = torch.randn(6, 3, dtype=torch.float64).expand(3, -1, -1)
    wanted = by_layer(value, weights, biases, activation)
    before = value.clone()
    with torch.no_grad():
        without = stacked_layers(value, weights, biases, activation)
    torch.testing.assert_close(without, wanted)
    torch.testing.assert_close(stacked_layers(value, weights, biases, activation), wanted)
    assert torch.equal(value, before)  # what is done in place is done to no input


def test_only_layers_in_between_are_rounded():
    value = torch.randn(2, 64, 3, requires_grad=True)
    three = (*SIZES[:1], 8, 8, 2)
    for sizes, rounded in (((3, 8, 2), False), (three, True)):
        some, other = parameters(2, sizes)
        weights, biases = ([e.detach().float().requires_grad_() for e in p] for p in (some, other))
        asked = [value, *weights, *biases]
        exact, found = (
            stacked_layers(value, weights, biases, "silu", inner)
            for inner in (torch.float32, torch.bfloat16)
        )
        assert found.dtype == torch.float32
        assert torch.equal(exact, found) != rounded
        torch.testing.assert_close(found, exact, rtol=0.02, atol=0.05)
        with torch.no_grad():
            without = stacked_layers(value, weights, biases, "silu", torch.bfloat16)
        torch.testing.assert_close(without, found, rtol=1e-2, atol=1e-2)
        wanted, given = (torch.autograd.grad(y.square().sum(), asked) for y in (exact, found))
        for one, another in zip(wanted, given, strict=True):
            assert another.dtype == torch.float32
            assert float((one - another).norm() / one.norm()) < 0.02


def test_only_what_is_asked_for_gets_a_gradient():
    weights, biases = parameters(2, SIZES)
    frozen = [[each.detach() for each in some] for some in (weights, biases)]
    value = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    through = stacked_layers(value, *frozen, "relu").sum()
    (found,) = torch.autograd.grad(through, [value])
    (wanted,) = torch.autograd.grad(by_layer(value, weights, biases, "relu").sum(), [value])
    torch.testing.assert_close(found, wanted)


def test_weights_changed_before_the_gradient_are_an_error():
    weights, biases = parameters(2, SIZES)
    output = stacked_layers(torch.randn(2, 4, 3, dtype=torch.float64), weights, biases, "silu")
    with torch.no_grad():
        weights[1].add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


def test_a_second_derivative_is_refused():
    weights, biases = parameters(2, SIZES)
    value = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    output = stacked_layers(value, weights, biases, "silu").square().sum()
    (first,) = torch.autograd.grad(output, [value], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


@pytest.mark.parametrize("constant", [False, True])
def test_a_stacked_mlp_is_its_layers_one_by_one(constant: bool):
    networks = stacked_mlp(2, [3, 8, 8, 1])
    value = torch.randn(2, 16, 3)
    wanted = nn.Sequential.forward(networks, value)
    torch.testing.assert_close(networks(value, constant=constant), wanted)
    assert networks(value, constant=constant).requires_grad is not constant


def test_a_stacked_mlp_in_autocast_is_applied_layer_by_layer():
    networks = stacked_mlp(2, [3, 8, 1])
    with torch.autocast("cpu", torch.bfloat16):
        assert networks(torch.randn(2, 16, 3)).dtype == torch.bfloat16
    assert isinstance(networks[0], StackedLinear)
