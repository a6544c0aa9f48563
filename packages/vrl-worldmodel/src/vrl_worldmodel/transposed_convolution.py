"""Transposed convolutions of stride 2, as quick on a CPU as their arithmetic allows.

The library's own are made for large images on a GPU. Here are the same sums in other orders; for
the decoder of 64 px images they take a third of the library's time on a CPU.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from vrl_worldmodel.image_sizes import STRIDE


def transposed_convolution(
    value: Float[Tensor, "batch channel rows columns"], layer: nn.ConvTranspose2d
) -> Float[Tensor, "batch output more_rows more_columns"]:
    """Apply a layer of stride 2 without padding, with channels last in memory."""
    if value.shape[2:] == (1, 1):
        return spread(value, layer)
    if value.device.type != "cpu":
        applied: Tensor = layer(value)
        return applied
    assert layer.bias is not None
    dtype = value.dtype
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
    inputs = (tensor.to(dtype) for tensor in (value, layer.weight, layer.bias))
    phased: Tensor = _Phased.apply(*inputs)  # type: ignore[no-untyped-call]
    return phased


def spread(
    value: Float[Tensor, "batch channel 1 1"], layer: nn.ConvTranspose2d
) -> Float[Tensor, "batch output rows columns"]:
    """Return what the layer makes of one pixel: a matrix product."""
    weight, bias = layer.weight, layer.bias
    assert bias is not None
    shape = weight.shape[1:]
    biases = bias.repeat_interleave(shape[1] * shape[2])
    product = torch.addmm(biases, value.flatten(1), weight.flatten(1))
    return product.view(-1, *shape).contiguous(memory_format=torch.channels_last)


def convolve_phases(
    value: Float[Tensor, "batch channel rows columns"],
    weight: Float[Tensor, "channel output kernel_rows kernel_columns"],
    bias: Float[Tensor, " output"],
) -> Float[Tensor, "batch output more_rows more_columns"]:
    """Return the transposed convolution of stride 2, by one ordinary convolution.

    Output pixels 2r + p sum the inputs r - a times the kernel's entries 2a + p: for either phase
    p, in rows and in columns, a convolution with half the kernel. The four are one convolution with
    four times the channels, which are then woven together.
    """
    rows, columns = value.shape[2:]
    channels, outputs, *kernel = weight.shape
    odd = [size % STRIDE for size in kernel]
    taps = [(size + 1) // STRIDE for size in kernel]
    even = functional.pad(weight, (0, odd[1], 0, odd[0]))
    split = even.view(channels, outputs, taps[0], STRIDE, taps[1], STRIDE)
    phases = split.permute(3, 5, 1, 0, 2, 4).flip(-2, -1).reshape(-1, channels, *taps)
    phases = phases.contiguous(memory_format=torch.channels_last)
    padding = (taps[0] - 1, taps[1] - 1)
    convolved = functional.conv2d(value, phases, bias.repeat(STRIDE * STRIDE), padding=padding)
    woven = _weave(convolved, outputs)
    if any(odd):
        height, width = (STRIDE * (n - 1) + k for n, k in zip((rows, columns), kernel, strict=True))
        woven = woven[:, :, :height, :width].clone(memory_format=torch.channels_last)
    return woven


def _weave(
    phases: Float[Tensor, "batch channel rows columns"], outputs: int
) -> Float[Tensor, "batch output more_rows more_columns"]:
    """Weave images of `outputs` channels, one for each phase of rows and columns, into one."""
    images, _, rows, columns = phases.shape
    shape = (images, outputs, STRIDE * rows, STRIDE * columns)
    woven = torch.empty(
        shape, dtype=phases.dtype, device=phases.device, memory_format=torch.channels_last
    )
    parts = phases.permute(0, 2, 3, 1).reshape(images, rows, columns, STRIDE, STRIDE, outputs)
    places = woven.permute(0, 2, 3, 1).view(images, rows, STRIDE, columns, STRIDE, outputs)
    places.copy_(parts.transpose(2, 3))
    return woven


class _Phased(torch.autograd.Function):
    """`convolve_phases` forwards; backwards the library's own, which is the quicker one there.

    But for the bias: the sum over a gradient takes the library as long as all the rest.
    """

    @staticmethod
    def forward(context: Any, value: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        context.save_for_backward(value, weight)
        return convolve_phases(value, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        value, weight = context.saved_tensors
        needs_value, needs_weight, needs_bias = context.needs_input_grad
        of_value, of_weight, _ = torch.ops.aten.convolution_backward(
            gradient,
            value,
            weight,
            [weight.shape[1]],
            [STRIDE, STRIDE],
            [0, 0],
            [1, 1],
            True,  # transposed
            [0, 0],
            1,
            [needs_value, needs_weight, False],
        )
        return of_value, of_weight, gradient.sum((0, 2, 3)) if needs_bias else None
