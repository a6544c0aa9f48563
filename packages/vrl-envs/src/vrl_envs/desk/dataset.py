"""Episodes collected at the simulated desk.

Episode i depends on the configuration and i alone, as in `dmc.dataset`. An expert's episodes are
demonstrations: where one fails, the next attempt at the same i, with seeds of its own, is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
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
from vrl_envs.desk.behaviour import Exploration, closing_action
from vrl_envs.desk.config import DeskDataset
from vrl_envs.desk.environment import DeskEnvironment
from vrl_envs.drawing.revision import drawing_versions
from vrl_envs.qualities import quality_of

ATTEMPTS = 20
"""Failures in a row after which the script is taken for one that cannot close the drawer."""


class DeskEpisodes:
    """Episodes that a behaviour acts out when they are asked for."""

    def __init__(self, config: DeskDataset) -> None:
        """Load the desk. Raises `VRLError` when nothing can draw."""
        self.config = config
        self.environment = DeskEnvironment(config.environment())
        self.spec = describe(config, self.environment)

    def __len__(self) -> int:
        return self.config.length()

    def __getitem__(self, index: int, /) -> Episode:
        """Act out episode `index`. Raises `VRLError` when the expert fails time after time."""
        check_index(index, len(self))
        quality = quality_of(self.config.quality, len(self), index)
        if quality != "expert":
            return self._attempt(quality, index, 0)
        for attempt in range(ATTEMPTS):
            episode = self._attempt(quality, index, attempt)
            if episode.info["success"]:
                return episode
        raise VRLError(
            f"The script failed to close the drawer in {ATTEMPTS} episodes of "
            f"{self.config.horizon} steps with noise {self.config.noise:g}. Ask for a longer "
            "horizon or for less noise."
        )

    def close(self) -> None:
        """Free the renderer."""
        self.environment.close()

    def _attempt(self, quality: str, index: int, attempt: int) -> Episode:
        seed, rng = episode_streams(self.config.seed, index, attempt)
        act = self._behaviour(quality, rng)

        def bounded(_observation: Any) -> np.ndarray:
            action: np.ndarray = np.clip(act(), -1.0, 1.0).astype(np.float32)
            return action

        info = {"seed": seed, "behaviour": quality}
        return run_episode(self.environment, seed, bounded, info)

    def _behaviour(self, quality: str, rng: np.random.Generator) -> Callable[[], np.ndarray]:
        if quality == "random":
            return lambda: uniform_action(rng, 3)
        if quality == "exploration":
            return Exploration(self.environment, rng, self.config.interest).action
        noise = self.config.noise_of(quality)
        return lambda: closing_action(self.environment) + noise * rng.standard_normal(3)


def describe(config: DeskDataset, environment: DeskEnvironment) -> DataSpec:
    """Describe the dataset for its store's manifest."""
    layout = layout_of(environment)
    return DataSpec(
        task=config.task,
        observations=layout.observations,
        action_size=layout.action_size,
        environment=environment_data("desk", config.environment()),
        render_quality=None if config.observation == "state" else config.rendering,
        behaviour=config.quality,
        seed=config.seed,
        source="VRL, a simulated stand-in",
        licence="MIT",
        versions={name: version(name) for name in ("mujoco", "dm_control", "vrl-envs")}
        | drawing_versions(config),
    )
