"""HIV treatment as a Gymnasium environment, and as a simulator of many states at once."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from vrl_core.errors import VRLError
from vrl_envs.hiv.config import HIV
from vrl_envs.hiv.dynamics import (
    FULL_DOSES,
    INITIAL_STATE,
    LARGEST_COUNT,
    STATE_NAMES,
    rewards,
    solve_batch,
    solve_stiff,
)

SMALLEST_COUNT = 1e-10
"""Counts below this are observed as if they were this, where logarithms are observed."""
ACTION_TOLERANCE = 1e-6
TREATMENTS = np.array([(0.0, 0.0), (0.0, 0.3), (0.7, 0.0), (0.7, 0.3)])
"""Doses of whynot's four actions: none, protease inhibitor, transcriptase inhibitor, both."""


class HIVEnvironment(gymnasium.Env[np.ndarray, Any]):
    """A patient treated day by day; after `days` days the episode is truncated.

    Observations `(6,)` float32 are scaled as the settings say. The reward is whynot's, of the state
    that a day leads to. Every episode starts from `INITIAL_STATE` and nothing is random.
    """

    def __init__(self, config: HIV) -> None:
        self.config = config
        self.metadata = {"render_modes": []}
        self.observation_space = spaces.Box(-np.inf, np.inf, (len(INITIAL_STATE),), np.float32)
        self.action_space: spaces.Space[Any] = (
            spaces.Discrete(len(TREATMENTS))
            if config.doses == "discrete"
            else spaces.Box(-1.0, 1.0, (len(FULL_DOSES),), np.float32)
        )
        self.counts = np.array(INITIAL_STATE)
        self._days = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode: the same whatever the seed."""
        super().reset(seed=seed, options=options)
        self.counts, self._days = np.array(INITIAL_STATE), 0
        return self.observe(self.counts), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Treat for a day. Raises `VRLError` for doses out of range or when the solver fails."""
        doses = self.doses(np.asarray(action)[None])[0]
        self.counts = solve_stiff(self.counts.tolist(), doses)
        self._days += 1
        reward = float(rewards(self.counts, doses)) * self.config.reward_scale
        truncated = self._days >= self.config.days
        return self.observe(self.counts), reward, False, truncated, {}

    def set_counts(self, counts: np.ndarray) -> None:
        """Continue from counts `(6,)`. Raises `VRLError` for what no patient can have."""
        counts = np.asarray(counts, np.float64)
        if counts.shape != (len(STATE_NAMES),):
            raise VRLError(
                f"A patient has {len(STATE_NAMES)} counts ({', '.join(STATE_NAMES)}), not an array "
                f"of shape {counts.shape}."
            )
        self.counts = checked_counts(counts[None])[0]

    def simulate(
        self, observations: np.ndarray, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what a day leads to from each state, in the environment's own scales.

        `observations` `(batch, 6)` and `actions` `(batch, 2)` (`(batch,)` when discrete) give the
        next observations `(batch, 6)` and the rewards `(batch,)`, float32. Neither reads nor
        changes the episode that is going on. Raises `VRLError` for impossible counts or doses.
        """
        counts, doses = self.states(observations), self.doses(np.asarray(actions))
        if len(counts) != len(doses):
            raise VRLError(f"{len(counts)} states and {len(doses)} actions do not go together.")
        following = solve_batch(counts, doses)
        reward = rewards(following, doses) * self.config.reward_scale
        return self.observe(following), reward.astype(np.float32)

    def observe(self, counts: np.ndarray) -> np.ndarray:
        """Return observations `(..., 6)` float32 of counts `(..., 6)`."""
        logarithms = self._logarithms
        observed = np.array(counts, np.float64)
        observed[..., logarithms] = np.log10(np.maximum(observed[..., logarithms], SMALLEST_COUNT))
        observation: np.ndarray = observed.astype(np.float32)
        return observation

    def states(self, observations: np.ndarray) -> np.ndarray:
        """Return the counts `(batch, 6)` of observations `(batch, 6)`: the inverse of `observe`."""
        counts = np.array(observations, np.float64)
        if counts.ndim != 2 or counts.shape[1] != len(STATE_NAMES):
            raise VRLError(f"HIV states are (batch, {len(STATE_NAMES)}), not {counts.shape}.")
        with np.errstate(over="ignore"):
            counts[:, self._logarithms] = 10.0 ** counts[:, self._logarithms]
        return checked_counts(counts, every_logarithm=self.config.observation == "log10")

    def doses(self, actions: np.ndarray) -> np.ndarray:
        """Return the drugs' efficacies `(batch, 2)` of actions. Raises `VRLError` out of range."""
        if self.config.doses == "discrete":
            treatment: np.ndarray = TREATMENTS[checked_treatments(actions)]
            return treatment
        shares = checked_shares(actions)
        if self.config.doses == "switched":
            shares = (shares > 0.5).astype(np.float64)
        efficacies: np.ndarray = shares * np.array(FULL_DOSES)
        return efficacies

    @property
    def _logarithms(self) -> slice:
        return {"log10": slice(0, 6), "log10-cells": slice(0, 4), "counts": slice(0, 0)}[
            self.config.observation
        ]


def checked_shares(actions: np.ndarray) -> np.ndarray:
    """Map actions `(batch, 2)` in [-1, 1] to shares of the full doses. Raises `VRLError`."""
    actions = np.asarray(actions, np.float64)
    if actions.ndim != 2 or actions.shape[1] != len(FULL_DOSES):
        raise VRLError(f"HIV actions are two numbers each, one a drug, not {actions.shape[1:]}.")
    wrong = ~(np.abs(actions) <= 1 + ACTION_TOLERANCE).all(1)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise VRLError(
            f"Doses out of range: action {actions[row].tolist()} of row {row}. Each number lies in "
            f"[-1, 1], from no drug to the full efficacies {FULL_DOSES[0]} and {FULL_DOSES[1]}."
        )
    shares: np.ndarray = (np.clip(actions, -1, 1) + 1) / 2
    return shares


def checked_treatments(actions: np.ndarray) -> np.ndarray:
    """Return treatments `(batch,)` as integers 0 to 3. Raises `VRLError` for others."""
    numbers = np.asarray(actions)
    known = numbers.ndim == 1 and np.isin(numbers, range(len(TREATMENTS))).all()
    if not known:
        raise VRLError(
            f"There is no treatment {numbers.tolist()}: 0 is none, 1 the protease inhibitor, 2 the "
            "reverse transcriptase inhibitor, 3 both."
        )
    return numbers.astype(np.int64)


def checked_counts(counts: np.ndarray, *, every_logarithm: bool = False) -> np.ndarray:
    """Return counts `(batch, 6)` between 0 and `LARGEST_COUNT`. Raises `VRLError` for others.

    `every_logarithm` says that they came from logarithms, which the advice depends on.
    """
    wrong = ~((counts >= 0) & (counts <= LARGEST_COUNT))
    if not wrong.any():
        return counts
    row, column = (int(number) for number in np.argwhere(wrong)[0])
    parts = [
        f"No patient has {STATE_NAMES[column]} {counts[row, column]:g} (row {row}): counts lie "
        f"between 0 and {LARGEST_COUNT:g} a millilitre, one in every cubic micrometre."
    ]
    if counts[row, column] < 0 and not every_logarithm:
        parts.append("A model of all logarithms (observation 'log10') predicts no negative ones.")
    raise VRLError(" ".join(parts))
