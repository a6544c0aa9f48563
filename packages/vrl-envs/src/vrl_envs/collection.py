"""How episodes are seeded and played, whatever they are collected from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from vrl_core.episodes import Episode

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


def uniform_action(noise: np.random.Generator, size: int) -> np.ndarray:
    """Return a random policy's action `(size,)` float32."""
    return noise.uniform(-1, 1, size).astype(np.float32)


def environment_data(name: str, settings: Any) -> dict[str, Any]:
    """Return an environment's settings as data, under its registered name."""
    return {"name": name} | {
        field.name: getattr(settings, field.name) for field in fields(settings)
    }


def check_index(index: int, episodes: int) -> None:
    """Raise `IndexError` outside a dataset, as sequences do."""
    if not 0 <= index < episodes:
        raise IndexError(f"episode {index} of {episodes}")
