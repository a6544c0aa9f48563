"""From rows as V-D4RL records them to an episode in Gymnasium's alignment. The one conversion.

Row t of a V-D4RL file holds observation t, the action that led to it, and the reward of arriving
there; row 0 is the reset, its action and reward are zeros. So step t of the episode is
`observation[t], action[t+1], reward[t+1], observation[t+1]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vrl_core.episodes import Episode
from vrl_core.errors import VRLError
from vrl_envs.readers.actions import bounded


@dataclass(frozen=True, kw_only=True)
class RecordedRows:
    """The N rows of one recorded episode.

    Observation fields `(N, ...)`, images `(N, height, width, channel)` uint8; `action`
    `(N, action)`; `reward` `(N,)`; `terminal` `(N,)` bool: the row's state ended the task, which
    in V-D4RL none does.
    """

    observations: Mapping[str, np.ndarray]
    action: np.ndarray
    reward: np.ndarray
    terminal: np.ndarray


def to_episode(
    rows: RecordedRows,
    *,
    where: str,
    info: Mapping[str, Any],
    clip: bool,
    first: int = 0,
    ends: bool = True,
) -> Episode:
    """Return the N-1 steps of a recorded episode, or of a piece of one.

    The last step is a truncation (V-D4RL's episodes end by the time limit, or were cut) unless
    its state is terminal. A piece begins with row `first` of the episode and `ends` with it or
    not. Raises `VRLError` when a state before the episode's last one is terminal, and for actions
    beyond [-1, 1] unless it is to `clip` them.
    """
    before = rows.terminal[:-1] if ends else rows.terminal
    if before.any():
        raise VRLError(
            f"{where} goes on after a terminal state (row {first + int(before.argmax())}). It "
            "is not one episode; split it there."
        )
    terminations = rows.terminal[1:].astype(bool)
    truncations = np.zeros_like(terminations)
    truncations[-1] = ends and not terminations[-1]
    return Episode(
        observations=rows.observations,
        actions=bounded(rows.action[1:].astype(np.float32), where, clip=clip),
        rewards=rows.reward[1:].astype(np.float32),
        terminations=terminations,
        truncations=truncations,
        info=info,
    )


def row_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of one row; for a scalar, `(N, 1)` is the same as `(N,)`."""
    row = shape[1:]
    return () if name in SCALARS and row == (1,) else row


SCALARS = frozenset(
    {"reward", "discount", "step_type", "is_first", "is_last", "is_terminal"}
    | {"terminal", "success", "mask"}
)
"""Columns of one number a row."""
