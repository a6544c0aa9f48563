"""A policy on state vectors. It has no memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vrl_core.episodes import DataSpec
from vrl_core.errors import VRLError

STATE = "state"
"""The observation field that holds the state."""


@dataclass(frozen=True)
class StatePolicy:
    """Acts by `mean_action`, from states on `device` to actions `(batch, action)`."""

    mean_action: Callable[[Tensor], Tensor]
    state_size: int
    device: torch.device

    def start(self, environments: int) -> None:
        """Return the memory of that many fresh episodes: none."""

    def act(self, observations: Mapping[str, np.ndarray], state: None) -> tuple[np.ndarray, None]:
        """Choose the mean actions, `(environments, action)` float32 in [-1, 1].

        Of `observations` it reads `state`, `(environments, number)`. Raises `VRLError` when the
        states are not of the training data's size.
        """
        found = observations.get(STATE)
        if found is None or found.ndim != 2 or found.shape[1] != self.state_size:
            shapes = {name: value.shape for name, value in observations.items()}
            raise VRLError(
                f"This policy was trained on states of {self.state_size} numbers and expects a "
                f"field `state` of shape (environments, {self.state_size}); the environment gives "
                f"{shapes}. Evaluate in an environment with the training data's states."
            )
        states = torch.from_numpy(np.ascontiguousarray(found, dtype=np.float32)).to(self.device)
        with torch.no_grad():
            action = self.mean_action(states)
        return action.float().cpu().numpy(), state


def state_size(spec: DataSpec, algorithm: str) -> int:
    """Return how many numbers the data's states have; raises `VRLError` without such a field."""
    field = spec.observations.get(STATE)
    if field is None or len(field.shape) != 1 or field.dtype != "float32":
        found = {name: (value.shape, value.dtype) for name, value in spec.observations.items()}
        raise VRLError(
            f"{algorithm} learns from an observation field `state` of shape (number,) and dtype "
            f"float32; this data has {found or 'no observations'}. Use a dataset with states, or "
            "an algorithm for images."
        )
    return field.shape[0]
