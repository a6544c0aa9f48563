"""A behaviour policy evaluated with NumPy: collecting data needs no torch.

The same mathematics as `vrl_core.soft_actor_critic.TanhGaussianActor`. Products are summed by
NumPy's own loops in double precision, never by a threaded library, because a rounding that
depends on the number of threads would grow into another episode.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from vrl_core.atomic import replacing
from vrl_core.errors import VRLError
from vrl_envs.qualities import block_of


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
        layers = _read_layers(path)
        if layers[0][0].ndim != 2:
            raise VRLError(
                f"{path} holds {len(layers[0][0])} policies of one training, the behaviour "
                "'mixed', where a single one is asked for."
            )
        return cls(layers)

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


@dataclass(frozen=True)
class PolicyHistory:
    """Policies of one training, from its first to its last: what acts in `mixed` data."""

    policies: tuple[BehaviourPolicy, ...]

    @classmethod
    def read(cls, path: Path) -> PolicyHistory:
        """Read a file of `write_history`. Raises `VRLError` when the file is not one."""
        layers = _read_layers(path)
        shapes = {(weight.ndim, bias.ndim, len(weight), len(bias)) for weight, bias in layers}
        count = len(layers[0][0])
        if shapes != {(3, 2, count, count)}:
            raise VRLError(
                f"{path} holds a single policy; the behaviour 'mixed' is several of one training, "
                "with a leading axis for them."
            )
        return cls(
            tuple(
                BehaviourPolicy(tuple((weight[n], bias[n]) for weight, bias in layers))
                for n in range(count)
            )
        )

    @property
    def observation_size(self) -> int:
        """Numbers in a state vector."""
        return self.policies[0].observation_size

    @property
    def action_size(self) -> int:
        """Numbers in an action."""
        return self.policies[0].action_size

    def acting(self, episodes: int, index: int) -> BehaviourPolicy:
        """Return who acts in an episode: each has as many, in the order of the training."""
        return self.policies[block_of(len(self.policies), episodes, index)]


def write_history(path: Path, policies: Sequence[Path]) -> PolicyHistory:
    """Write saved actors, first to last, as one file in half precision, and return what it holds.

    Raises `VRLError` when one cannot be read or is of other sizes.
    """
    read = [_read_layers(each) for each in policies]
    sizes = {tuple(weight.shape for weight, _ in layers) for layers in read}
    if len(sizes) != 1:
        raise VRLError(f"{len(sizes)} sizes of policies cannot be one training's: {sizes or ''}.")
    tensors = {}
    for number, layer in enumerate(zip(*read, strict=True)):
        weights, biases = zip(*layer, strict=True)
        tensors[f"network.{2 * number}.weight"] = np.stack(weights).astype(np.float16)
        tensors[f"network.{2 * number}.bias"] = np.stack(biases).astype(np.float16)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        save_file(tensors, partial)
    return PolicyHistory.read(path)


def _read_layers(path: Path) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Read weights and biases, first layer to last. Raises `VRLError` when there are none."""
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
    return tuple((w.astype(np.float64), b.astype(np.float64)) for w, b in pairs)
