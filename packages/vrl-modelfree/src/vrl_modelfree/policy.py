"""A policy on stacked frames. The stack is the policy's memory, not the environment's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vrl_core.images import images_of


@dataclass(frozen=True)
class FrameMemory:
    """The last frames of each environment, newest last; none before the first observation.

    `frames` is `(environments, stack, height, width, channel)` uint8.
    """

    environments: int
    frames: np.ndarray | None = None


@dataclass(frozen=True)
class StackedFramesPolicy:
    """Acts by `mean_action`, from stacked images on `device` to actions `(batch, action)`."""

    mean_action: Callable[[Tensor], Tensor]
    image_shape: tuple[int, int, int]
    frame_stack: int
    device: torch.device

    def start(self, environments: int) -> FrameMemory:
        """Return the memory of that many fresh episodes."""
        return FrameMemory(environments)

    def act(
        self, observations: Mapping[str, np.ndarray], state: FrameMemory
    ) -> tuple[np.ndarray, FrameMemory]:
        """Choose the mean actions, `(environments, action)` float32 in [-1, 1].

        Of `observations` it reads `image`, `(environments, height, width, channel)` uint8.
        Raises `VRLError` when the images are not like those of the training data.
        """
        frames = self._push(images_of(observations, self.image_shape, state.environments), state)
        with torch.no_grad():
            action = self.mean_action(torch.from_numpy(frames).to(self.device))
        return action.float().cpu().numpy(), FrameMemory(state.environments, frames)

    def _push(self, image: np.ndarray, state: FrameMemory) -> np.ndarray:
        if state.frames is None:  # an episode's first frame stands for those before it
            return np.repeat(image[:, None], self.frame_stack, axis=1)
        return np.concatenate((state.frames[:, 1:], image[:, None]), axis=1)
