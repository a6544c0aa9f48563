"""What VRL expects of an environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vrl_core.hooks import EnvironmentConfig
from vrl_core.testing.expectations import expect, expect_pickles

if TYPE_CHECKING:
    import gymnasium
    import numpy as np


def check_environment(config: EnvironmentConfig, *, steps: int = 10, seed: int = 0) -> None:
    """Check an environment by stepping it with random actions.

    Expects Gymnasium's interface; a uint8 image `(height, width, channel)`, a state vector or a
    `Dict` of both; actions in a `Box` in [-1, 1]; the same frames and rewards whenever a seed is
    repeated; and that it closes. Raises `ConformanceError`.
    """
    import gymnasium

    expect_pickles(config)
    _check_references(config)
    environment = config.build()
    expect(
        isinstance(environment, gymnasium.Env),
        f"build() must return a gymnasium.Env, not {type(environment)}",
    )
    try:
        _check_action_space(environment.action_space)
        _check_observation_space(environment.observation_space)
        first = _rollout(environment, steps, seed)
        again = _rollout(environment, steps, seed)
        _expect_same(first, again, "the same environment, reset with the same seed")
    finally:
        environment.close()
    other = config.build()
    try:
        _expect_same(first, _rollout(other, steps, seed), "another instance with the same seed")
    finally:
        other.close()


def _check_references(config: EnvironmentConfig) -> None:
    references = config.references()
    if references is not None:
        expect(references.expert > references.random, "an expert's return must exceed random's")


def _check_action_space(space: Any) -> None:
    import gymnasium

    expect(
        isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 1,
        f"actions must be a Box of one axis, not {space}",
    )
    expect(
        (space.low == -1).all() and (space.high == 1).all(),
        f"actions must lie in [-1, 1], not [{space.low}, {space.high}]; rescale them",
    )


def _check_observation_space(space: Any) -> None:
    import gymnasium

    parts = space.spaces if isinstance(space, gymnasium.spaces.Dict) else {"observation": space}
    expect(parts, "a Dict of observations must have parts")
    for name, part in parts.items():
        expect(isinstance(part, gymnasium.spaces.Box), f"{name} must be a Box, not {part}")
        shape: tuple[int, ...] = part.shape or ()
        image = part.dtype == "uint8" and len(shape) == 3 and shape[-1] in (1, 3, 4)
        vector = part.dtype in ("float32", "float64") and len(shape) == 1
        expect(
            image or vector,
            f"{name} must be a uint8 image (height, width, channel) or a float vector, "
            f"not {part.dtype} {shape}",
        )


def _rollout(
    environment: gymnasium.Env[Any, Any], steps: int, seed: int
) -> list[tuple[Any, float]]:
    """Return the observations and rewards of random actions, over episodes if need be."""
    import numpy as np

    random = np.random.default_rng(seed)
    shape = environment.action_space.shape
    observation, info = environment.reset(seed=seed)
    expect(isinstance(info, dict), f"reset() must return (observation, info), not info {info!r}")
    _check_observation(environment, observation)
    history = [(_copied(observation), 0.0)]
    for step in range(steps):
        action = random.uniform(-1, 1, shape).astype(np.float32)
        # The corners belong to the space too.
        action = np.sign(action) if step == 0 else action
        observation, reward, terminated, truncated, info = _step(environment, action)
        history.append((_copied(observation), float(reward)))
        if terminated or truncated:
            observation, info = environment.reset()
    return history


def _step(environment: gymnasium.Env[Any, Any], action: np.ndarray) -> tuple[Any, ...]:
    import math

    result = environment.step(action)
    expect(
        isinstance(result, tuple) and len(result) == 5,
        "step() must return (observation, reward, terminated, truncated, info)",
    )
    observation, reward, terminated, truncated, info = result
    _check_observation(environment, observation)
    expect(math.isfinite(float(reward)), f"the reward must be a finite number, not {reward!r}")
    for name, flag in (("terminated", terminated), ("truncated", truncated)):
        expect(type(flag).__name__ in ("bool", "bool_"), f"{name} must be a bool, not {flag!r}")
    expect(isinstance(info, dict), f"info must be a dict, not {info!r}")
    return result


def _check_observation(environment: gymnasium.Env[Any, Any], observation: Any) -> None:
    space = environment.observation_space
    expect(
        space.contains(observation), f"an observation is not in the space {space}: {observation!r}"
    )


def _copied(observation: Any) -> dict[str, np.ndarray]:
    import numpy as np

    parts = observation if isinstance(observation, dict) else {"observation": observation}
    return {name: np.array(part) for name, part in parts.items()}


def _expect_same(first: list[Any], again: list[Any], how: str) -> None:
    import numpy as np

    for step, ((was, reward), (now, reward_now)) in enumerate(zip(first, again, strict=True)):
        expect(reward == reward_now, f"{how}: reward {step} is {reward_now}, was {reward}")
        for name, part in was.items():
            expect(np.array_equal(part, now[name]), f"{how}: {name} {step} differs")
