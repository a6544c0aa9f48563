"""A learning agent's episodes on a state task as what cannot be computed again: seeds and actions.

A tenth of the size of `state_replay`'s files. Training executes actions that halves hold exactly,
so simulating them from the seeds' first states gives the episodes back: bit for bit on a machine
like the one that recorded them, and true episodes of the task on any.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from vrl_core.atomic import replacing
from vrl_core.episodes import Episode
from vrl_core.errors import VRLError
from vrl_envs.behaviours.state_replay import StateReplay, read_state_replay
from vrl_envs.collection import run_episode


@dataclass(frozen=True, kw_only=True)
class ActionReplay:
    """Episodes with N steps in all: actions `(N, action)` float16, seeds, lengths `(episodes,)`."""

    actions: np.ndarray
    seeds: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)

    def actions_of(self, index: int) -> np.ndarray:
        """Return episode `index`'s actions `(steps, action)` float32."""
        start = int(self.lengths[:index].sum())
        chosen: np.ndarray = self.actions[start : start + int(self.lengths[index])]
        return chosen.astype(np.float32)

    def simulate(self, environment: Any, index: int, info: Mapping[str, Any]) -> Episode:
        """Play episode `index` again in an environment of the same dynamics; rewards are its own.

        It ends where the recorded one did, or before, should the environment end it.
        """
        actions = iter(self.actions_of(index))
        seed, steps = int(self.seeds[index]), int(self.lengths[index])
        return run_episode(environment, seed, lambda _: next(actions), info, steps=steps)


def episode_seed(seed: int, index: int) -> int:
    """Return the seed that an online training's episode begins with."""
    return 1_000_000 * (seed + 1) + index


def episode_seeds(seed: int, episodes: int) -> np.ndarray:
    """Return the seeds `(episodes,)` of a training's first episodes."""
    return np.array([episode_seed(seed, index) for index in range(episodes)], np.int64)


def pack_actions(replay: StateReplay, seeds: np.ndarray) -> ActionReplay:
    """Keep the actions of a replay whose episodes began with `seeds` `(episodes,)`.

    Raises `VRLError` when halves do not hold them.
    """
    actions = replay.actions.astype(np.float16)
    if (actions.astype(np.float32) != replay.actions).any():
        raise VRLError(
            "The replay's actions are no half-precision numbers, so that episodes simulated with "
            "halves would be others. Replays trained by this release's "
            "`python -m vrl_envs.behaviours.train` are."
        )
    return ActionReplay(actions=actions, seeds=np.asarray(seeds, np.int64), lengths=replay.lengths)


def write_action_replay(path: Path, replay: ActionReplay, environment: Mapping[str, Any]) -> None:
    """Write a replay, replacing the file at once, with its environment's settings as a note."""
    path.parent.mkdir(parents=True, exist_ok=True)
    note = {"environment": json.dumps(dict(environment))}
    with replacing(path) as partial:
        arrays = {name: np.ascontiguousarray(array) for name, array in vars(replay).items()}
        save_file(arrays, partial, metadata=note)


def holds_actions_alone(path: Path) -> bool:
    """Whether a replay's file holds seeds and actions, and no states."""
    try:
        with safe_open(path, "np") as file:
            return "seeds" in file.keys()  # noqa: SIM118
    except (SafetensorError, OSError):
        return False


def read_action_replay(path: Path) -> ActionReplay:
    """Read a replay. Raises `VRLError` for another kind of file, or parts that do not fit."""
    try:
        with safe_open(path, "np") as file:
            replay = ActionReplay(**{name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (SafetensorError, OSError, TypeError) as error:
        raise VRLError(f"The replay {path} cannot be read: {error}.") from error
    if len(replay.actions) != replay.lengths.sum() or len(replay.seeds) != len(replay.lengths):
        raise VRLError(
            f"The replay {path} is damaged: {len(replay.actions)} actions and {len(replay.seeds)} "
            f"seeds for {len(replay.lengths)} episodes of {replay.lengths.sum()} steps."
        )
    return replay


def read_or_pack_actions(path: Path) -> ActionReplay:
    """Read a replay as seeds and actions: a shipped one, or one in a training run's folder.

    Raises `VRLError` for another kind of file, or when nothing tells the seeds of the episodes.
    """
    if holds_actions_alone(path):
        return read_action_replay(path)
    replay, _ = read_state_replay(path)
    training = path.parents[1] / "training.json"
    try:
        seed = json.loads(training.read_text())["seed"]
    except (OSError, ValueError, KeyError) as error:
        raise VRLError(
            f"The episodes of the replay {path} cannot be simulated again: {training}, which "
            "tells their seeds, cannot be read. Keep the files of a training run together."
        ) from error
    return pack_actions(replay, episode_seeds(seed, len(replay)))
