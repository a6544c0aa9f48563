"""The convolutional encoder of DrQ-v2, in which images become floats."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from vrl_core.errors import VRLError

KERNEL = 3


class Encoder(nn.Module):
    """3x3 convolutions without padding, each followed by a ReLU (V-D4RL code; DrQ-v2, Table 1).

    `features` is the length of the flattened output. Weights are orthogonal with gain sqrt(2),
    biases zero.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        frame_stack: int,
        channels: Sequence[int],
        strides: Sequence[int],
    ) -> None:
        """Build for images of `image_shape` (height, width, channel) in stacks.

        Raises `VRLError` when the images are too small for the convolutions.
        """
        super().__init__()
        height, width, image_channels = image_shape
        rows, columns = convolved_size(height, strides), convolved_size(width, strides)
        if min(rows, columns) < 1:
            least = smallest_size(strides)
            raise VRLError(
                f"Images of {height}x{width} pixels are too small for {len(strides)} convolutions "
                f"with strides {tuple(strides)}: they need at least {least}x{least}. Use data with "
                "larger images, or fewer or less strided convolutions (`encoder_strides` of an "
                "algorithm, `strides` of a classifier of rewards)."
            )
        inputs = [frame_stack * image_channels, *channels[:-1]]
        layers: list[nn.Module] = []
        for before, after, stride in zip(inputs, channels, strides, strict=True):
            layers += [_convolution(before, after, stride), nn.ReLU(inplace=True)]
        self.convolutions = nn.Sequential(*layers)
        self.features = channels[-1] * rows * columns

    def forward(
        self, images: UInt8[Tensor, "batch stack height width channel"]
    ) -> Float[Tensor, "batch feature"]:
        """Encode stacks of images; the oldest frame's channels come first."""
        stacked = images.permute(0, 1, 4, 2, 3).flatten(1, 2)
        kind = images.device.type
        lower = torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if lower else next(self.parameters()).dtype
        features: Tensor = self.convolutions(normalise(stacked, dtype))
        return features.permute(0, 2, 3, 1).flatten(1)  # as they lie: channels last


def normalise(
    images: UInt8[Tensor, "batch channel height width"], dtype: torch.dtype
) -> Float[Tensor, "batch channel height width"]:
    """Return `images / 255 - 1/2`, with channels last in memory: convolutions are quicker so."""
    # Half-integers up to 127.5 are exact in bfloat16, so only the division rounds; in place,
    # because fresh memory costs more than the arithmetic.
    values = images.to(dtype, memory_format=torch.channels_last)
    return values.sub_(127.5).div_(255.0)


def convolved_size(size: int, strides: Sequence[int]) -> int:
    """Return what the convolutions leave of `size` pixels; less than 1 means too few."""
    for stride in strides:
        size = (size - KERNEL) // stride + 1
    return size


def smallest_size(strides: Sequence[int]) -> int:
    """Return the least number of pixels that leaves one output."""
    size = 1
    for stride in reversed(strides):
        size = (size - 1) * stride + KERNEL
    return size


def _convolution(inputs: int, outputs: int, stride: int) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, KERNEL, stride)
    nn.init.orthogonal_(layer.weight, nn.init.calculate_gain("relu"))
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
