"""Episodes of state tasks: Gymnasium's MuJoCo ones and HIV treatment, collected or replayed.

Episode i depends on the configuration and i alone, as in `dmc.dataset`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from vrl_core.episodes import Dataset, DataSpec, Episode, FieldSpec
from vrl_core.errors import VRLError
from vrl_core.evaluation_workers import Layout
from vrl_core.fingerprint import describe as settings_and_files
from vrl_envs.behaviours.action_replay import holds_actions_alone
from vrl_envs.behaviours.policy import BehaviourPolicy, require_fit
from vrl_envs.behaviours.shipped import behaviour_files, policy_path, replay_path
from vrl_envs.behaviours.simulated_replay import SimulatedReplay, chosen_episodes
from vrl_envs.behaviours.state_replay import read_environment, read_state_replay
from vrl_envs.collection import (
    check_index,
    describe,
    episode_streams,
    run_episode,
    uniform_action,
)
from vrl_envs.gym_mujoco.config import STANDARD_TASKS, GymMuJoCoDataset, behaviour_task
from vrl_envs.hiv.config import HIV, HIVDataset
from vrl_envs.qualities import qualities_in, quality_of
from vrl_envs.releases import versions_of
from vrl_envs.settings import require_folder

StateDatasetConfig = GymMuJoCoDataset | HIVDataset
DEFAULT_EPISODES = 100
SIMULATORS = {"gym-mujoco": ("gymnasium", "mujoco"), "hiv": ("scipy",)}
CHANGEABLE = ("reward_scale", "jump_velocity", "task")
"""Settings that data may have other than its replay was recorded with: they shape the reward."""


def open_state_dataset(config: StateDatasetConfig) -> Dataset:
    """Return the episodes of a configuration.

    Raises `VRLError` when the behaviour does not exist, does not fit the task, or has too few
    episodes.
    """
    require_folder("behaviours", config.behaviours)
    if isinstance(config, HIVDataset):
        config = with_reward_scale(config)
    if config.quality != "mixed":
        return CollectedStates(config)
    path = replay_path(behaviour_task(config.task), config.behaviours)
    return simulated(config, path) if holds_actions_alone(path) else ReplayedStates(config)


def simulated(config: StateDatasetConfig, path: Path) -> SimulatedReplay:
    """Return a replay's episodes, simulated again in the task asked for; raises as above."""
    require_same_settings(config, read_environment(path))
    environment = config.environment().build()
    return SimulatedReplay(
        path, environment, spec_of(config, *sizes_of(environment)), config.episodes
    )


def fingerprint(config: StateDatasetConfig) -> dict[str, Any]:
    """Return what a configuration's episodes depend on; of HIV the replay tells the scale.

    Raises `VRLError` when there is no such behaviour.
    """
    task, folder = behaviour_task(config.task), config.behaviours
    files = behaviour_files(task, config.quality, folder)
    if isinstance(config, HIVDataset):
        config = with_reward_scale(config)
        simulator = "hiv"
    else:
        simulator = "gym-mujoco"
    return settings_and_files(config, files=files, packages=SIMULATORS[simulator])


def with_reward_scale(config: HIVDataset) -> HIVDataset:
    """Return settings with a reward scale: the given one, else the one the behaviour learnt with.

    The replay of the same folder tells it. Raises `VRLError` when there is none.
    """
    if config.reward_scale is not None or config.quality == "random":
        return config
    for quality in set(qualities_in(config.quality)) - {"mixed"}:
        policy_path(config.task, quality, config.behaviours)  # what is asked for comes first
    try:
        path = replay_path(config.task, config.behaviours)
    except VRLError as error:
        if config.quality == "mixed":
            raise
        raise VRLError(
            f"Nothing tells the reward scale that the {config.quality} behaviour of "
            f"{config.behaviours} learnt with: there is no replay beside it. Give the scale: "
            "--reward-scale 1 is the published reward, 1e-4 the one VRL trains with."
        ) from error
    return replace(config, reward_scale=recorded_scale(path, read_environment(path)))


def recorded_scale(path: Path, recorded: Mapping[str, Any]) -> float:
    """Return the reward scale of an HIV replay. Raises `VRLError` when it does not say one."""
    scale = recorded.get("reward_scale")
    if not isinstance(scale, int | float) or not scale > 0:
        raise VRLError(
            f"The replay {path} does not say the reward_scale that it was recorded with, only "
            f"{dict(recorded)}. Train a behaviour anew: `python -m vrl_envs.behaviours.train "
            "--task hiv --preset mixed`."
        )
    return float(scale)


