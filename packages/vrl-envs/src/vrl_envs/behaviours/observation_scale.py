"""Observations on one scale for a learner, folded into the first layer of the policy it leaves.

Joint speeds are ten times as large as joint angles, and a network that sees both as they are
learns from the speeds first (Lee et al. 2024, "SimBa", Section 4: running statistics).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

LEAST_DEVIATION = 1e-2
"""Numbers that hardly vary are not blown up."""


class ObservationScale:
    """Running mean and variance of every number of an observation."""

    def __init__(self, size: int) -> None:
        self.count = 0
        self.mean = np.zeros(size, np.float64)
        self.squares = np.zeros(size, np.float64)  # sum of squared distances from the mean
        self._renew()

    def add(self, observations: np.ndarray) -> None:
        """Take `(row, size)` observations into account (Chan's parallel update)."""
        count, mean = len(observations), observations.mean(0, dtype=np.float64)
        total = self.count + count
        difference = mean - self.mean
        self.squares += np.square(observations - mean).sum(0)
        self.squares += difference**2 * self.count * count / total
        self.mean += difference * count / total
        self.count = total
        self._renew()

    def _renew(self) -> None:
        deviation = np.sqrt(self.squares / max(self.count, 1)) if self.count else 1.0
        self._shift = torch.from_numpy(self.mean.astype(np.float32))
        self._factor = torch.from_numpy(
            (1 / np.maximum(deviation, LEAST_DEVIATION) * np.ones_like(self.mean)).astype(
                np.float32
            )
        )

    def __call__(self, observation: Tensor) -> Tensor:
        """Return observations `(..., size)` less their mean, divided by their deviation."""
        return (observation - self._shift) * self._factor

    def folded(self, actor: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights of an actor that takes the observations as they are."""
        state = {name: value.clone() for name, value in actor.items()}
        weight = actor["network.0.weight"] * self._factor
        state["network.0.weight"] = weight
        state["network.0.bias"] = actor["network.0.bias"] - weight @ self._shift
        return state

    def tensors(self) -> dict[str, Tensor]:
        """Return what `restore` needs."""
        return {
            "count": torch.tensor(self.count),
            "mean": torch.from_numpy(self.mean.copy()),
            "squares": torch.from_numpy(self.squares.copy()),
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put `tensors` back."""
        self.count = int(tensors["count"])
        self.mean = tensors["mean"].numpy().copy()
        self.squares = tensors["squares"].numpy().copy()
        self._renew()
