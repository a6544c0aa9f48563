"""Rewards of OGBench's single-task variants for states that were recorded without a task."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from vrl_core.errors import VRLError
from vrl_envs.ogbench.config import OGBench
from vrl_envs.ogbench.environment import drawn_from, load_task
from vrl_envs.ogbench.tasks import environment_of, identifier

# After the environment, which chooses the way of drawing before MuJoCo is imported.
from ogbench.relabel_utils import relabel_dataset  # isort: skip


@lru_cache(maxsize=4)
def rewards_of(task: str) -> Rewards:
    """Return what a task says of recorded states; its environment is loaded once a process."""
    return Rewards(task)


class Rewards:
    """What a task says of recorded states, by OGBench's own `relabel_dataset`."""

    def __init__(self, task: str) -> None:
        self.task = task
        self.needs_buttons = task.startswith(("scene", "puzzle"))
        self.inner = load_task(OGBench(task=task, observation="state"), collecting=False)
        with drawn_from(np.random.RandomState(0)):
            self.inner.reset(seed=0)  # which makes the arm's model
        self.numbers = int(self.inner.model.nq)
        """Numbers in a row of joint positions."""

    def of(
        self, positions: np.ndarray, buttons: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return rewards `(rows,)` float32 and whether the task is solved `(rows,)` bool.

        `positions` are joint positions `(rows, joints)` (`qpos`), `buttons` the states of the
        buttons `(rows, buttons)`, where the task has any. Both describe the states in which actions
        are taken, as in OGBench (its `success_timing` is `pre`). Raises `VRLError` for rows of
        another environment.
        """
        if positions.shape[1] != self.numbers or (buttons is None and self.needs_buttons):
            missing = "no button_states" if buttons is None else "button_states"
            raise VRLError(
                f"{environment_of(self.task)} has {self.numbers} joint positions (qpos); the data "
                f"has {positions.shape[1]}, and {missing}. It is of another environment; name its "
                "task."
            )
        columns = {"qpos": positions} | ({} if buttons is None else {"button_states": buttons})
        with drawn_from(np.random.RandomState(0)):  # by a reset, which sets the task's targets
            relabel_dataset(identifier(self.task, images=False), self.inner, columns)
        return columns["rewards"], columns["masks"] == 0
