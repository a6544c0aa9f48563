"""The observation fields that algorithms learn from: cameras' images and vectors.

A field of shape (height, width, channel) and dtype uint8 is a *camera*; one of shape (number,) and
dtype float32 is a *vector*: proprioception, a goal, or the whole state. Other fields can be stored,
but no algorithm reads them. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vrl_core.episodes import DataSpec, FieldSpec
from vrl_core.errors import VRLError, unknown_name

MAIN_CAMERA = "image"
"""The camera that comes first, and that is shown where only one can be."""

ImageShape = tuple[int, int, int]
"""Height, width, channel."""


@dataclass(frozen=True, kw_only=True)
class ObservationFields:
    """Fields in the order in which networks read them, which no order in a file changes.

    First the cameras, `image` before the others; then the vectors; by name among themselves.
    """

    cameras: Mapping[str, ImageShape]
    vectors: Mapping[str, int]
    """How many numbers each vector has."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all fields."""
        return (*self.cameras, *self.vectors)

    @property
    def vector_size(self) -> int:
        """Numbers in all vectors together."""
        return sum(self.vectors.values())

    @property
    def main_camera(self) -> str | None:
        """The first camera; none without images."""
        return next(iter(self.cameras), None)

    @property
    def only_camera(self) -> str | None:
        """The camera, where one image is all that there is."""
        return self.main_camera if len(self.names) == 1 else None

    def of(
        self, observations: Mapping[str, np.ndarray], environments: int
    ) -> dict[str, np.ndarray]:
        """Return these fields of what environments show, `(environments, ...)`, uint8 or float32.

        Raises `VRLError` when one is missing, or is not as in the training data.
        """
        images = {
            name: _checked(self, observations, name, (environments, *shape), image=True)
            for name, shape in self.cameras.items()
        }
        vectors = {
            name: _checked(self, observations, name, (environments, size), image=False)
            for name, size in self.vectors.items()
        }
        return images | vectors


def is_camera(field: FieldSpec) -> bool:
    """Whether a field holds images."""
    return len(field.shape) == 3 and field.dtype == "uint8"


def is_vector(field: FieldSpec) -> bool:
    """Whether a field holds vectors."""
    return len(field.shape) == 1 and field.dtype == "float32"


def images_alone(shape: ImageShape) -> ObservationFields:
    """Return the fields of data with one camera, `image`, and nothing else."""
    return ObservationFields(cameras={MAIN_CAMERA: shape}, vectors={})


def choose_fields(
    spec: DataSpec, wanted: Sequence[str] | None, algorithm: str
) -> ObservationFields:
    """Return the fields that an algorithm learns from: those wanted, or every camera and vector.

    Raises `VRLError` for a field that the data lacks or that is neither, and for none at all.
    """
    known = {name: spec.observations[name] for name in _in_order(spec.observations)}
    if wanted is None:
        chosen = [name for name, field in known.items() if is_camera(field) or is_vector(field)]
    else:
        chosen = [name for name in known if name in _checked_names(spec, wanted)]
    if not chosen:
        found = {name: (field.shape, field.dtype) for name, field in known.items()}
        raise VRLError(
            f"{algorithm} learns from observation fields that are images, such as `image`, of "
            "shape (height, width, channel) and dtype uint8, or vectors, such as `state`, of shape "
            f"(number,) and dtype float32; it was given none: this data has "
            f"{found or 'no observations'}. Use a dataset with such fields"
            f"{' and name them in --observations' if wanted is not None else ''}."
        )
    cameras = [name for name in chosen if is_camera(known[name])]
    vectors = [name for name in chosen if is_vector(known[name])]
    return ObservationFields(
        cameras={name: _image_shape(known[name]) for name in cameras},
        vectors={name: known[name].shape[0] for name in vectors},
    )


def narrowed(spec: DataSpec, fields: ObservationFields) -> DataSpec:
    """Return the description of data with these observation fields alone."""
    return replace(spec, observations={name: spec.observations[name] for name in fields.names})


def require_weights_of(
    fields: ObservationFields, mine: Iterable[str], stored: Iterable[str]
) -> None:
    """Raise `VRLError` when a checkpoint's weights are not those of a network on these fields."""
    if set(mine) != set(stored):
        raise VRLError(
            f"The checkpoint holds no network on {', '.join(fields.names)}. Was it made on other "
            "fields? Runs of a version that read images alone say nothing of them: add "
            "`observations: [image]` to `algorithm` in the run's config.yaml."
        )


def side_by_side(images: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Return one picture of several cameras, `(..., height, width, channel)`; None of none.

    The main camera is at the left; cameras of another height or channels than its are left out.
    """
    ordered = [images[name] for name in _in_order(images)]
    if len(ordered) < 2:
        return ordered[0] if ordered else None
    first = ordered[0].shape
    like = [each for each in ordered if (each.shape[-3], each.shape[-1]) == (first[-3], first[-1])]
    return np.concatenate(like, axis=-2)


def _in_order(names: Mapping[str, object]) -> list[str]:
    return sorted(names, key=lambda name: (name != MAIN_CAMERA, name))


def _checked_names(spec: DataSpec, wanted: Sequence[str]) -> Sequence[str]:
    for name in wanted:
        field = spec.observations.get(name)
        if field is None:
            raise unknown_name(
                "observation field", name, spec.observations, "Name fields of the data."
            )
        if not (is_camera(field) or is_vector(field)):
            raise VRLError(
                f"The observation field {name!r} has shape {field.shape} and dtype {field.dtype}: "
                "it is neither an image, (height, width, channel) uint8, nor a vector, (number,) "
                "float32. Leave it out of --observations."
            )
    return wanted


def _image_shape(field: FieldSpec) -> ImageShape:
    height, width, channel = field.shape
    return height, width, channel


def _checked(
    fields: ObservationFields,
    observations: Mapping[str, np.ndarray],
    name: str,
    shape: tuple[int, ...],
    *,
    image: bool,
) -> np.ndarray:
    """Return a field that has this shape, as it is if it is an image, in float32 if a vector."""
    value = observations.get(name)
    if value is None or value.shape != shape or (value.dtype == np.uint8) != image:
        found = {name: (value.shape, str(value.dtype)) for name, value in observations.items()}
        kind = "uint8" if image else "float32"
        raise VRLError(
            f"This policy was trained on {', '.join(fields.names)} and expects a field {name!r} of "
            f"shape {shape}, {kind}; the environment gives {found}. Evaluate in an environment "
            "with the training data's fields and sizes, or train on fewer fields "
            "(--observations)."
        )
    return value if image else np.ascontiguousarray(value, dtype=np.float32)
