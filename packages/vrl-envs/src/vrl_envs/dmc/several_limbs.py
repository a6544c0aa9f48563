"""A task whose limb length is drawn at each reset (V-D4RL, Section 4.2)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np

from vrl_envs.dmc.config import DMC
from vrl_envs.dmc.environment import LARGEST_SEED, DMCEnvironment


class SeveralLimbs(gymnasium.Env[Any, Any]):
    """The same task with each of several limb lengths; an episode is of one of them.

    `reset(seed=s)` chooses by the seed, and says which in its info under `limb`.
    """

    def __init__(self, config: DMC) -> None:
        """Load the task once for each length. Raises `VRLError` as `DMCEnvironment` does."""
        self.config = config
        self.render_mode = "rgb_array"
        self._environments = [DMCEnvironment(replace(config, limb=limb)) for limb in config.limbs]
        self._chosen = self._environments[0]
        self.metadata = self._chosen.metadata
        self.action_space = self._chosen.action_space
        self.observation_space = self._chosen.observation_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode with one of the lengths, all equally likely."""
        super().reset(seed=seed)
        number = int(self.np_random.integers(len(self._environments)))
        self._chosen = self._environments[number]
        first = int(self.np_random.integers(LARGEST_SEED)) if seed is None else seed
        observation, info = self._chosen.reset(seed=first, options=options)
        return observation, {**info, "limb": self.config.limbs[number]}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take a step in the episode that is going on."""
        return self._chosen.step(action)

    def render(self) -> np.ndarray:
        """Return the image `(size, size, 3)` uint8 of the current state: the observation's."""
        return self._chosen.render()

    def close(self) -> None:
        """Free the renderers and the simulators."""
        for environment in self._environments:
            environment.close()
