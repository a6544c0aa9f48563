"""The encoder: sizes, refusals, normalisation and the order of frames."""

import pytest
import torch

from vrl_core.errors import VRLError
from vrl_core.image_encoder import Encoder, normalise, smallest_size

PAPER = {"frame_stack": 3, "channels": (32, 32, 32, 32), "strides": (2, 1, 1, 1)}


@pytest.mark.parametrize(("size", "features"), [(84, 39_200), (64, 32 * 25 * 25)])
def test_feature_count_of_the_papers_encoder(size: int, features: int) -> None:
    encoder = Encoder((size, size, 3), **PAPER)
    images = torch.zeros(1, 3, size, size, 3, dtype=torch.uint8)
    assert encoder.features == features == encoder(images).shape[1]


@pytest.mark.parametrize("strides", [(2, 1, 1, 1), (2, 2, 2), (1,), (4, 2)])
def test_smallest_images_are_taken_and_smaller_ones_refused(strides: tuple[int, ...]) -> None:
    least = smallest_size(strides)
    channels = (4,) * len(strides)
    encoder = Encoder((least, least, 3), 1, channels, strides)
    assert encoder(torch.zeros(1, 1, least, least, 3, dtype=torch.uint8)).shape == (1, 4)
    with pytest.raises(VRLError, match=rf"at least {least}x{least}"):
        Encoder((least, least - 1, 3), 1, channels, strides)


def test_normalise_is_exact_in_float32_and_rounds_once_in_bfloat16() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 4, 8, 8)
    exact = levels.double() / 255 - 0.5
    torch.testing.assert_close(normalise(levels, torch.float32).double(), exact, atol=1e-7, rtol=0)
    rounded = (exact.float()).bfloat16()
    assert (normalise(levels, torch.bfloat16) - rounded).abs().max() <= 2**-10


def test_channels_are_frames_in_order_of_time() -> None:
    encoder = Encoder((3, 3, 3), 3, (1,), (1,))
    with torch.no_grad():
        encoder.convolutions[0].weight.zero_()
        encoder.convolutions[0].weight[0, 6, 1, 1] = 1.0  # red of the newest frame
    images = torch.zeros(1, 3, 3, 3, 3, dtype=torch.uint8)
    images[0, 2, 1, 1, 0] = 255
    assert encoder(images).item() == pytest.approx(0.5)
    images[0, 2, 1, 1, 0] = 0
    images[0, :2] = 255
    assert encoder(images).item() == 0.0  # the ReLU of -0.5


def test_weights_are_orthogonal_with_the_relus_gain() -> None:
    torch.manual_seed(0)
    encoder = Encoder((84, 84, 3), **PAPER)
    weight = encoder.convolutions[2].weight.flatten(1)
    torch.testing.assert_close(weight @ weight.T, 2 * torch.eye(32), atol=1e-5, rtol=0)
    assert not encoder.convolutions[2].bias.any()
