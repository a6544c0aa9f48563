"""Kitchen demonstrations as images: each recorded state is set, drawn and rewarded.

D4RL's observations are 60 numbers: 9 joints of the robot, 21 of the kitchen, and the goal. Minari's
are gymnasium-robotics' 59: position and speed of the robot's joints, 9 each, then 21 positions and
20 speeds of the kitchen's. The actions are the recorded ones. D4RL's states do not say where an
episode's last action led: that action is left out.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vrl_core.episodes import Dataset, DataSpec, Episode, spread
from vrl_core.errors import VRLError
from vrl_core.evaluation_workers import layout_of
from vrl_envs.collection import check_index, describe, stack_fields
from vrl_envs.kitchen.config import KitchenDataset
from vrl_envs.kitchen.environment import KitchenEnvironment, objects_in_place
from vrl_envs.readers.d4rl_config import D4RL
from vrl_envs.readers.minari_config import Minari
from vrl_envs.releases import ROBOTICS

ROBOT, JOINTS = 9, 30
"""Joints of the robot, and with the kitchen's."""
D4RL_STATE, MINARI_STATE, ACTIONS = 60, 59, 9


class DrawnDemonstrations:
    """The episodes of a file, drawn when they are asked for."""

    def __init__(self, config: KitchenDataset) -> None:
        """Open the file and load the kitchen.

        Raises `VRLError` when the file is missing or not Kitchen's, has fewer episodes than asked
        for, or nothing can draw.
        """
        self.config = config
        self.recorded, self.field = open_demonstrations(config)
        available = len(self.recorded)
        count = config.length() or available
        if count > available:
            raise VRLError(
                f"{count} episodes were asked for; {config.demonstrations} has {available}."
            )
        self.chosen = spread(count, available)
        self.environment = KitchenEnvironment(config.environment())
        self.environment.reset(seed=0)
        self.spec = self._describe()

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int, /) -> Episode:
        """Draw episode `index`. Raises `DamagedDataError` when the file is damaged."""
        check_index(index, len(self))
        recorded = self.recorded[self.chosen[index]]
        positions = joint_positions(recorded.observations[self.field])
        rewards, there, completed = self._outcome(positions)
        steps = self._steps(completed)
        done = steps < len(rewards) or bool(completed[-1] == len(self.environment.objects))
        last = np.arange(steps) == steps - 1
        terminated = done and bool(self.config.end_when_completed)
        return Episode(
            observations=stack_fields([self._draw(row) for row in positions[: steps + 1]]),
            actions=recorded.actions[:steps],
            rewards=rewards[:steps],
            terminations=last & terminated,
            truncations=last & (not terminated),
            info={
                **recorded.info,
                "behaviour": "demonstrations",
                "success": bool((there[:steps] == len(self.environment.objects)).any()),
                "completed": int(completed[steps - 1]),
            },
        )

    def close(self) -> None:
        """Free the simulator and its renderer."""
        self.environment.close()

    def _draw(self, positions: np.ndarray) -> Any:
        self.environment.show(positions)
        return self.environment.observe()

    def _outcome(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return each step's reward, objects in place, and objects that have been so far."""
        objects = self.environment.objects
        rows = [objects_in_place(row, objects) for row in positions]
        there = np.array([[name in row for name in objects] for row in rows])
        ever = np.logical_or.accumulate(there, axis=0).sum(axis=1)
        in_place = there.sum(axis=1)
        rewards = in_place[1:] if self.config.reward == "presence" else np.diff(ever)
        return rewards.astype(np.float32), in_place[1:], ever[1:]

    def _steps(self, completed: np.ndarray) -> int:
        """Return how long the episode is: to its end, or until every object has been in place."""
        ends = np.flatnonzero(completed == len(self.environment.objects))
        if self.config.end_when_completed and len(ends):
            return int(ends[0]) + 1
        return len(completed)

    def _describe(self) -> DataSpec:
        recorded = self.recorded.spec
        layout = layout_of(self.environment)
        drawn = describe("kitchen", self.config, layout, ROBOTICS.versions())
        return replace(
            drawn, seed=None, source=f"{recorded.source}, drawn by VRL", licence=recorded.licence
        )


def open_demonstrations(config: KitchenDataset) -> tuple[Dataset, str]:
    """Open D4RL's file or Minari's folder; return its episodes and the field of their states.

    Raises `VRLError` when it is none, or not Kitchen's.
    """
    path = str(config.demonstrations)
    recorded: Dataset
    if Path(path).expanduser().is_dir():
        recorded, field, expected = Minari(path=path).build(), "observation", MINARI_STATE
    else:
        reader = D4RL(path=path, task="kitchen", terminal_observation="drop")
        recorded, field, expected = reader.build(), "state", D4RL_STATE
    fields = recorded.spec.observations
    state = fields[field].shape[0] if field in fields else 0
    if (state, recorded.spec.action_size) != (expected, ACTIONS):
        there = ", ".join(f"{name} {each.shape}" for name, each in fields.items())
        raise VRLError(
            f"{path} is not of Kitchen: it has {there} and {recorded.spec.action_size} numbers in "
            f"an action, where Kitchen's has {field} ({expected},) and {ACTIONS}."
        )
    return recorded, field


def joint_positions(states: np.ndarray) -> np.ndarray:
    """Return positions `(T, 30)` float64 of robot and kitchen, of either kind of states."""
    if states.shape[1] == MINARI_STATE:
        kitchen = states[:, 2 * ROBOT : ROBOT + JOINTS]
        states = np.concatenate((states[:, :ROBOT], kitchen), axis=1)
    return states[:, :JOINTS].astype(np.float64)
