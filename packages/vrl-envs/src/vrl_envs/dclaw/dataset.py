"""Episodes of D'Claw Screw: random or trained behaviours act them out, or a learner's are replayed.

Behaviours see ROBEL's 21 numbers, whatever is recorded. Episode i depends on the configuration and
i alone, as in `dmc.dataset`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vrl_core.episodes import DataSpec, Episode
from vrl_core.evaluation_workers import layout_of
from vrl_envs.behaviours.policy import BehaviourPolicy, require_fit
from vrl_envs.behaviours.shipped import policy_path, replay_path
from vrl_envs.behaviours.simulated_replay import SimulatedReplay
from vrl_envs.collection import (
    check_index,
    describe,
    episode_streams,
    run_episode,
    uniform_action,
)
from vrl_envs.dclaw.config import DEFAULT_EPISODES, DClawDataset
from vrl_envs.dclaw.environment import STATE_SIZE, DClawEnvironment
from vrl_envs.qualities import qualities_in, quality_of
from vrl_envs.releases import versions_of
from vrl_envs.settings import require_folder


def open_dclaw(config: DClawDataset) -> DClawEpisodes | SimulatedReplay:
    """Return the episodes of a configuration.

    Raises `VRLError` when behaviour or model is missing or does not fit, or a replay has too few
    episodes.
    """
    require_folder("behaviours", config.behaviours)
    if config.quality != "mixed":
        return DClawEpisodes(config)
    path = replay_path(config.task, config.behaviours)
    environment = DClawEnvironment(config.environment())
    return SimulatedReplay(path, environment, spec_of(config, environment), config.episodes)


class DClawEpisodes:
    """Episodes that a behaviour acts out when they are asked for."""

    def __init__(self, config: DClawDataset) -> None:
        self.config, acting = config, qualities_in(config.quality)
        self.episodes = config.episodes or DEFAULT_EPISODES * len(acting)
        self.environment = DClawEnvironment(config.environment())
        self.spec = spec_of(config, self.environment)
        self.policies = {
            quality: read_policy(config, quality, self.spec.action_size)
            for quality in acting
            if quality != "random"
        }

    def __len__(self) -> int:
        return self.episodes

    def __getitem__(self, index: int, /) -> Episode:
        """Act out episode `index`."""
        check_index(index, len(self))
        quality = quality_of(self.config.quality, len(self), index)
        seed, noise = episode_streams(self.config.seed, index)
        policy = self.policies.get(quality)

        def act(_observation: Any) -> np.ndarray:
            if policy is None:
                return uniform_action(noise, self.spec.action_size)
            return policy.sample(self.environment.state(), noise)

        return run_episode(self.environment, seed, act, {"seed": seed, "behaviour": quality})

    def close(self) -> None:
        """Free the simulator and its renderer."""
        self.environment.close()


def read_policy(config: DClawDataset, quality: str, action_size: int) -> BehaviourPolicy:
    """Read a behaviour and check that it fits the task. Raises `VRLError` when it does not."""
    path = policy_path(config.task, quality, config.behaviours)
    policy = BehaviourPolicy.read(path)
    require_fit(policy, path, config.task, STATE_SIZE, action_size)
    return policy


def spec_of(config: DClawDataset, environment: DClawEnvironment) -> DataSpec:
    """Describe the dataset for its store's manifest."""
    return describe("dclaw", config, layout_of(environment), versions_of(("mujoco", "numpy")))
