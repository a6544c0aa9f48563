"""DAPG's published policies as plain arrays, evaluated with NumPy: no torch and no pickle.

A file has `weight_0` `(out, in)`, `bias_0` `(out,)`, `weight_1`, ... of tanh layers and, unless
empty or left out, `in_shift`, `in_scale` `(state,)`, `out_shift`, `out_scale` `(action,)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from vrl_core.errors import VRLError

SCALES = ("in_shift", "in_scale", "out_shift", "out_scale")
SMALLEST_SCALE = 1e-8
"""Added to `in_scale`, as DAPG's networks do."""


@dataclass(frozen=True)
class DAPGPolicy:
    """A tanh network with shifted and scaled input and output (DAPG's, Rajeswaran et al. 2018)."""

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    """Weights `(out, in)` and biases `(out,)`."""
    in_shift: np.ndarray
    in_scale: np.ndarray
    out_shift: np.ndarray
    out_scale: np.ndarray

    @classmethod
    def read(cls, path: Path) -> DAPGPolicy:
        """Read a policy. Raises `VRLError` when the file is not one."""
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: np.asarray(archive[name], np.float64) for name in archive.files}
        except (OSError, ValueError, TypeError, BadZipFile) as error:
            raise VRLError(f"The expert {path} cannot be read as plain arrays: {error}") from error
        count = sum(name.startswith("weight_") for name in arrays)
        names = [(f"weight_{n}", f"bias_{n}") for n in range(count)]
        if not names or any(name not in arrays for pair in names for name in pair):
            raise VRLError(
                f"{path} is no expert policy: it holds {', '.join(sorted(arrays)) or 'nothing'}; "
                "weight_0, bias_0, weight_1, bias_1, ... are expected."
            )
        layers = tuple((arrays[weight], arrays[bias]) for weight, bias in names)
        _check_layers(path, layers)
        sizes = {"in": layers[0][0].shape[1], "out": len(layers[-1][1])}
        scales = [_scale(path, arrays, name, sizes[name.partition("_")[0]]) for name in SCALES]
        return cls(layers, *scales)

    @property
    def observation_size(self) -> int:
        """Numbers in a state vector."""
        return int(self.layers[0][0].shape[1])

    @property
    def action_size(self) -> int:
        """Numbers in an action."""
        return len(self.layers[-1][1])

    def action(self, state: np.ndarray) -> np.ndarray:
        """Return the mean action `(action,)` float64 for a state `(state,)`; it has no bounds."""
        value = (np.asarray(state, np.float64) - self.in_shift) / (self.in_scale + SMALLEST_SCALE)
        for index, (weight, bias) in enumerate(self.layers):
            # Summed by NumPy's own loops: a rounding that depends on threads would grow.
            value = np.einsum("oi,i->o", weight, value) + bias
            if index + 1 < len(self.layers):
                value = np.tanh(value)
        action: np.ndarray = value * self.out_scale + self.out_shift
        return action


def _check_layers(path: Path, layers: tuple[tuple[np.ndarray, np.ndarray], ...]) -> None:
    width = layers[0][0].shape[-1]
    for number, (weight, bias) in enumerate(layers):
        if weight.ndim != 2 or bias.shape != weight.shape[:1] or weight.shape[1] != width:
            raise VRLError(
                f"{path} has weight_{number} of shape {weight.shape} and bias_{number} of "
                f"{bias.shape} where {width} numbers come in; they do not fit together."
            )
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise VRLError(f"{path} has numbers in weight_{number} or bias_{number} that are none.")
        width = len(bias)


def _scale(path: Path, arrays: dict[str, np.ndarray], name: str, size: int) -> np.ndarray:
    given = arrays.get(name, np.zeros(0))
    if given.size == 0:
        # With this input scale nothing changes, not even by what is added to it.
        neutral = {"in_scale": 1 - SMALLEST_SCALE, "out_scale": 1.0}
        return np.full(size, neutral.get(name, 0.0))
    if given.shape != (size,) or not np.isfinite(given).all():
        raise VRLError(f"{path} has {name} of shape {given.shape}; expected ({size},), all finite.")
    return given
