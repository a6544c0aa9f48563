"""Episodes collected at the simulated desk.

Episode i depends on the configuration and i alone, as in `dmc.dataset`. An expert's episodes are
demonstrations: where one fails, the next attempt at the same i, with seeds of its own, is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from vrl_core.episodes import Episode
from vrl_core.evaluation_workers import layout_of
from vrl_envs.collection import (
    check_index,
    describe,
    episode_streams,
    first_success,
    noisy_action,
    run_episode,
    uniform_action,
    was_solved,
)
from vrl_envs.desk.behaviour import Exploration, closing_action
from vrl_envs.desk.config import DeskDataset
from vrl_envs.desk.environment import DeskEnvironment
from vrl_envs.qualities import quality_of
from vrl_envs.releases import MUJOCO

Behaviour = Callable[[Any], np.ndarray]
"""From an observation, which nobody at the desk reads, to an action `(3,)` float32."""
ATTEMPTS = 20
"""Failures in a row after which the script is taken for one that cannot close the drawer."""


class DeskEpisodes:
    """Episodes that a behaviour acts out when they are asked for."""

    def __init__(self, config: DeskDataset) -> None:
        """Load the desk. Raises `VRLError` when nothing can draw."""
        self.config = config
        self.environment = DeskEnvironment(config.environment())
        self.spec = describe(
            "desk",
            config,
            layout_of(self.environment),
            MUJOCO.versions(),
            source="VRL, a simulated stand-in",
        )

    def __len__(self) -> int:
        return self.config.length()

    def __getitem__(self, index: int, /) -> Episode:
        """Act out episode `index`. Raises `VRLError` when the expert fails time after time."""
        check_index(index, len(self))
        quality = quality_of(self.config.quality, len(self), index)
        if quality != "expert":
            return self._attempt(quality, index, 0)
        return first_success(
            partial(self._attempt, quality, index),
            was_solved,
            ATTEMPTS,
            f"The script failed to close the drawer in {ATTEMPTS} episodes of "
            f"{self.config.horizon} steps with noise {self.config.noise:g}. Ask for a longer "
            "horizon or for less noise.",
        )

    def close(self) -> None:
        """Free the renderer."""
        self.environment.close()

    def _attempt(self, quality: str, index: int, attempt: int) -> Episode:
        seed, rng = episode_streams(self.config.seed, index, attempt)
        info = {"seed": seed, "behaviour": quality}
        return run_episode(self.environment, seed, self._behaviour(quality, rng), info)

    def _behaviour(self, quality: str, rng: np.random.Generator) -> Behaviour:
        if quality == "random":
            return lambda _: uniform_action(rng, 3)
        if quality == "exploration":
            exploring = Exploration(self.environment, rng, self.config.interest)
            return lambda _: exploring.action()
        noise = self.config.noise_of(quality)
        return lambda _: noisy_action(closing_action(self.environment), noise, rng)
