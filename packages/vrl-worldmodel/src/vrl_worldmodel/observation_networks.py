"""Encoder and decoder of cameras and vectors: convolutions for each, and dense layers."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from vrl_core.observations import ObservationFields
from vrl_core.protocols import Observations
from vrl_core.standardisation import StandardisedVectors
from vrl_worldmodel.config import WorldModelConfig
from vrl_worldmodel.decoder import ConvolutionalDecoder
from vrl_worldmodel.encoder import ConvolutionalEncoder
from vrl_worldmodel.heads import VectorHead, dense


class ObservationEncoder(nn.Module):
    """Features of each camera's convolutions and of dense layers on the vectors, side by side."""

    def __init__(self, config: WorldModelConfig, fields: ObservationFields) -> None:
        """Raises `VRLError` when images are too small for the convolutions."""
        super().__init__()
        self.fields = fields
        cameras = [
            ConvolutionalEncoder(shape, config.channels, config.convolution_activation)
            for shape in fields.cameras.values()
        ]
        self.cameras = nn.ModuleList(cameras)
        self.features = sum(camera.features for camera in cameras)
        self.vectors: StandardisedVectors | None = None
        if fields.vectors:
            self.vectors = StandardisedVectors(fields)
            self.dense = dense([fields.vector_size, *config.vector_layers])
            self.features += config.vector_layers[-1]

    def forward(self, observations: Observations) -> Float[Tensor, "*shape feature"]:
        """Encode images `(..., height, width, channel)` and vectors `(..., number)`."""
        named = zip(self.fields.cameras, self.cameras, strict=True)
        parts: list[Tensor] = [camera(observations[name]) for name, camera in named]
        if self.vectors is not None:
            parts.append(functional.elu(self.dense(self.vectors(observations))))
        return torch.cat(parts, -1)


class ObservationDecoder(nn.Module):
    """The mean of every camera's image, and of the standardised vectors, given the latent state."""

    def __init__(
        self, config: WorldModelConfig, fields: ObservationFields, feature_size: int
    ) -> None:
        """Raises `VRLError` when images are too small for the convolutions."""
        super().__init__()
        activation = config.convolution_activation
        self.cameras = nn.ModuleList(
            ConvolutionalDecoder(feature_size, shape, config.channels, activation)
            for shape in fields.cameras.values()
        )
        if fields.vectors:
            self.vectors = VectorHead(feature_size, config.vector_layers, fields.vector_size)
