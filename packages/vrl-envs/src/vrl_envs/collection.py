"""How episodes are seeded and played, whatever they are collected from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

from vrl_core.episodes import DataSpec, Episode
from vrl_core.errors import VRLError
from vrl_core.evaluation_workers import Layout
from vrl_envs.drawing.revision import drawing_versions

Made = TypeVar("Made")

_COLLECTION = 0x636F6C6C
"""Sets collection's seeds apart from evaluation's, so that no policy is judged on first states
that are in its data."""


def episode_streams(seed: int, index: int, attempt: int = 0) -> tuple[int, np.random.Generator]:
    """Return an episode's reset seed and the generator of its behaviour's choices.

    Where only some episodes are kept, each `attempt` at one has its own.
    """
    entropy = (_COLLECTION, seed, index)
    sequence = np.random.SeedSequence((*entropy, attempt) if attempt else entropy)
    reset = int(sequence.generate_state(1, np.uint32)[0] >> 1)
    return reset, np.random.Generator(np.random.PCG64(sequence.spawn(1)[0]))


def run_episode(
    environment: Any,
    seed: int,
    act: Callable[[Any], np.ndarray],
    info: Mapping[str, Any] | None = None,
    *,
    steps: int | None = None,
) -> Episode:
    """Let `act`, from an observation to an action, play the episode of a seed.

    It is truncated after `steps`, if they are given, at the latest. Where the environment tells of
    success, the episode's info has `success`: whether a step had.
    """
    observation, _ = environment.reset(seed=seed)
    observations, actions, rewards, ends = [observation], [], [], [(False, False)]
    successes = []
    while not any(ends[-1]):
        actions.append(act(observations[-1]))
        observation, reward, terminated, truncated, told = environment.step(actions[-1])
        observations.append(observation)
        rewards.append(reward)
        truncated = truncated or (len(rewards) == steps and not terminated)
        ends.append((terminated, truncated))
        successes += [bool(told["success"])] if "success" in told else []
    return Episode(
        observations=stack_fields(observations),
        actions=np.stack(actions),
        rewards=np.array(rewards, np.float32),
        terminations=np.array([terminated for terminated, _ in ends[1:]]),
        truncations=np.array([truncated for _, truncated in ends[1:]]),
        info={**(info or {}), **({"success": any(successes)} if successes else {})},
    )


def stack_fields(observations: list[Any]) -> dict[str, np.ndarray]:
    """Stack an episode's observations, field by field, into `(time, ...)`."""
    first = observations[0]
    if isinstance(first, dict):
        return {name: np.stack([parts[name] for parts in observations]) for name in first}
    return {"image" if first.dtype == np.uint8 else "state": np.stack(observations)}


def first_success(
    attempt: Callable[[int], Made], succeeded: Callable[[Made], bool], attempts: int, failure: str
) -> Made:
    """Return what the first attempt makes that succeeds; attempts are numbered from 0.

    Raises `VRLError` that says `failure` when that many fail one after the other.
    """
    for number in range(attempts):
        made = attempt(number)
        if succeeded(made):
            return made
    raise VRLError(failure)


def was_solved(episode: Episode) -> bool:
    """Whether a step of an episode succeeded."""
    return bool(episode.info["success"])


def uniform_action(noise: np.random.Generator, size: int) -> np.ndarray:
    """Return a random policy's action `(size,)` float32."""
    return noise.uniform(-1, 1, size).astype(np.float32)


def noisy_action(wanted: np.ndarray, deviation: float, noise: np.random.Generator) -> np.ndarray:
    """Return an action `(action,)` float32 in [-1, 1]: the wanted one with Gaussian noise.

    What is wanted is bounded first: scripts aim beyond what an action can do.
    """
    bounded = np.clip(wanted, -1.0, 1.0)
    noisy = bounded + deviation * noise.standard_normal(bounded.shape)
    action: np.ndarray = np.clip(noisy, -1.0, 1.0).astype(np.float32)
    return action


def describe(
    name: str, config: Any, layout: Layout, versions: Mapping[str, str], *, source: str = "VRL"
) -> DataSpec:
    """Describe episodes collected here, for their store's manifest.

    `name` is the environment's, `config` the dataset's settings, `layout` what the environment
    shows, and `versions` are those of what made the episodes; how images were drawn is added.
    """
    has_images = "image" in layout.observations
    return DataSpec(
        task=config.task,
        observations=layout.observations,
        action_size=layout.action_size,
        environment=environment_data(name, config.environment()),
        action_repeat=getattr(config, "action_repeat", 1),
        render_quality=config.rendering if has_images else None,
        behaviour=config.quality,
        seed=config.seed,
        source=source,
        licence="MIT",
        versions={**versions, **(drawing_versions(config) if has_images else {})},
    )


def environment_data(name: str, settings: Any) -> dict[str, Any]:
    """Return an environment's settings as data, under its registered name.

    Those that are places of this machine, such as a folder of models, become None: a manifest is
    read elsewhere too.
    """
    return {"name": name} | {
        field.name: None if "Path" in str(field.type) else getattr(settings, field.name)
        for field in fields(settings)
    }


def check_index(index: int, episodes: int) -> None:
    """Raise `IndexError` outside a dataset, as sequences do."""
    if not 0 <= index < episodes:
        raise IndexError(f"episode {index} of {episodes}")
