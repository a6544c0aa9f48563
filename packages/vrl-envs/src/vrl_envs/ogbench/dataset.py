"""Episodes of OGBench's scripted oracles, as its data was made, and of random actions.

Episode i depends on the configuration and i alone, as in `dmc.dataset`.
"""

from __future__ import annotations

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
from vrl_envs.ogbench.config import OGBench, OGBenchDataset
from vrl_envs.ogbench.environment import OGBenchEnvironment
from vrl_envs.ogbench.play import Recording, is_healthy, record
from vrl_envs.ogbench.rewards import Rewards, rewards_of
from vrl_envs.releases import OGBENCH

ATTEMPTS = 20
"""Recordings in a row that OGBench would throw away, after which something is wrong."""


class OGBenchEpisodes:
    """Episodes that are acted out when they are asked for."""

    def __init__(self, config: OGBenchDataset) -> None:
        """Load the task. Raises `VRLError` when nothing can draw."""
        self.config = config
        seen = config.environment()
        acted = OGBench(
            task=seen.task,
            size=seen.size,
            horizon=config.steps(),
            rendering=seen.rendering,
            observation=seen.observation,
        )
        self.environment = OGBenchEnvironment(acted, collecting=config.quality != "random")
        self.spec = describe(config, self.environment)
        self._rewards = rewards_of(config.task) if config.quality != "random" else None

    def __len__(self) -> int:
        return self.config.episodes

    def __getitem__(self, index: int, /) -> Episode:
        """Act out episode `index`."""
        check_index(index, len(self))
        if self._rewards is None:
            return self._random(index)
        for attempt in range(ATTEMPTS):
            seed, noise = episode_streams(self.config.seed, index, attempt)
            recording = record(self.environment, self.config.quality, seed, noise)
            if is_healthy(self.config.task, recording):
                return episode_of(recording, self._rewards, seed, self.config.quality)
        raise VRLError(
            f"{ATTEMPTS} recordings of {self.config.task} lost the cube, which OGBench's data does "
            "not have. Ask for a shorter horizon."
        )

    def close(self) -> None:
        """Free the simulator and its renderer."""
        self.environment.close()

    def _random(self, index: int) -> Episode:
        seed, noise = episode_streams(self.config.seed, index)
        info = {"seed": seed, "behaviour": "random"}
        size = self.spec.action_size
        return run_episode(self.environment, seed, lambda _: uniform_action(noise, size), info)


def episode_of(recording: Recording, rewards: Rewards, seed: int, quality: str) -> Episode:
    """Give a recording its task's rewards; it goes on, unended, where the task is solved."""
    earned, solved = rewards.of(recording.positions, recording.buttons)
    nowhere = np.zeros(len(solved), bool)
    end = np.arange(len(solved)) == len(solved) - 1
    return Episode(
        observations=recording.observations,
        actions=recording.actions,
        rewards=earned,
        terminations=nowhere,
        truncations=end,
        info={"seed": seed, "behaviour": quality, "success": bool(solved.any())},
    )


def describe(config: OGBenchDataset, environment: OGBenchEnvironment) -> DataSpec:
    """Describe the dataset for its store's manifest."""
    layout = layout_of(environment)
    return DataSpec(
        task=config.task,
        observations=layout.observations,
        action_size=layout.action_size,
        environment=environment_data("ogbench", config.environment()),
        render_quality=None if config.observation == "state" else config.rendering,
        behaviour=config.quality,
        seed=config.seed,
        source="VRL",
        licence="MIT",
        versions=OGBENCH.versions() | drawing_versions(config),
    )
