"""Returns of a policy in an environment: several episodes at once, one batch of actions a step.

Episode `e` is reset with a seed made of the evaluation's seed and `e` alone, and the episodes that
share a batch do not depend on the number of workers, so neither do the results.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np

from vrl_core.errors import VRLError
from vrl_core.evaluation_workers import UNKNOWN_SUCCESS, EpisodeStart, Layout
from vrl_core.hooks import EnvironmentConfig
from vrl_core.protocols import Policy
from vrl_core.worker_group import LocalLanes, RemoteLanes

LANES = 16
"""Episodes that run side by side. Not the number of cores: results must not depend on those."""
LONGEST_EPISODE = 1_000_000
"""Steps after which an environment is taken for one whose episodes never end."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What came of the episodes, in order."""

    returns: np.ndarray
    """Undiscounted returns `(episodes,)` float64."""
    lengths: np.ndarray
    """Steps `(episodes,)` int64."""
    successes: np.ndarray | None
    """Whether a step's info reported success `(episodes,)` bool; None if the environment tells
    nothing of success."""
    seeds: np.ndarray
    """Seeds the environment was reset with `(episodes,)` int64."""
    frames: tuple[np.ndarray, ...] = ()
    """Frames `(time, height, width, channel)` uint8 of each recorded episode."""
    frames_per_second: float = 30.0

    def to_data(self) -> dict[str, Any]:
        """Plain values for JSON, without the frames."""
        return {
            "returns": [float(value) for value in self.returns],
            "lengths": [int(value) for value in self.lengths],
            "successes": (
                None if self.successes is None else [bool(value) for value in self.successes]
            ),
            "seeds": [int(value) for value in self.seeds],
        }


class EvaluationPool:
    """Environments that stay alive between evaluations, so that their start-up is paid once.

    With `workers=0` they live in this process; by default there is a worker process a core.
    Use it as a context manager, or call `close`. Raises `VRLError` when an environment cannot be
    built, fails, hangs, or when a worker dies; the pool is closed then.
    """

    def __init__(
        self, environment: EnvironmentConfig, *, workers: int | None = None, lanes: int = LANES
    ) -> None:
        from vrl_core.device import available_cores

        count = min(available_cores() if workers is None else workers, lanes)
        self.lanes = lanes
        self._group: LocalLanes | RemoteLanes = (
            RemoteLanes(environment, lanes, count) if count > 0 else LocalLanes(environment, lanes)
        )
        self._closed = False

    @property
    def layout(self) -> Layout:
        """Shapes of observations and actions."""
        return self._group.layout

    def evaluate(
        self,
        policy: Policy,
        *,
        episodes: int,
        seed: int,
        record: int = 0,
        on_step: Callable[[int], None] | None = None,
    ) -> Evaluation:
        """Run `episodes` episodes and keep the frames of the first `record` of them.

        `on_step` is called with the number of environment steps taken so far. Raises `VRLError`
        for actions that do not fit the environment or are not finite, and for rewards that are
        not finite.
        """
        if self._closed:
            raise VRLError("This evaluation pool is closed; create a new one.")
        if episodes < 1:
            raise VRLError(f"{episodes} episodes were asked for; evaluate at least 1.")
        try:
            waves = [
                self._wave(policy, wave, seed, record, on_step)
                for wave in _waves(episodes, self.lanes)
            ]
        except BaseException:
            self.close()  # the lanes are in the middle of episodes
            raise
        return _joined(waves, self.layout.frames_per_second)

    def close(self) -> None:
        """Close the environments and end the workers."""
        if not self._closed:
            self._closed = True
            self._group.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _wave(
        self,
        policy: Policy,
        wave: range,
        seed: int,
        record: int,
        on_step: Callable[[int], None] | None,
    ) -> Evaluation:
        """Run one episode a lane, in lockstep, until the last has ended."""
        group, size = self._group, len(wave)
        seeds = [episode_seed(seed, episode) for episode in wave]
        recorded = [episode < record for episode in wave]
        starts = zip(range(size), seeds, recorded, strict=True)
        group.start([EpisodeStart(*start) for start in starts])
        arrays = group.arrays
        returns, lengths = np.zeros(size), np.zeros(size, np.int64)
        running, state, step = np.ones(size, bool), policy.start(size), 0
        while running.any():
            # Copies, because a policy may keep what it is shown as its memory.
            observations = {name: rows[:size].copy() for name, rows in arrays.observations.items()}
            actions, state = policy.act(observations, state)
            arrays.action[:size] = _checked_actions(actions, (size, self.layout.action_size), step)
            group.step()
            _check_rewards(arrays.reward[:size], running, wave, step)
            returns[running] += arrays.reward[:size][running]
            lengths[running] += 1
            running = ~np.array(arrays.ended[:size])
            step = _next_step(step)
            if on_step is not None:
                on_step(int(lengths.sum()))
        return Evaluation(
            returns=returns,
            lengths=lengths,
            successes=np.array(arrays.success[:size]),
            seeds=np.array(seeds, np.int64),
            frames=tuple(group.frames(lane) for lane in range(size) if recorded[lane]),
        )


