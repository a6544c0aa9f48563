"""Several cameras and vectors as one vector of features."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vrl_core.image_encoder import Encoder
from vrl_core.observations import ObservationFields
from vrl_core.protocols import Observations
from vrl_core.standardisation import StandardisedVectors
from vrl_modelfree.config import PixelConfig


class ObservationEncoder(nn.Module):
    """An `Encoder` for each camera, and the standardised vectors as they are, side by side.

    One camera alone is its encoder's features, and what is saved is that encoder's weights.
    """

    def __init__(self, config: PixelConfig, fields: ObservationFields) -> None:
        """Raises `VRLError` when images are too small for the convolutions."""
        super().__init__()
        self.fields = fields
        cameras = [
            Encoder(shape, config.frame_stack, config.encoder_channels, config.encoder_strides)
            for shape in fields.cameras.values()
        ]
        self.cameras = nn.ModuleList(cameras)
        self.vectors = StandardisedVectors(fields) if fields.vectors else None
        self.features = sum(camera.features for camera in cameras) + fields.vector_size

    @property
    def network(self) -> nn.Module:
        """What is trained and saved."""
        return self.cameras[0] if self.fields.only_camera else self

    def forward(self, observation: Observations) -> Float[Tensor, "batch feature"]:
        """Encode images `(batch, stack, height, width, channel)` and vectors `(batch, number)`."""
        named = zip(self.fields.cameras, self.cameras, strict=True)
        parts: list[Tensor] = [camera(observation[name]) for name, camera in named]
        if self.vectors is not None:
            parts.append(self.vectors(observation))
        if len(parts) == 1:
            return parts[0]
        dtype = parts[0].dtype  # the convolutions' precision
        return torch.cat([part.to(dtype) for part in parts], -1)
