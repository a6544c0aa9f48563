"""Episodes of MetaWorld's scripted policies, as they are or with noise on their actions.

Episode i depends on the configuration and i alone, as in `dmc.dataset`. An expert's episodes are
demonstrations: where one fails, the next attempt at the same i, with seeds of its own, is kept.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from vrl_core.episodes import DataSpec, Episode
from vrl_core.errors import VRLError
from vrl_core.evaluation_workers import layout_of
from vrl_envs.collection import (
    check_index,
    environment_data,
    episode_streams,
    run_episode,
    uniform_action,
)
from vrl_envs.drawing.revision import drawing_versions
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
        self.spec = describe(config, self.environment)
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
        for attempt in range(ATTEMPTS):
            episode = self._attempt(quality, index, attempt)
            if episode.info["success"]:
                return episode
        raise VRLError(
            f"The scripted policy of {self.config.task} failed in {ATTEMPTS} episodes of "
            f"{self.config.horizon} simulator steps, with noise {self.config.noise_of('expert'):g} "
            f"and an action repeat of {self.config.action_repeat}. Ask for a longer horizon (up to "
            "500) or for less noise."
        )

    def close(self) -> None:
        """Free the simulator and its renderer."""
        self.environment.close()

    def _attempt(self, quality: str, index: int, attempt: int) -> Episode:
        seed, noise = episode_streams(self.config.seed, index, attempt)

        def act(_observation: Any) -> np.ndarray:
            if quality == "random":
                return uniform_action(noise, self.spec.action_size)
            return self._scripted_action(noise, self.config.noise_of(quality))

        with warnings.catch_warnings():
            # The policies aim beyond what an action can do and warn of it at every step.
            warnings.filterwarnings("ignore", message=r"Constant\(s\) may be too high")
            info = {"seed": seed, "behaviour": quality}
            return run_episode(self.environment, seed, act, info)

    def _scripted_action(self, noise: np.random.Generator, deviation: float) -> np.ndarray:
        wanted = np.clip(self.policy.get_action(self.environment.state()), -1.0, 1.0)
        noisy: np.ndarray = wanted + deviation * noise.standard_normal(wanted.shape)
        clipped: np.ndarray = np.clip(noisy, -1.0, 1.0).astype(np.float32)
        return clipped


def describe(config: MetaWorldDataset, environment: MetaWorldEnvironment) -> DataSpec:
    """Describe the dataset for its store's manifest."""
    layout = layout_of(environment)
    return DataSpec(
        task=config.task,
        observations=layout.observations,
        action_size=layout.action_size,
        environment=environment_data("metaworld", config.environment()),
        action_repeat=config.action_repeat,
        render_quality=None if config.observation == "state" else config.rendering,
        behaviour=config.quality,
        seed=config.seed,
        source="VRL",
        licence="MIT",
        versions=METAWORLD.versions() | drawing_versions(config),
    )
