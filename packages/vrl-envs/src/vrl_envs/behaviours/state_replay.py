"""What a learning agent saw on a state task, whole: the `mixed` data of Gymnasium's tasks and HIV.

Episodes of any length lie one after another. An episode of T steps has T+1 observations.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from vrl_core.atomic import replacing
from vrl_core.episodes import Episode
from vrl_core.errors import VRLError


@dataclass(frozen=True, kw_only=True)
class StateReplay:
    """Episodes with N steps in all.

    observations `(N + episodes, state)`, actions `(N, action)`, rewards `(N,)`, velocities `(N, 2)`
    (those of the task's reward; zero where it has none), all float32; lengths `(episodes,)` int64;
    terminated `(episodes,)` bool.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    velocities: np.ndarray
    lengths: np.ndarray
    terminated: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)

    def rows(self, index: int) -> slice:
        """Return where episode `index` has its steps."""
        start = int(self.lengths[:index].sum())
        return slice(start, start + int(self.lengths[index]))

    def episode(self, index: int, info: Mapping[str, Any]) -> Episode:
        """Return episode `index` as it was rewarded then."""
        rows = self.rows(index)
        steps = rows.stop - rows.start
        last = np.arange(steps) == steps - 1
        ended = bool(self.terminated[index])
        return Episode(
            observations={"state": self.observations[rows.start + index : rows.stop + index + 1]},
            actions=self.actions[rows],
            rewards=self.rewards[rows],
            terminations=last & ended,
            truncations=last & (not ended),
            info=dict(info),
        )


def join(episodes: Sequence[StateReplay]) -> StateReplay:
    """Put replays one after another."""
    return StateReplay(
        **{
            field.name: np.concatenate([getattr(episode, field.name) for episode in episodes])
            for field in fields(StateReplay)
        }
    )


def write_state_replay(path: Path, replay: StateReplay, environment: Mapping[str, Any]) -> None:
    """Write a replay, replacing the file at once, with its environment's settings as a note."""
    path.parent.mkdir(parents=True, exist_ok=True)
    note = {"environment": json.dumps(dict(environment))}
    with replacing(path) as partial:
        arrays = {name: np.ascontiguousarray(array) for name, array in vars(replay).items()}
        save_file(arrays, partial, metadata=note)


def read_state_replay(path: Path) -> tuple[StateReplay, dict[str, Any]]:
    """Read a replay and its environment's settings. Raises `VRLError` for another kind of file."""
    environment = read_environment(path)
    try:
        with safe_open(path, "np") as file:
            replay = StateReplay(**{name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (SafetensorError, OSError, TypeError) as error:
        raise VRLError(f"The replay {path} cannot be read: {error}.") from error
    _check(path, replay)
    return replay, environment


def read_environment(path: Path) -> dict[str, Any]:
    """Read the settings that a replay was recorded with. Raises `VRLError` when it has none."""
    try:
        with safe_open(path, "np") as file:
            note = json.loads((file.metadata() or {}).get("environment", "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise VRLError(f"The replay {path} cannot be read: {error}.") from error
    if not isinstance(note, dict) or not note:
        raise VRLError(
            f"The replay {path} does not say in what environment it was recorded, so its rewards "
            "cannot be told. Record one with `python -m vrl_envs.behaviours.train --preset mixed`."
        )
    return note


def _check(path: Path, replay: StateReplay) -> None:
    steps, episodes = int(replay.lengths.sum()), len(replay.lengths)
    rows = {
        "observations": steps + episodes,
        "actions": steps,
        "rewards": steps,
        "velocities": steps,
        "terminated": episodes,
    }
    for name, expected in rows.items():
        found = len(getattr(replay, name))
        if found != expected:
            raise VRLError(
                f"The replay {path} is damaged: its {name} have {found} rows, and {episodes} "
                f"episodes of {steps} steps need {expected}."
            )
