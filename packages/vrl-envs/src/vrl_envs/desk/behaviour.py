"""Who acts at the desk: a script that closes the drawer, and one that explores.

Both read where things are from the simulator; only what they do gets into the data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vrl_envs.collection import noisy_action
from vrl_envs.desk.environment import CLOSED, STEP, WORKSPACE, DeskEnvironment

FRONT = 0.06
"""Metres before the handle where the hand goes down."""
BESIDE = 0.02
"""Metres off that place that do not matter."""
SAFE_HEIGHT = 0.35
"""Height of the fingertips, metres, at which they pass over all clutter."""
PUSHING_HEIGHT = 0.15
"""Height at which the fingers meet the handle."""
HANDLE_SPREAD = np.array([0.06, 0.07, 0.05])
"""Metres by which the exploration's goals about the handle miss it (standard deviation)."""
GOAL_STEPS = (8, 20)
"""Steps that the exploration follows one goal, at least and at most."""
EXPLORATION_NOISE = 0.4
"""Standard deviation of the noise on the exploration's actions."""


def closing_action(environment: DeskEnvironment) -> np.ndarray:
    """Return the script's action `(3,)`: over and before the handle, down, and push it in."""
    tip, handle = environment.tip(), environment.handle()
    before = np.array([handle[0] - FRONT, handle[1]])
    if environment.opening() <= CLOSED / 2:
        return np.zeros(3)  # done: nothing to gain
    low = tip[2] < PUSHING_HEIGHT + BESIDE
    if low and tip[0] < handle[0]:
        return towards(tip, np.array([tip[0] + 2 * STEP, handle[1], PUSHING_HEIGHT]))
    if np.abs(tip[:2] - before).max() > BESIDE:
        # Over the clutter, and over the drawer's front when the hand is behind it.
        height = SAFE_HEIGHT if tip[0] > before[0] else tip[2]
        over = before if tip[2] > SAFE_HEIGHT - 2 * STEP or tip[0] < before[0] else tip[:2]
        return towards(tip, np.array([*over, height]))
    return towards(tip, np.array([*before, PUSHING_HEIGHT - BESIDE / 2]))


def towards(tip: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Return the action `(3,)` in [-1, 1] from the tip `(3,)` to a goal `(3,)`."""
    action: np.ndarray = np.clip((goal - tip) / STEP, -1.0, 1.0)
    return action


@dataclass
class Exploration:
    """Goes to one place after another, with noise: some anywhere, some about the handle.

    Stands in for the semi-supervised exploration that collected LOMPO's data (Chen et al. 2020),
    which was drawn to states that people had marked as relevant.
    """

    environment: DeskEnvironment
    rng: np.random.Generator
    interest: float
    """Share of the goals that are about the handle."""
    _steps: int = 0
    _goal: np.ndarray | None = None

    def action(self) -> np.ndarray:
        """Return the next action `(3,)` float32 in [-1, 1]."""
        if self._goal is None or self._steps == 0:
            self._goal = self._next_goal()
            self._steps = int(self.rng.integers(GOAL_STEPS[0], GOAL_STEPS[1] + 1))
        self._steps -= 1
        wanted = towards(self.environment.tip(), self._goal)
        return noisy_action(wanted, EXPLORATION_NOISE, self.rng)

    def _next_goal(self) -> np.ndarray:
        anywhere = self.rng.uniform(*WORKSPACE.T)
        near = self.environment.handle() + HANDLE_SPREAD * self.rng.standard_normal(3)
        return near if self.rng.random() < self.interest else anywhere
