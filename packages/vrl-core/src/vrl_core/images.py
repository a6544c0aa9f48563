"""The field `image`, as every algorithm on images asks for it: in data, and from environments."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vrl_core.episodes import DataSpec
from vrl_core.errors import VRLError


def image_shape(spec: DataSpec, algorithm: str) -> tuple[int, int, int]:
    """Return (height, width, channel) of the data's images; raises `VRLError` without any."""
    field = spec.observations.get("image")
    if field is None or len(field.shape) != 3 or field.dtype != "uint8":
        found = {name: (value.shape, value.dtype) for name, value in spec.observations.items()}
        raise VRLError(
            f"{algorithm} learns from an observation field `image` of shape (height, width, "
            f"channel) and dtype uint8; this data has {found or 'no observations'}. "
            "Use a dataset with images, or an algorithm for state vectors."
        )
    height, width, channel = field.shape
    return height, width, channel


def images_of(
    observations: Mapping[str, np.ndarray], shape: tuple[int, int, int], environments: int
) -> np.ndarray:
    """Return the images `(environments, height, width, channel)` uint8 that a policy acts on.

    Raises `VRLError` when they are not like those of its training data.
    """
    image = observations.get("image")
    wanted = (environments, *shape)
    if image is None or image.shape != wanted or image.dtype != np.uint8:
        found = {name: (value.shape, str(value.dtype)) for name, value in observations.items()}
        raise VRLError(
            f"This policy was trained on images {shape} (height, width, channel) "
            f"and expects a field `image` of shape {wanted}, uint8; the environment gives "
            f"{found}. Evaluate in an environment with the training data's image size."
        )
    return image
