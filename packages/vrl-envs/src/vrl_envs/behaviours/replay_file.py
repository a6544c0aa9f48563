"""A learning agent's episodes as states to draw, a hundredth of their images' size.

Positions of the root joints grow without bound and keep single precision; angles of the others,
and actions, keep half precision: 0.001 rad. Training executed actions that halves hold exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from vrl_core.errors import VRLError

ROOT_POSITIONS: Mapping[str, int] = {"humanoid_walk": 7}
"""Leading joint positions that place the body in the world; `PLANAR_ROOT` for other tasks."""
PLANAR_ROOT = 3


@dataclass(frozen=True)
class ReplayEpisodes:
    """Episodes of T steps.

    root `(episode, T+1, root)` float32, joints `(episode, T+1, joint)` float16, actions
    `(episode, T, action)` float16, rewards `(episode, T)` float32.
    """

    root: np.ndarray
    joints: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray

    def positions(self, episode: int) -> np.ndarray:
        """Return an episode's joint positions `(T+1, position)` float64, root first."""
        parts = (self.root[episode], self.joints[episode])
        return np.concatenate([part.astype(np.float64) for part in parts], -1)


def pack(
    positions: np.ndarray, actions: np.ndarray, rewards: np.ndarray, root_size: int = PLANAR_ROOT
) -> ReplayEpisodes:
    """Keep positions `(episode, T+1, position)`, actions `(episode, T, action)` and rewards.

    Raises `VRLError` when the numbers of episodes or steps disagree, or a half cannot hold a value.
    """
    episodes, rows = positions.shape[:2]
    if actions.shape[:2] != (episodes, rows - 1) or rewards.shape != (episodes, rows - 1):
        raise VRLError(
            f"Positions {positions.shape}, actions {actions.shape} and rewards {rewards.shape} do "
            "not belong together: each episode has one more position than steps."
        )
    packed = ReplayEpisodes(
        root=positions[..., :root_size].astype(np.float32),
        joints=positions[..., root_size:].astype(np.float16),
        actions=actions.astype(np.float16),
        rewards=rewards.astype(np.float32),
    )
    for name, values in vars(packed).items():
        if not np.isfinite(values).all():
            raise VRLError(f"The replay's {name} are not finite, or too large for {values.dtype}.")
    return packed


def write_replay(path: Path, replay: ReplayEpisodes) -> None:
    """Write the episodes to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(array) for name, array in vars(replay).items()}, path)


def read_replay(path: Path) -> ReplayEpisodes:
    """Read the episodes of a file. Raises `VRLError` when it holds something else."""
    try:
        tensors = load_file(path)
        return ReplayEpisodes(**tensors)
    except (SafetensorError, OSError, TypeError) as error:
        raise VRLError(f"The replay {path} cannot be read: {error}.") from error