def evaluate(
    policy: Policy,
    environment: EnvironmentConfig,
    *,
    episodes: int,
    seed: int,
    workers: int | None = None,
    record: int = 0,
    pool: EvaluationPool | None = None,
) -> Evaluation:
    """Run a policy for `episodes` episodes, the first `record` of them recorded.

    Several evaluations in the same environment share a `pool`, which has its own number of
    workers; without one, environments are started and closed here. Raises as `EvaluationPool`.
    """
    if pool is not None:
        return pool.evaluate(policy, episodes=episodes, seed=seed, record=record)
    lanes = max(1, min(LANES, episodes))
    with EvaluationPool(environment, workers=workers, lanes=lanes) as own:
        return own.evaluate(policy, episodes=episodes, seed=seed, record=record)


def episode_seed(seed: int, episode: int) -> int:
    """Seed of an episode's reset, from the evaluation's seed and the episode's number.

    Mixed rather than added, so that evaluations with neighbouring seeds share no episodes.
    """
    mixed = np.random.SeedSequence((seed, episode)).generate_state(1, np.uint32)[0]
    return int(mixed >> 1)  # environments take signed 32-bit seeds


class RandomPolicy:
    """Actions drawn uniformly from [-1, 1]."""

    def __init__(self, action_size: int, seed: int = 0) -> None:
        self._action_size = action_size
        self._random = np.random.default_rng(seed)

    def start(self, environments: int) -> None:
        """Keep no memory."""

    def act(
        self,
        observations: Mapping[str, np.ndarray],
        state: None,  # noqa: ARG002 - part of the protocol
    ) -> tuple[np.ndarray, None]:
        """Draw an action `(environments, action)` for each environment."""
        environments = len(next(iter(observations.values())))
        actions = self._random.uniform(-1, 1, (environments, self._action_size))
        return actions.astype(np.float32), None


def _waves(episodes: int, lanes: int) -> list[range]:
    """Split episodes into as few waves as possible, of sizes as equal as possible."""
    count = -(-episodes // lanes)
    edges = [episodes * wave // count for wave in range(count + 1)]
    return [range(*pair) for pair in itertools.pairwise(edges)]


def _joined(waves: list[Evaluation], frames_per_second: float) -> Evaluation:
    successes = np.concatenate([wave.successes for wave in waves if wave.successes is not None])
    return Evaluation(
        returns=np.concatenate([wave.returns for wave in waves]),
        lengths=np.concatenate([wave.lengths for wave in waves]),
        successes=None if (successes == UNKNOWN_SUCCESS).all() else successes == 1,
        seeds=np.concatenate([wave.seeds for wave in waves]),
        frames=tuple(frames for wave in waves for frames in wave.frames),
        frames_per_second=frames_per_second,
    )


def _checked_actions(actions: np.ndarray, shape: tuple[int, int], step: int) -> np.ndarray:
    actions = np.asarray(actions)
    if actions.shape != shape:
        raise VRLError(
            f"The policy's actions have shape {actions.shape}; {shape[0]} environments with "
            f"actions of {shape[1]} numbers need {shape}. Was it trained for another task?"
        )
    if not np.isfinite(actions).all():
        row = int(np.flatnonzero(~np.isfinite(actions).all(1))[0])
        raise VRLError(
            f"The policy chose the action {actions[row]} at step {step} of an evaluation; its "
            "parameters are probably not finite. Evaluate an earlier checkpoint."
        )
    clipped: np.ndarray = np.clip(actions, -1, 1)
    return clipped


def _check_rewards(rewards: np.ndarray, running: np.ndarray, wave: range, step: int) -> None:
    bad = np.flatnonzero(running & ~np.isfinite(rewards))
    if len(bad):
        raise VRLError(
            f"The environment's reward is {rewards[bad[0]]} at step {step} of evaluation "
            f"episode {wave[int(bad[0])]}."
        )


def _next_step(step: int) -> int:
    if step + 1 >= LONGEST_EPISODE:
        raise VRLError(
            f"An episode has not ended after {step + 1} steps. The environment must truncate its "
            "episodes, for instance with gymnasium.wrappers.TimeLimit."
        )
    return step + 1
