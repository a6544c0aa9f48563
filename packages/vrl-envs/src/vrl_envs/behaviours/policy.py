"""A behaviour policy evaluated with NumPy: collecting data needs no torch.

The same mathematics as `vrl_core.soft_actor_critic.TanhGaussianActor`. Products are summed by
NumPy's own loops in double precision, never by a threaded library, because a rounding that
depends on the number of threads would grow into another episode.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from vrl_core.errors import VRLError


class Acting(Protocol):
    """Whatever acts on states."""

    @property
    def observation_size(self) -> int:
        """Numbers in a state vector."""

    @property
    def action_size(self) -> int:
        """Numbers in an action."""


def require_fit(policy: Acting, path: Path, task: str, state_size: int, action_size: int) -> None:
    """Raise `VRLError` when a policy that was read from a file has not the sizes of a task."""
    if (policy.observation_size, policy.action_size) != (state_size, action_size):
        raise VRLError(
            f"The behaviour {path} takes {policy.observation_size} state numbers and gives "
            f"{policy.action_size} actions; {task} has {state_size} and {action_size}. It is "
            "another task's."
        )


LOG_STD_BOUNDS = (-5.0, 2.0)
"""Bounds of the logarithm of the standard deviation, as in `TanhGaussianActor`."""


@dataclass(frozen=True)
class BehaviourPolicy:
    """A tanh-squashed Gaussian policy: weights `(out, in)` and biases `(out,)` of ReLU layers."""

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]

    @classmethod
    def read(cls, path: Path) -> BehaviourPolicy:
        """Read a saved actor. Raises `VRLError` when the file is not one."""
        try:
            tensors = load_file(path)
        except (SafetensorError, OSError) as error:
            raise VRLError(f"The behaviour policy {path} cannot be read: {error}.") from error
        numbers = [re.fullmatch(r"network\.(\d+)\.weight", name) for name in tensors]
        names = [f"network.{n}" for n in sorted(int(match[1]) for match in numbers if match)]
        expected = {f"{name}.{part}" for name in names for part in ("weight", "bias")}
        if not names or set(tensors) != expected:
            raise VRLError(
                f"{path} is no behaviour policy: it holds {', '.join(sorted(tensors)) or 'nothing'}"
                "; layers network.N.weight and network.N.bias are expected."
            )
        pairs = ((tensors[f"{name}.weight"], tensors[f"{name}.bias"]) for name in names)
        return cls(tuple((w.astype(np.float64), b.astype(np.float64)) for w, b in pairs))

    @property
    def observation_size(self) -> int:
        """Numbers in a state vector."""
        return int(self.layers[0][0].shape[1])

    @property
    def action_size(self) -> int:
        """Numbers in an action."""
        return int(self.layers[-1][0].shape[0]) // 2

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """Widths of the hidden layers."""
        return tuple(len(bias) for _, bias in self.layers[:-1])

    def distribution(self, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation before the tanh, each `(action,)`, of a state."""
        value = np.asarray(state, np.float64)
        for index, (weight, bias) in enumerate(self.layers):
            value = np.einsum("oi,i->o", weight, value) + bias
            if index + 1 < len(self.layers):
                value = np.maximum(value, 0)
        mean, raw = np.split(value, 2)
        low, high = LOG_STD_BOUNDS
        return mean, np.exp(low + 0.5 * (high - low) * (np.tanh(raw) + 1))

    def sample(self, state: np.ndarray, noise: np.random.Generator) -> np.ndarray:
        """Draw an action `(action,)` float32 in [-1, 1]: `tanh(mean + std * normal)`."""
        mean, std = self.distribution(state)
        action: np.ndarray = np.tanh(mean + std * noise.standard_normal(len(mean)))
        return action.astype(np.float32)
