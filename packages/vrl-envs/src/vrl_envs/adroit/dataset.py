"""Episodes of an Adroit task: agents, an expert with or without noise, or nobody act them out.

Episode i depends on the configuration and i alone, as in `dmc.dataset`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vrl_core.episodes import DataSpec, Episode
from vrl_core.errors import VRLError
from vrl_core.evaluation_workers import layout_of
from vrl_envs.adroit.behaviours import (
    behaviour_paths,
    has_own_agents,
    is_demonstrated,
    read_actors,
)
from vrl_envs.adroit.config import AdroitDataset
from vrl_envs.adroit.demonstrators import Demonstrator
from vrl_envs.adroit.environment import AdroitEnvironment
from vrl_envs.behaviours.policy import BehaviourPolicy
from vrl_envs.behaviours.simulated_replay import SimulatedReplay
from vrl_envs.collection import (
    check_index,
    describe,
    episode_streams,
    noisy_action,
    run_episode,
    uniform_action,
)
from vrl_envs.dapg_policy import DAPGPolicy
from vrl_envs.qualities import quality_of
from vrl_envs.releases import ROBOTICS

EPISODES = 200


def open_adroit(config: AdroitDataset) -> AdroitEpisodes | SimulatedReplay:
    """Return the episodes of a configuration, but for those of people.

    Raises `VRLError` when a behaviour is missing or does not fit, or a replay has too few episodes.
    """
    own = has_own_agents(config.behaviours) and not is_demonstrated(config)
    if own:
        refuse_noise(config)
    if config.quality != "mixed" or not own:
        return AdroitEpisodes(config)
    (path,) = behaviour_paths(config)
    environment = AdroitEnvironment(config.environment())
    return SimulatedReplay(path, environment, spec_of(config, environment), config.episodes)


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
        behaviour_paths(config)  # says what is missing before a simulator is loaded
        self.environment = AdroitEnvironment(config.environment())
        self.actors = read_actors(config, self.environment)
        self.spec = spec_of(config, self.environment)

    def __len__(self) -> int:
        return self.config.episodes or EPISODES

    def __getitem__(self, index: int, /) -> Episode:
        """Act out episode `index`."""
        check_index(index, len(self))
        quality = quality_of(self.config.quality, len(self), index)
        seed, random = episode_streams(self.config.seed, index)
        actor, noise = self.actors.get(quality), self.noise(quality, index)
        if isinstance(actor, Demonstrator):
            actor.begin()

        def act(_observation: Any) -> np.ndarray:
            if actor is None:
                return uniform_action(random, self.spec.action_size)
            if isinstance(actor, BehaviourPolicy):
                return actor.sample(self.environment.state(), random)
            if isinstance(actor, Demonstrator):
                return noisy_action(actor.action(), noise, random)
            return noisy_action(actor.action(self.environment.state()), noise, random)

        info: dict[str, Any] = {"seed": seed, "behaviour": quality}
        if isinstance(actor, DAPGPolicy | Demonstrator):
            info["noise"] = noise
        return run_episode(self.environment, seed, act, info)

    def noise(self, quality: str, index: int) -> float:
        """Return the standard deviation of the noise on an expert or a script in an episode."""
        falling = 1 - index / (len(self) - 1) if quality == "mixed" else 1.0
        return falling * self.config.noise_of(quality)

    def close(self) -> None:
        """Free the simulator and its renderer."""
        self.environment.close()


def spec_of(config: AdroitDataset, environment: AdroitEnvironment) -> DataSpec:
    """Describe the dataset for its store's manifest."""
    return describe("adroit", config, layout_of(environment), ROBOTICS.versions())
