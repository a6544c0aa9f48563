"""Episodes collected from dm_control: a behaviour acting in a task, or a replay being drawn.

Episode i depends on the configuration and i alone: its first state and the behaviour's noise are
seeded by both, and the behaviour is evaluated without threads. So collection is parallel and can
be resumed, and the store's bytes do not depend on either.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from vrl_core.episodes import Dataset, Episode, spread
from vrl_core.errors import VRLError
from vrl_core.evaluation_workers import layout_of
from vrl_envs.behaviours.policy import BehaviourPolicy, PolicyHistory, require_fit
from vrl_envs.behaviours.shipped import history_path, policy_path, replay_path
from vrl_envs.collection import (
    check_index,
    describe,
    episode_streams,
    run_episode,
    uniform_action,
)
from vrl_envs.dmc.config import DMC, DMCDataset
from vrl_envs.dmc.environment import DMCEnvironment
from vrl_envs.dmc.shift import NONE, STOCK
from vrl_envs.qualities import HALVES, belongs_to_share, block_of, qualities_in, quality_of
from vrl_envs.releases import MUJOCO
from vrl_envs.settings import require_folder

EPISODES = 200


def open_dataset(config: DMCDataset) -> Dataset:
    """Return the episodes of a configuration.

    Raises `VRLError` when the behaviour does not exist, does not fit the task, or has too few
    episodes.
    """
    require_folder("behaviours", config.behaviours)
    replayed = config.quality == "mixed" and history_path(config.task, config.behaviours) is None
    return ReplayedEpisodes(config) if replayed else CollectedEpisodes(config)


def default_episodes(quality: str) -> int:
    """Return the paper's number of episodes (V-D4RL, Table 5)."""
    return 2 * EPISODES if quality in HALVES else EPISODES


class DMCEpisodes:
    """What collected and replayed episodes share: the description and their environments."""

    def __init__(self, config: DMCDataset, episodes: int) -> None:
        self.config = config
        self.episodes = episodes
        self.environments: dict[DMC, DMCEnvironment] = {}
        self.environment = self.environment_of(0)
        self.spec = describe("dmc", config, layout_of(self.environment), MUJOCO.versions())

    def __len__(self) -> int:
        return self.episodes

    def environment_of(self, index: int) -> DMCEnvironment:
        """Return the environment of an episode, which others of its kind share."""
        settings = self.config.episode_environment(self.limb(index), self.is_distracted(index))
        if settings not in self.environments:
            self.environments[settings] = DMCEnvironment(settings)
        return self.environments[settings]

    def limb(self, index: int) -> str:
        """Return an episode's limb length: each has equally many of each behaviour's episodes."""
        limbs = self.config.limbs
        blocks = len(qualities_in(self.config.quality)) * len(limbs)
        return limbs[block_of(blocks, self.episodes, index) % len(limbs)]

    def is_distracted(self, index: int) -> bool:
        """Return whether an episode is distracted."""
        config = self.config
        return config.distraction != NONE and belongs_to_share(config.shifted_share, index)

    def shift_facts(self, index: int) -> dict[str, str]:
        """Return what an episode's info says of its shift; of a dataset without one, nothing."""
        facts = {} if self.config.limb == STOCK else {"limb": self.limb(index)}
        if self.config.distraction == NONE:
            return facts
        environment = self.environment_of(index)
        facts["distraction"] = environment.config.distraction
        background = environment.background
        return facts if background is None else facts | {"background": background}

    def close(self) -> None:
        """Free the simulators and their renderers."""
        for environment in self.environments.values():
            environment.close()


class CollectedEpisodes(DMCEpisodes):
    """Episodes that a behaviour acts out when they are asked for."""

    def __init__(self, config: DMCDataset) -> None:
        super().__init__(config, config.episodes or default_episodes(config.quality))
        self.policies = {
            quality: read_behaviour(config, quality, self.environment)
            for quality in qualities_in(config.quality)
            if quality != "random"
        }

    def __getitem__(self, index: int, /) -> Episode:
        """Act out episode `index`."""
        check_index(index, self.episodes)
        quality = quality_of(self.config.quality, len(self), index)
        seed, noise = episode_streams(self.config.seed, index)
        policy = self.policies.get(quality)
        if isinstance(policy, PolicyHistory):
            policy = policy.acting(len(self), index)
        size, environment = self.spec.action_size, self.environment_of(index)

        def act(_observation: Any) -> np.ndarray:
            if policy is None:
                return uniform_action(noise, size)
            return policy.sample(environment.state(), noise)

        info = {"seed": seed, "behaviour": quality}
        episode = run_episode(environment, seed, act, info)
        return replace(episode, info=info | self.shift_facts(index))


class ReplayedEpisodes(DMCEpisodes):
    """Episodes that an agent saw while it learnt, kept as joint positions and drawn here."""

    def __init__(self, config: DMCDataset) -> None:
        from vrl_envs.behaviours.replay_file import read_replay

        self.replay = read_replay(replay_path(config.task, config.behaviours))
        available = len(self.replay.rewards)
        episodes = available if config.episodes is None else config.episodes
        if episodes > available:
            raise VRLError(
                f"{episodes} episodes of {config.task} 'mixed' were asked for; the "
                f"medium agent's replay has {available}. Ask for at most {available}."
            )
        if config.observation != "pixels" or config.action_repeat != 2:
            raise VRLError(
                "The 'mixed' episodes are joint positions recorded at an action repeat of 2: they "
                "can be drawn at any size, but have no state vectors and no other action repeat."
            )
        self.chosen = spread(episodes, available)
        super().__init__(config, episodes)

    def __getitem__(self, index: int, /) -> Episode:
        """Draw episode `index` of those chosen from the replay."""
        check_index(index, self.episodes)
        chosen, environment = self.chosen[index], self.environment_of(index)
        steps = len(self.replay.rewards[chosen])
        environment.draw_distraction(episode_streams(self.config.seed, index)[0])
        return Episode(
            observations={"image": environment.render_positions(self.replay.positions(chosen))},
            actions=self.replay.actions[chosen].astype(np.float32),
            rewards=self.replay.rewards[chosen].astype(np.float32),
            terminations=np.zeros(steps, bool),
            truncations=np.arange(steps) == steps - 1,
            info={"replay_episode": chosen, "behaviour": "mixed"} | self.shift_facts(index),
        )


def read_behaviour(
    config: DMCDataset, quality: str, environment: DMCEnvironment
) -> BehaviourPolicy | PolicyHistory:
    """Read a behaviour and check that it fits the task. Raises `VRLError` when it does not."""
    path = policy_path(config.task, quality, config.behaviours)
    policy = PolicyHistory.read(path) if quality == "mixed" else BehaviourPolicy.read(path)
    sizes = (len(environment.state()), environment.action_size)
    require_fit(policy, path, config.task, *sizes)
    return policy
