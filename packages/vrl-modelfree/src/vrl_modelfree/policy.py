"""A policy on stacked frames. The stack is the policy's memory, not the environment's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vrl_core.observations import ObservationFields
from vrl_core.protocols import Observations


@dataclass(frozen=True)
class FrameMemory:
    """The last frames of each environment, newest last; none before the first observation.

    Each camera's `frames` are `(environments, stack, height, width, channel)` uint8.
    """

    environments: int
    frames: Mapping[str, np.ndarray] | None = None


@dataclass(frozen=True)
class StackedFramesPolicy:
    """Acts by `mean_action`, from stacked images and newest vectors on `device`, to actions."""

    mean_action: Callable[[Observations], Tensor]
    fields: ObservationFields
    frame_stack: int
    device: torch.device

    @property
    def observations(self) -> tuple[str, ...]:
        """Names of the fields that it reads."""
        return self.fields.names

    def start(self, environments: int) -> FrameMemory:
        """Return the memory of that many fresh episodes."""
        return FrameMemory(environments)

    def act(
        self, observations: Mapping[str, np.ndarray], state: FrameMemory
    ) -> tuple[np.ndarray, FrameMemory]:
        """Choose the mean actions, `(environments, action)` float32 in [-1, 1].

        Of `observations` it reads its `fields`. Raises `VRLError` when they are not like those of
        the training data.
        """
        shown = self.fields.of(observations, state.environments)
        frames = {name: self._push(name, shown[name], state) for name in self.fields.cameras}
        inputs = {
            name: torch.from_numpy(value).to(self.device)
            for name, value in (shown | frames).items()
        }
        with torch.no_grad():
            action = self.mean_action(inputs)
        return action.float().cpu().numpy(), FrameMemory(state.environments, frames)

    def _push(self, name: str, image: np.ndarray, state: FrameMemory) -> np.ndarray:
        if state.frames is None:  # an episode's first frame stands for those before it
            return np.repeat(image[:, None], self.frame_stack, axis=1)
        return np.concatenate((state.frames[name][:, 1:], image[:, None]), axis=1)
