"""What Minari's metadata say of observations: their parts, and which of them are stored as JPEG."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vrl_core.episodes import FieldSpec
from vrl_core.errors import VRLError
from vrl_envs.readers.field_names import by_field, field_name

NUMBERS = ("Box", "Discrete", "MultiBinary", "MultiDiscrete")
SMALLEST_JPEG = 32
"""Height and width from which on Minari stores images as JPEG; smaller ones stay as they are."""


@dataclass(frozen=True)
class Part:
    """One part of the observations."""

    place: tuple[str | int, ...]
    """Keys of dictionaries and numbers in tuples that lead to it."""
    kind: str
    """Kind of space, such as `Box` or `Text`."""
    shape: tuple[int, ...]
    dtype: str
    jpeg: bool = False

    @property
    def name(self) -> str:
        """Name of the field: the keys, or `image` or `state` where there are none.

        Kitchen's keys have spaces, such as `light switch`.
        """
        if self.place:
            return field_name("_".join(str(key) for key in self.place))
        return "image" if self.is_image else "state"

    @property
    def is_image(self) -> bool:
        """Whether a row is an image `(height, width, channel)` uint8."""
        return self.dtype == "uint8" and len(self.shape) == 3

    @property
    def field(self) -> FieldSpec:
        """What a store holds of it."""
        return FieldSpec(self.shape, "uint8" if self.dtype == "uint8" else "float32")


def parts_of(path: Path, metadata: Mapping[str, Any]) -> list[Part]:
    """Return the parts of a dataset's observations.

    Where the metadata do not say, as before Minari 0.5.4, images may be JPEGs, and what is stored
    tells. Raises `VRLError` for spaces that are neither numbers nor texts, or for texts alone.
    """
    jpeg = bool(metadata.get("jpeg_encoding", True))
    parts = list(_parts(path, metadata["observation_space"], (), jpeg))
    by_field({"/".join(map(str, part.place)): part.name for part in parts}, path)
    if all(part.kind == "Text" for part in parts):
        raise VRLError(f"Observations of the Minari dataset {path} are texts alone.")
    return parts


def _parts(
    path: Path, space: Mapping[str, Any], place: tuple[str | int, ...], jpeg: bool
) -> Iterator[Part]:
    kind, inner = space["type"], space.get("subspaces", ())
    if kind == "Dict":
        for key, part in inner.items():
            yield from _parts(path, part, (*place, key), jpeg)
    elif kind == "Tuple":
        for number, part in enumerate(inner):
            yield from _parts(path, part, (*place, number), jpeg)
    elif kind in NUMBERS:
        encoded = jpeg and kind == "Box" and _is_jpeg(space)
        yield Part(place, kind, _shape(space), str(space.get("dtype", "int8")), encoded)
    elif kind == "Text":
        yield Part(place, kind, (), "text")
    else:
        raise VRLError(
            f"The Minari dataset {path} has observations of {kind}; VRL reads numbers: "
            f"{', '.join(NUMBERS)}, in Dict and Tuple."
        )


def _shape(space: Mapping[str, Any]) -> tuple[int, ...]:
    if space["type"] == "Box":
        return tuple(int(size) for size in space["shape"])
    if space["type"] == "MultiDiscrete":
        return np.shape(space["nvec"])
    return tuple(np.atleast_1d(space["n"]).tolist()) if space["type"] == "MultiBinary" else ()


def _is_jpeg(space: Mapping[str, Any]) -> bool:
    """Return whether Minari takes a box for an image."""
    shape = space["shape"]
    sizes = len(shape) in (2, 3) and min(shape[:2]) >= SMALLEST_JPEG
    return bool(
        sizes
        and space["dtype"] == "uint8"
        and np.all(np.asarray(space["low"]) == 0)
        and np.all(np.asarray(space["high"]) == 255)
    )


def decoded(encoded: Sequence[Any], part: Part) -> np.ndarray:
    """Decode JPEGs into frames `(rows, ...)` uint8. Raises `ValueError` for other sizes."""
    from PIL import Image

    frames = np.empty((len(encoded), *part.shape), np.uint8)
    for row, content in enumerate(encoded):
        with Image.open(io.BytesIO(bytes(content))) as image:
            frame = np.asarray(image)
        if frame.shape != part.shape:
            raise ValueError(f"frame {row} of {part.name} has shape {frame.shape}")
        frames[row] = frame
    return frames
