"""Episodes of an Adroit task's expert, as it is or with noise on its actions, and of random ones.

Episode i depends on the configuration and i alone, as in `dmc.dataset`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vrl_core.episodes import DataSpec, Episode
from vrl_core.evaluation_workers import layout_of
from vrl_envs.adroit.behaviours import read_expert
from vrl_envs.adroit.config import AdroitDataset
from vrl_envs.adroit.environment import AdroitEnvironment
from vrl_envs.collection import (
    check_index,
    environment_data,
    episode_streams,
    run_episode,
    uniform_action,
)
from vrl_envs.drawing.revision import drawing_versions
from vrl_envs.qualities import quality_of
from vrl_envs.releases import ROBOTICS

EPISODES = 200


class AdroitEpisodes:
    """Episodes that an expert or nobody acts out when they are asked for."""

    def __init__(self, config: AdroitDataset) -> None:
        """Load the task. Raises `VRLError` when the expert is missing or of another task."""
        self.config = config
        self.expert = (
            None if config.quality == "random" else read_expert(config.task, config.behaviours)
        )
        self.environment = AdroitEnvironment(config.environment())
        self.spec = describe(config, self.environment)

    def __len__(self) -> int:
        return self.config.episodes or EPISODES

    def __getitem__(self, index: int, /) -> Episode:
        """Act out episode `index`."""
        check_index(index, len(self))
        quality = quality_of(self.config.quality, len(self), index)
        seed, noise = episode_streams(self.config.seed, index)
        deviation = self.noise(quality, index)

        def act(_observation: Any) -> np.ndarray:
            if self.expert is None:
                return uniform_action(noise, self.spec.action_size)
            wanted = np.clip(self.expert.action(self.environment.state()), -1.0, 1.0)
            noisy = wanted + deviation * noise.standard_normal(len(wanted))
            clipped: np.ndarray = np.clip(noisy, -1.0, 1.0).astype(np.float32)
            return clipped

        info: dict[str, Any] = {"seed": seed, "behaviour": quality}
        if quality != "random":
            info["noise"] = deviation
        return run_episode(self.environment, seed, act, info)

    def noise(self, quality: str, index: int) -> float:
        """Return the standard deviation of the noise in an episode of this behaviour."""
        falling = 1 - index / (len(self) - 1) if quality == "mixed" else 1.0
        return falling * self.config.noise_of(quality)

    def close(self) -> None:
        """Free the simulator and its renderer."""
        self.environment.close()


def describe(config: AdroitDataset, environment: AdroitEnvironment) -> DataSpec:
    """Describe the dataset for its store's manifest."""
    layout = layout_of(environment)
    return DataSpec(
        task=config.task,
        observations=layout.observations,
        action_size=layout.action_size,
        environment=environment_data("adroit", config.environment()),
        action_repeat=config.action_repeat,
        render_quality=None if config.observation == "state" else config.rendering,
        behaviour=config.quality,
        seed=None if config.quality == "human" else config.seed,
        source="VRL",
        licence="unknown" if config.quality == "human" else "MIT",
        versions=ROBOTICS.versions() | drawing_versions(config),
    )
