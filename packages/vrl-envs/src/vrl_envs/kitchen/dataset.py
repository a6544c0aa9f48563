"""Episodes of Kitchen's scripted policy, with noise on its actions.

Episode i depends on the configuration and i alone, as in `dmc.dataset`. An expert's episodes are
demonstrations: where one fails, the next attempt at the same i, with seeds of its own, is kept.
"""

from __future__ import annotations

from dataclasses import replace
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
from vrl_envs.kitchen.config import KitchenDataset
from vrl_envs.kitchen.environment import KitchenEnvironment
from vrl_envs.kitchen.policy import ScriptedCook
from vrl_envs.kitchen.tasks import LAST, OBJECTS, PLAYED
from vrl_envs.qualities import quality_of
from vrl_envs.releases import ROBOTICS

ATTEMPTS = 20
"""Failures in a row after which an expert is taken for one that cannot solve the task."""


class KitchenEpisodes:
    """Episodes that the scripted policy acts out when they are asked for."""

    def __init__(self, config: KitchenDataset) -> None:
        """Load the kitchen. Raises `VRLError` when nothing can draw."""
        self.config = config
        self.environment = KitchenEnvironment(config.environment())
        self.spec = describe(config, self.environment)

    def __len__(self) -> int:
        return self.config.length() or 0

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
            f"The scripted policy failed {ATTEMPTS} times to bring {self.config.objects} in place "
            f"within {self.config.horizon} steps, with noise {self.config.noise:g}. Ask for a "
            "longer horizon, less noise or fewer objects; quality play keeps failures."
        )

    def close(self) -> None:
        """Free the simulator and its renderer."""
        self.environment.close()

    def _attempt(self, quality: str, index: int, attempt: int) -> Episode:
        seed, choices = episode_streams(self.config.seed, index, attempt)
        info: dict[str, Any] = {"seed": seed, "behaviour": quality}
        if quality == "random":
            action_size = self.spec.action_size
            episode = run_episode(
                self.environment, seed, lambda _: uniform_action(choices, action_size), info
            )
        else:
            objects = self._objects(quality, choices)
            info["objects"] = "+".join(objects)
            episode = run_episode(
                self.environment, seed, self._scripted(quality, objects, choices), info
            )
        return replace(episode, info={**episode.info, "completed": self.environment.completed()})

    def _objects(self, quality: str, choices: np.random.Generator) -> tuple[str, ...]:
        task = self.environment.objects
        if quality != "play":
            return task
        drawn = draw_objects(choices)
        while not self.config.whole_task and set(task) <= set(drawn):
            drawn = draw_objects(choices)
        return drawn

    def _scripted(
        self, quality: str, objects: tuple[str, ...], choices: np.random.Generator
    ) -> Any:
        inner = self.environment.inner
        cook = ScriptedCook(inner.model, inner.data, objects, choices)
        noise = self.config.medium_noise if quality == "medium" else self.config.noise

        def act(_observation: Any) -> np.ndarray:
            wanted = cook.act()
            noisy: np.ndarray = wanted + noise * choices.standard_normal(wanted.shape)
            clipped: np.ndarray = np.clip(noisy, -1.0, 1.0).astype(np.float32)
            return clipped

        return act


def draw_objects(choices: np.random.Generator) -> tuple[str, ...]:
    """Return the objects of an episode of play, in the order in which they are used."""
    names = list(OBJECTS)
    drawn = [names[number] for number in choices.permutation(len(names))[:PLAYED]]
    return tuple(sorted(drawn, key=lambda name: name in LAST))  # else as they were drawn


def describe(config: KitchenDataset, environment: KitchenEnvironment) -> DataSpec:
    """Describe the dataset for its store's manifest."""
    layout = layout_of(environment)
    return DataSpec(
        task=config.task,
        observations=layout.observations,
        action_size=layout.action_size,
        environment=environment_data("kitchen", config.environment()),
        action_repeat=config.action_repeat,
        render_quality=None if config.observation == "state" else config.rendering,
        behaviour=config.quality,
        seed=config.seed,
        source="VRL",
        licence="MIT",
        versions=ROBOTICS.versions() | drawing_versions(config),
    )
