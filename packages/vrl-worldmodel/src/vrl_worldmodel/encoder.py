"""DreamerV2's convolutional encoder. Images become floats here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from vrl_worldmodel.image_sizes import STRIDE, encoded_size, require_size

Activation = Literal["elu", "relu"]
KERNEL = 4


class ConvolutionalEncoder(nn.Module):
    """4x4 convolutions of stride 2 without padding, each with its activation.

    DreamerV2 (Hafner et al. 2021), Appendix D; V-D4RL, Appendix C.1. `features` is the length of
    the flattened output (rows, columns, channels), 1536 for 64 pixels and the paper's channels.
    Weights are Glorot-uniform and biases zero, as in the public code.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], channels: Sequence[int], activation: Activation
    ) -> None:
        """Build for images (height, width, channel); raises `VRLError` if they are too small."""
        super().__init__()
        require_size(image_shape, len(channels))
        height, width, image_channels = image_shape
        sizes = [image_channels, *channels]
        self.convolutions = nn.ModuleList(
            initialise(nn.Conv2d(inputs, outputs, KERNEL, STRIDE))
            for inputs, outputs in pairwise(sizes)
        )
        self.activation = build_activation(activation)
        rows, columns = (encoded_size(size, len(channels), KERNEL) for size in (height, width))
        self.features = channels[-1] * rows * columns

    def forward(
        self, images: UInt8[Tensor, "*shape height width channel"]
    ) -> Float[Tensor, "*shape feature"]:
        """Encode images."""
        values = normalise(images.reshape(-1, *images.shape[-3:]), self._dtype(images.device.type))
        value = values.permute(0, 3, 1, 2)  # channels stay last in memory
        for convolution in self.convolutions:
            value = self.activation(convolution(value))
        return value.permute(0, 2, 3, 1).reshape(*images.shape[:-3], self.features)

    def _dtype(self, device: str) -> torch.dtype:
        if torch.is_autocast_enabled(device):
            return torch.get_autocast_dtype(device)
        return next(self.parameters()).dtype


def normalise(
    images: UInt8[Tensor, "*shape"], dtype: torch.dtype = torch.float32
) -> Float[Tensor, "*shape"]:
    """Return `images / 255 - 1/2`."""
    # Half-integers up to 127.5 are exact in bfloat16, so only the division rounds; in place,
    # because fresh memory costs more than the arithmetic.
    return images.to(dtype).sub_(127.5).div_(255.0)


def build_activation(name: Activation) -> nn.Module:
    """Return the nonlinearity of this name; it overwrites its argument."""
    return nn.ELU(inplace=True) if name == "elu" else nn.ReLU(inplace=True)


def initialise(layer: nn.Module) -> nn.Module:
    """Give a layer Glorot-uniform weights and zero biases, and return it."""
    nn.init.xavier_uniform_(layer.weight)  # type: ignore[arg-type]
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer
