"""Episodes of OGBench's scripted oracles, as its data was made, and of random actions.

Episode i depends on the configuration and i alone, as in `dmc.dataset`.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from vrl_core.episodes import Episode
from vrl_core.evaluation_workers import layout_of
from vrl_envs.collection import (
    check_index,
    describe,
    episode_streams,
    first_success,
    run_episode,
    uniform_action,
)
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
        layout = layout_of(self.environment)
        self.spec = describe("ogbench", config, layout, OGBENCH.versions())
        self._rewards = rewards_of(config.task) if config.quality != "random" else None

    def __len__(self) -> int:
        return self.config.episodes

    def __getitem__(self, index: int, /) -> Episode:
        """Act out episode `index`."""
        check_index(index, len(self))
        if self._rewards is None:
            return self._random(index)
        recording = first_success(
            partial(self._record, index),
            partial(is_healthy, self.config.task),
            ATTEMPTS,
            f"{ATTEMPTS} recordings of {self.config.task} lost the cube, which OGBench's data does "
            "not have. Ask for a shorter horizon.",
        )
        return episode_of(recording, self._rewards, self.config.quality)

    def close(self) -> None:
        """Free the simulator and its renderer."""
        self.environment.close()

    def _record(self, index: int, attempt: int) -> Recording:
        seed, noise = episode_streams(self.config.seed, index, attempt)
        return record(self.environment, self.config.quality, seed, noise)

    def _random(self, index: int) -> Episode:
        seed, noise = episode_streams(self.config.seed, index)
        info = {"seed": seed, "behaviour": "random"}
        size = self.spec.action_size
        return run_episode(self.environment, seed, lambda _: uniform_action(noise, size), info)


def episode_of(recording: Recording, rewards: Rewards, quality: str) -> Episode:
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
        info={"seed": recording.seed, "behaviour": quality, "success": bool(solved.any())},
    )