class CollectedStates:
    """Episodes that a behaviour acts out when they are asked for."""

    def __init__(self, config: StateDatasetConfig) -> None:
        self.config = config
        self.environment: Any = config.environment().build()
        self.spec = spec_of(config, *sizes_of(self.environment))
        self.episodes = config.episodes or DEFAULT_EPISODES
        self.policies = {
            quality: read_policy(config, quality, self.spec)
            for quality in qualities_in(config.quality)
            if quality != "random"
        }

    def __len__(self) -> int:
        return self.episodes

    def __getitem__(self, index: int, /) -> Episode:
        """Act out episode `index`."""
        check_index(index, self.episodes)
        quality = quality_of(self.config.quality, self.episodes, index)
        seed, noise = episode_streams(self.config.seed, index)
        policy, size = self.policies.get(quality), self.spec.action_size

        def act(state: np.ndarray) -> np.ndarray:
            if policy is None:
                return uniform_action(noise, size)
            return policy.sample(state, noise)

        return run_episode(self.environment, seed, act, {"seed": seed, "behaviour": quality})

    def close(self) -> None:
        """Free the simulator."""
        self.environment.close()


class ReplayedStates:
    """Episodes that an agent saw while it learnt, with the rewards of the task asked for."""

    def __init__(self, config: StateDatasetConfig) -> None:
        self.config, self.settings = config, config.environment()
        path = replay_path(behaviour_task(config.task), config.behaviours)
        self.replay, recorded = read_state_replay(path)
        if isinstance(self.settings, HIV):
            self.factor = self.settings.reward_scale / recorded_scale(path, recorded)
        self.chosen = chosen_episodes(config.task, config.episodes, len(self.replay))
        require_same_settings(config, recorded)
        sizes = (self.replay.observations.shape[1], self.replay.actions.shape[1])
        self.spec = spec_of(config, *sizes)

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int, /) -> Episode:
        """Return episode `index` of those chosen from the replay."""
        check_index(index, len(self))
        index = self.chosen[index]
        episode = self.replay.episode(index, {"replay_episode": index, "behaviour": "mixed"})
        return replace(episode, rewards=self._rewards(index, episode).astype(np.float32))

    def _rewards(self, index: int, episode: Episode) -> np.ndarray:
        if isinstance(self.settings, HIV):
            return np.asarray(episode.rewards * self.factor)
        if self.config.task in STANDARD_TASKS:
            return episode.rewards
        from vrl_envs.gym_mujoco.relabelling import task_rewards

        velocities = self.replay.velocities[self.replay.rows(index)].astype(np.float64)
        following = episode.observations["state"][1:].astype(np.float64)
        return task_rewards(
            self.settings, velocities, episode.actions.astype(np.float64), following
        )


def require_same_settings(config: StateDatasetConfig, recorded: Mapping[str, Any]) -> None:
    """Raise `VRLError` when a replay was recorded with settings that shape more than the reward."""
    settings = config.environment()
    for field in fields(settings):
        name, wanted = field.name, getattr(settings, field.name)
        if name not in CHANGEABLE and recorded.get(name, wanted) != wanted:
            raise VRLError(
                f"The replay of {behaviour_task(config.task)} was recorded with {name} "
                f"{recorded[name]!r}, not {wanted!r}. Ask for {recorded[name]!r}, or train a "
                "behaviour with yours."
            )


def sizes_of(environment: Any) -> tuple[int, int]:
    """Return the numbers in an observation and in an action."""
    return environment.observation_space.shape[0], environment.action_space.shape[0]


def read_policy(config: StateDatasetConfig, quality: str, spec: DataSpec) -> BehaviourPolicy:
    """Read a behaviour and check that it fits the task. Raises `VRLError` when it does not."""
    path = policy_path(behaviour_task(config.task), quality, config.behaviours)
    policy = BehaviourPolicy.read(path)
    state_size = spec.observations["state"].shape[0]
    require_fit(policy, path, config.task, state_size, spec.action_size)
    return policy


def spec_of(config: StateDatasetConfig, state_size: int, action_size: int) -> DataSpec:
    """Describe the dataset for its store's manifest."""
    name = "hiv" if isinstance(config, HIVDataset) else "gym-mujoco"
    observations = {"state": FieldSpec((state_size,), "float32")}
    layout = Layout(observations, action_size, frames_per_second=0.0)  # nothing is drawn
    return describe(name, config, layout, versions_of((*SIMULATORS[name], "numpy")))
