"""Episodes of an Adroit task: agents, an expert with or without noise, or nobody act them out.

Episode i depends on the configuration and i alone, as in `dmc.dataset`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vrl_core.episodes import DataSpec, Episode
from vrl_core.errors import VRLError
from vrl_core.evaluation_workers import layout_of
from vrl_envs.adroit.behaviours import behaviour_paths, has_own_agents, read_actors
from vrl_envs.adroit.config import AdroitDataset
from vrl_envs.adroit.environment import AdroitEnvironment
from vrl_envs.behaviours.policy import BehaviourPolicy
from vrl_envs.behaviours.simulated_replay import SimulatedReplay
from vrl_envs.collection import (
    check_index,
    environment_data,
    episode_streams,
    run_episode,
    uniform_action,
)
from vrl_envs.dapg_policy import DAPGPolicy
from vrl_envs.drawing.revision import drawing_versions
from vrl_envs.qualities import quality_of
from vrl_envs.releases import ROBOTICS

EPISODES = 200


def open_adroit(config: AdroitDataset) -> AdroitEpisodes | SimulatedReplay:
    """Return the episodes of a configuration, but for those of people.

    Raises `VRLError` when a behaviour is missing or does not fit, or a replay has too few episodes.
    """
    own = has_own_agents(config.behaviours)
    if own:
        refuse_noise(config)
    if config.quality != "mixed" or not own:
        return AdroitEpisodes(config)
    (path,) = behaviour_paths(config)
    environment = AdroitEnvironment(config.environment())
    return SimulatedReplay(path, environment, describe(config, environment), config.episodes)


def refuse_noise(config: AdroitDataset) -> None:
    """Raise `VRLError` for noise on actions that have their own."""
    for name in ("noise", "medium_noise", "mixed_noise"):
        if getattr(config, name):
            raise VRLError(
                f"{name} is for DAPG's experts; the behaviours of "
                f"{config.behaviours or 'VRL itself'} are stochastic themselves. Leave it out, or "
                f"name a folder with {config.task}.npz with --behaviours FOLDER."
            )


class AdroitEpisodes:
    """Episodes that a behaviour or nobody acts out when they are asked for."""

    def __init__(self, config: AdroitDataset) -> None:
        """Load the task. Raises `VRLError` when a behaviour is missing or of another task."""
        self.config = config
        self.actors = read_actors(config)
        self.environment = AdroitEnvironment(config.environment())
        self.spec = describe(config, self.environment)

    def __len__(self) -> int:
        return self.config.episodes or EPISODES

    def __getitem__(self, index: int, /) -> Episode:
        """Act out episode `index`."""
        check_index(index, len(self))
        quality = quality_of(self.config.quality, len(self), index)
        seed, random = episode_streams(self.config.seed, index)
        actor, noise = self.actors.get(quality), self.noise(quality, index)

        def act(_observation: Any) -> np.ndarray:
            if actor is None:
                return uniform_action(random, self.spec.action_size)
            if isinstance(actor, BehaviourPolicy):
                return actor.sample(self.environment.state(), random)
            wanted = np.clip(actor.action(self.environment.state()), -1.0, 1.0)
            noisy = wanted + noise * random.standard_normal(len(wanted))
            clipped: np.ndarray = np.clip(noisy, -1.0, 1.0).astype(np.float32)
            return clipped

        info: dict[str, Any] = {"seed": seed, "behaviour": quality}
        if isinstance(actor, DAPGPolicy):
            info["noise"] = noise
        return run_episode(self.environment, seed, act, info)

    def noise(self, quality: str, index: int) -> float:
        """Return the standard deviation of the noise on DAPG's expert in an episode."""
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
