"""Episodes of MetaWorld's scripted policies, as they are or with noise on their actions.

Episode i depends on the configuration and i alone, as in `dmc.dataset`. An expert's episodes are
demonstrations: where one fails, the next attempt at the same i, with seeds of its own, is kept.
"""

from __future__ import annotations

import warnings
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
from vrl_envs.metaworld.config import MetaWorldDataset
from vrl_envs.metaworld.environment import MetaWorldEnvironment
from vrl_envs.metaworld.tasks import TASKS
from vrl_envs.qualities import quality_of
from vrl_envs.releases import METAWORLD

# After the environment, which chooses the way of drawing before MuJoCo is imported.
from metaworld.policies import ENV_POLICY_MAP  # isort: skip

ATTEMPTS = 50
"""Failures in a row after which an expert is taken for one that cannot solve the task."""


class MetaWorldEpisodes:
    """Episodes that a scripted policy acts out when they are asked for."""

    def __init__(self, config: MetaWorldDataset) -> None:
        """Load the task. Raises `VRLError` when nothing can draw."""
        self.config = config
        self.environment = MetaWorldEnvironment(config.environment())
        layout = layout_of(self.environment)
        self.spec = describe("metaworld", config, layout, METAWORLD.versions())
        scripted: Any = ENV_POLICY_MAP[TASKS[config.task]]
        self.policy = scripted()

    def __len__(self) -> int:
        return self.config.length()

    def __getitem__(self, index: int, /) -> Episode:
        """Act out episode `index`. Raises `VRLError` when an expert fails time after time."""
        check_index(index, len(self))
        quality = quality_of(self.config.quality, len(self), index)
        if quality != "expert":
            return self._attempt(quality, index, 0)
        return first_success(
            partial(self._attempt, quality, index),
            was_solved,
            ATTEMPTS,
            f"The scripted policy of {self.config.task} failed in {ATTEMPTS} episodes of "
            f"{self.config.horizon} simulator steps, with noise {self.config.noise_of('expert'):g} "
            f"and an action repeat of {self.config.action_repeat}. Ask for a longer horizon (up to "
            "500) or for less noise.",
        )

    def close(self) -> None:
        """Free the simulator and its renderer."""
        self.environment.close()

    def _attempt(self, quality: str, index: int, attempt: int) -> Episode:
        seed, noise = episode_streams(self.config.seed, index, attempt)

        def act(_observation: Any) -> np.ndarray:
            if quality == "random":
                return uniform_action(noise, self.spec.action_size)
            wanted = self.policy.get_action(self.environment.state())
            return noisy_action(wanted, self.config.noise_of(quality), noise)

        with warnings.catch_warnings():
            # The policies aim beyond what an action can do and warn of it at every step.
            warnings.filterwarnings("ignore", message=r"Constant\(s\) may be too high")
            info = {"seed": seed, "behaviour": quality}
            return run_episode(self.environment, seed, act, info)
