"""The decoder: sizes, kernels, refusals, and its numbers beside the definition."""

import numpy as np
import pytest
import torch
from torch import nn

from vrl_core.errors import VRLError
from vrl_worldmodel.decoder import ConvolutionalDecoder
from vrl_worldmodel.image_sizes import decoder_kernels, smallest_size

PAPER = (48, 96, 192, 384)


def test_kernels_for_64_pixels_are_dreamer_v2s() -> None:
    assert decoder_kernels(64, 4) == (1, (5, 5, 6, 6))
    decoder = ConvolutionalDecoder(1224, (64, 64, 3), PAPER, "elu")
    assert decoder.start.weight.shape == (1536, 1224)  # 32 x 48 channels of one pixel
    shapes = [tuple(layer.weight.shape) for layer in decoder.convolutions]
    assert shapes == [(1536, 192, 5, 5), (192, 96, 5, 5), (96, 48, 6, 6), (48, 3, 6, 6)]


@pytest.mark.parametrize("convolutions", [1, 2, 3])
def test_every_size_from_the_smallest_on_is_decoded(convolutions: int) -> None:
    channels = (2, 3, 4)[:convolutions]
    least = smallest_size(convolutions)
    for size in range(least, least + 9):
        shape = (size, 40, 3)
        decoder = ConvolutionalDecoder(5, shape, channels, "elu")
        assert decoder(torch.zeros(2, 5)).shape == (2, *shape)
        rows, columns, start = decoder.start_shape
        assert start == (64 if rows == columns == 1 else channels[-1])
    with pytest.raises(VRLError, match=f"at least {least}x{least}"):
        ConvolutionalDecoder(5, (least - 1, 40, 3), channels, "elu")


@pytest.mark.parametrize("size", [16, 20])
@pytest.mark.parametrize("activation", ["elu", "relu"])
def test_means_are_transposed_convolutions_as_defined(size: int, activation: str) -> None:
    torch.manual_seed(0)
    decoder = ConvolutionalDecoder(5, (size, size, 3), (2, 4), activation).double()
    for layer in (decoder.start, *decoder.convolutions):
        nn.init.normal_(layer.bias)
    features = torch.randn(2, 3, 5, dtype=torch.float64)
    start = decoder.start(features).detach().numpy()
    value = start.reshape(6, *decoder.start_shape)
    for number, layer in enumerate(decoder.convolutions):
        value = _spread_all(value, layer)
        if number == 0:
            value = np.where(value > 0, value, np.expm1(value) if activation == "elu" else 0.0)
    means = decoder(features).detach().numpy()
    np.testing.assert_allclose(means, value.reshape(2, 3, size, size, 3), atol=1e-7)


def _spread_all(value: np.ndarray, layer: nn.ConvTranspose2d) -> np.ndarray:
    """Add the kernel, times each pixel's value, around twice the pixel's place."""
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    images, size = value.shape[:2]
    kernel = weight.shape[-1]
    output = np.zeros((images, 2 * (size - 1) + kernel, 2 * (size - 1) + kernel, len(bias))) + bias
    for row in range(size):
        for column in range(size):
            rows, columns = (slice(2 * at, 2 * at + kernel) for at in (row, column))
            added = np.einsum("ni,iorc->nrco", value[:, row, column], weight)
            output[:, rows, columns] += added
    return output


def test_autocast_computes_in_bfloat16() -> None:
    torch.manual_seed(0)
    decoder = ConvolutionalDecoder(5, (16, 16, 3), (4, 6), "elu")
    features = torch.randn(4, 5)
    exact = decoder(features)
    with torch.autocast("cpu", torch.bfloat16):
        means = decoder(features)
    assert means.dtype == torch.bfloat16
    assert exact.dtype == torch.float32
    torch.testing.assert_close(means.float(), exact, atol=0.05, rtol=0.05)
