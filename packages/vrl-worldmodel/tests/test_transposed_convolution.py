"""The quick transposed convolutions against the library's."""

import pytest
import torch
from torch import nn

from vrl_worldmodel.transposed_convolution import convolve_phases, transposed_convolution

KERNELS = [(5, 5), (6, 6), (5, 6), (6, 5)]
SIZES = [(1, 1), (1, 4), (5, 3)]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("size", SIZES)
def test_values_and_gradients_are_the_librarys(
    kernel: tuple[int, int], size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(6, 3, kernel, 2, dtype=torch.float64)
    value = torch.randn(2, 6, *size, dtype=torch.float64, requires_grad=True)
    expected, result = layer(value), transposed_convolution(value, layer)
    torch.testing.assert_close(result, expected)
    assert result.is_contiguous(memory_format=torch.channels_last)
    along = torch.randn_like(expected)
    inputs = (value, layer.weight, layer.bias)
    torch.testing.assert_close(
        torch.autograd.grad(result, inputs, along), torch.autograd.grad(expected, inputs, along)
    )


def test_one_pixel_of_one_channel_gives_the_kernel() -> None:
    weight = torch.arange(30.0).view(1, 1, 5, 6)
    value = torch.full((1, 1, 1, 1), 2.0)
    result = convolve_phases(value, weight, torch.ones(1))
    torch.testing.assert_close(result, 2 * weight + 1)


@pytest.mark.parametrize("size", SIZES)
def test_autocast_rounds_the_result_once(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(16, 8, 5, 2)
    with torch.no_grad():
        for parameter in layer.parameters():  # bfloat16 holds all factors exactly
            parameter.copy_(parameter.bfloat16())
    value = torch.randn(2, 16, *size, dtype=torch.bfloat16)
    exact = layer(value.float())
    with torch.autocast("cpu", torch.bfloat16):
        result = transposed_convolution(value, layer)
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result.float(), exact, rtol=2**-8, atol=1e-5)
    result.float().sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32


def test_only_wanted_gradients_are_made() -> None:
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(6, 3, 5, 2).requires_grad_(False)
    value = torch.randn(2, 6, 2, 2, requires_grad=True)
    transposed_convolution(value, layer).sum().backward()
    assert value.grad is not None
    assert layer.weight.grad is None
