"""The encoder: sizes, refusals, and its numbers beside the definition."""

import numpy as np
import pytest
import torch

from vrl_core.errors import VRLError
from vrl_worldmodel.encoder import KERNEL, ConvolutionalEncoder, normalise
from vrl_worldmodel.image_sizes import decoder_kernels, encoded_size, smallest_size

PAPER = (48, 96, 192, 384)


def test_the_papers_encoder_gives_1536_features() -> None:
    encoder = ConvolutionalEncoder((64, 64, 3), PAPER, "elu")
    assert encoder.features == 1536  # 2 x 2 x 384, through 31, 14 and 6
    assert [encoded_size(64, n, KERNEL) for n in range(5)] == [64, 31, 14, 6, 2]


@pytest.mark.parametrize("shape", [(2,), (2, 3), (1, 2, 2)])
def test_leading_axes_are_kept_and_images_do_not_mix(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    encoder = ConvolutionalEncoder((16, 20, 3), (4, 6), "relu")
    images = torch.randint(0, 256, (*shape, 16, 20, 3), dtype=torch.uint8)
    features = encoder(images)
    assert features.shape == (*shape, encoder.features) == (*shape, 6 * 2 * 3)
    one = encoder(images.flatten(0, -4)[:1])[0]
    torch.testing.assert_close(features.flatten(0, -2)[0], one)


@pytest.mark.parametrize("activation", ["elu", "relu"])
def test_features_are_convolutions_of_stride_two_as_defined(activation: str) -> None:
    torch.manual_seed(0)
    encoder = ConvolutionalEncoder((13, 13, 2), (3, 5), activation).double()
    for convolution in encoder.convolutions:
        torch.nn.init.normal_(convolution.bias)
    images = torch.randint(0, 256, (2, 13, 13, 2), dtype=torch.uint8)
    value = images.numpy() / 255 - 0.5
    for convolution in encoder.convolutions:
        value = _convolve(value, convolution)
        negative = np.expm1(value) if activation == "elu" else 0.0
        value = np.where(value > 0, value, negative)
    # Rows, columns, channels: the order in which a cached encoding is read back.
    np.testing.assert_allclose(encoder(images).detach().numpy(), value.reshape(2, -1), atol=1e-7)


def _convolve(value: np.ndarray, convolution: torch.nn.Conv2d) -> np.ndarray:
    """Apply a 4x4 convolution of stride 2, by its definition, to (image, row, column, channel)."""
    weight, bias = convolution.weight.detach().numpy(), convolution.bias.detach().numpy()
    size = (value.shape[1] - 4) // 2 + 1
    output = np.empty((len(value), size, size, len(bias)))
    for row in range(size):
        for column in range(size):
            patch = value[:, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4]
            output[:, row, column] = np.einsum("nrci,oirc->no", patch, weight) + bias
    return output


def test_normalise_is_exact_in_float32_and_rounds_once_in_bfloat16() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 8, 8, 4)
    exact = levels.double() / 255 - 0.5
    torch.testing.assert_close(normalise(levels).double(), exact, atol=1e-7, rtol=0)
    assert (normalise(levels, torch.bfloat16) - exact).abs().max() <= 2**-9


def test_autocast_computes_in_bfloat16() -> None:
    torch.manual_seed(0)
    encoder = ConvolutionalEncoder((16, 16, 3), (8, 16), "elu")
    images = torch.randint(0, 256, (4, 16, 16, 3), dtype=torch.uint8)
    exact = encoder(images)
    with torch.autocast("cpu", torch.bfloat16):
        features = encoder(images)
    assert features.dtype == torch.bfloat16
    assert exact.dtype == torch.float32
    torch.testing.assert_close(features.float(), exact, atol=0.02, rtol=0.02)


def test_weights_start_glorot_uniform_and_biases_zero() -> None:
    torch.manual_seed(0)
    weight = ConvolutionalEncoder((64, 64, 3), PAPER, "elu").convolutions[1].weight
    bound = (6 / (16 * 48 + 16 * 96)) ** 0.5
    assert weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.01)
    assert not ConvolutionalEncoder((16, 16, 3), (4,), "elu").convolutions[0].bias.any()


@pytest.mark.parametrize("convolutions", [1, 2, 3, 4, 5])
def test_smallest_size_is_the_least_that_both_networks_take(convolutions: int) -> None:
    least = smallest_size(convolutions)
    assert encoded_size(least, convolutions, KERNEL) >= 1
    assert decoder_kernels(least, convolutions)[0] == 1
    assert decoder_kernels(least - 1, convolutions)[0] < 1


def test_images_that_are_too_small_are_refused_with_what_would_do() -> None:
    with pytest.raises(
        VRLError, match=r"64x40 pixels.* at least 61x61.*no more than 3 conv.*model\.channels"
    ):
        ConvolutionalEncoder((64, 40, 3), PAPER, "elu")
    ConvolutionalEncoder((64, 40, 3), PAPER[:3], "elu")
    with pytest.raises(VRLError, match=r"at least 5x5.*Use data with larger images\.$"):
        ConvolutionalEncoder((4, 4, 3), (8,), "elu")
