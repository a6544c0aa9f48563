"""DreamerV2's convolutional decoder: the mean of the image given the latent state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from vrl_worldmodel.encoder import Activation, build_activation, initialise
from vrl_worldmodel.image_sizes import STRIDE, decoder_kernels, require_size
from vrl_worldmodel.transposed_convolution import transposed_convolution

START_FACTOR = 32
"""Channels of a 1x1 start are this often the encoder's first ones, as in DreamerV2."""


class ConvolutionalDecoder(nn.Module):
    """A linear layer to a few pixels, then transposed convolutions of stride 2 up to the image.

    DreamerV2 (Hafner et al. 2021), Appendix D; V-D4RL, Appendix C.1. Means are in the encoder's
    scale, `image / 255 - 1/2`. The kernels follow from the image's size (`image_sizes`).
    Weights are Glorot-uniform and biases zero, as in the public code.
    """

    def __init__(
        self,
        feature_size: int,
        image_shape: tuple[int, int, int],
        channels: Sequence[int],
        activation: Activation,
    ) -> None:
        """Build for the encoder's `channels`; raises `VRLError` if images are too small."""
        super().__init__()
        require_size(image_shape, len(channels))
        self.image_shape = image_shape
        height, width, image_channels = image_shape
        (rows, row_kernels), (columns, column_kernels) = (
            decoder_kernels(size, len(channels)) for size in (height, width)
        )
        start = START_FACTOR * channels[0] if rows == columns == 1 else channels[-1]
        self.start_shape = (rows, columns, start)
        self.start = initialise(nn.Linear(feature_size, math.prod(self.start_shape)))
        sizes = [start, *reversed(channels[:-1]), image_channels]
        kernels = zip(row_kernels, column_kernels, strict=True)
        self.convolutions = nn.ModuleList(
            initialise(nn.ConvTranspose2d(inputs, outputs, kernel, STRIDE))
            for (inputs, outputs), kernel in zip(pairwise(sizes), kernels, strict=True)
        )
        self.activation = build_activation(activation)

    def forward(
        self, features: Float[Tensor, "*shape feature"]
    ) -> Float[Tensor, "*shape height width channel"]:
        """Return image means in the precision of the arithmetic."""
        shape = features.shape[:-1]
        value: Tensor = self.start(features).view(-1, *self.start_shape)
        value = value.permute(0, 3, 1, 2)  # channels stay last in memory
        last = len(self.convolutions) - 1
        for number, convolution in enumerate(self.convolutions):
            assert isinstance(convolution, nn.ConvTranspose2d)
            grown = transposed_convolution(value, convolution)
            value = self.activation(grown) if number < last else grown
        return value.permute(0, 2, 3, 1).reshape(*shape, *self.image_shape)
