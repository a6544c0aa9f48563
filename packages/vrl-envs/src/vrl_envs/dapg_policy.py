"""DAPG's published Adroit policies: tanh networks in NumPy's own format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from vrl_core.errors import VRLError

LAYERS = 3
_SMALLEST_SCALE = 1e-8


@dataclass(frozen=True)
class DAPGPolicy:
    """A network with tanh between its layers: weights `(out, in)`, biases `(out,)`.

    Observations are shifted and scaled before it and actions after it, where the file says so.
    """

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    inputs: tuple[np.ndarray, np.ndarray]
    """Shift and scale of the observation, each `(observation,)`."""
    outputs: tuple[np.ndarray, np.ndarray]
    """Shift and scale of the action, each `(action,)`."""

    @classmethod
    def read(cls, path: Path) -> DAPGPolicy:
        """Read a policy. Raises `VRLError` when the file is not one."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: np.asarray(file[name], np.float64) for name in file.files}
        except (OSError, ValueError, BadZipFile) as error:
            raise VRLError(f"The policy {path} cannot be read: {error}.") from error
        missing = [name for name in _names() if name not in arrays]
        if missing:
            raise VRLError(
                f"{path} is no policy of DAPG: it has no {missing[0]}, only "
                f"{', '.join(sorted(arrays)) or 'nothing'}."
            )
        layers = tuple((arrays[f"weight_{n}"], arrays[f"bias_{n}"]) for n in range(LAYERS))
        sizes = (layers[0][0].shape[-1], layers[-1][0].shape[0])
        inputs, outputs = (
            _shift_and_scale(arrays, name, size)
            for name, size in zip(("in", "out"), sizes, strict=True)
        )
        return cls(layers, inputs, outputs)

    @property
    def observation_size(self) -> int:
        """Numbers in an observation."""
        return int(self.layers[0][0].shape[1])

    @property
    def action_size(self) -> int:
        """Numbers in an action."""
        return int(self.layers[-1][0].shape[0])

    def act(self, observation: np.ndarray) -> np.ndarray:
        """Return the mean action `(action,)` float64 of an observation; it may leave [-1, 1].

        Sums are NumPy's own, in double precision: no threaded library rounds them otherwise.
        """
        shift, scale = self.inputs
        value = (np.asarray(observation, np.float64) - shift) / (scale + _SMALLEST_SCALE)
        for index, (weight, bias) in enumerate(self.layers):
            value = np.einsum("oi,i->o", weight, value) + bias
            value = np.tanh(value) if index + 1 < LAYERS else value
        shift, scale = self.outputs
        action: np.ndarray = value * scale + shift
        return action


def _names() -> list[str]:
    return [f"{part}_{n}" for n in range(LAYERS) for part in ("weight", "bias")]


def _shift_and_scale(
    arrays: dict[str, np.ndarray], name: str, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return a shift and a scale `(size,)`; without any in the file, those that change nothing."""
    shift = arrays.get(f"{name}_shift", np.zeros(0))
    scale = arrays.get(f"{name}_scale", np.zeros(0))
    nothing = 1.0 - _SMALLEST_SCALE if name == "in" else 1.0
    return (
        shift if shift.size else np.zeros(size),
        scale if scale.size else np.full(size, nothing),
    )
