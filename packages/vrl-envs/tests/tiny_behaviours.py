"""Small behaviours for tests: networks with random weights and a replay of a few episodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from vrl_core.soft_actor_critic import TanhGaussianActor
from vrl_envs.behaviours.replay_file import pack, write_replay

SIZES = {"walker_walk": (24, 6), "cheetah_run": (17, 6)}


def save_actor(path: Path, observation: int, action: int, seed: int = 0) -> TanhGaussianActor:
    torch.manual_seed(seed)
    actor = TanhGaussianActor(observation, action, (16, 8))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(actor.state_dict(), path)
    return actor


def save_behaviours(folder: Path, task: str = "walker_walk", episodes: int = 2) -> np.ndarray:
    """Write medium, expert and mixed; return the mixed positions `(episode, step + 1, 9)`."""
    for seed, quality in enumerate(("medium", "expert")):
        save_actor(folder / "policies" / task / f"{quality}.safetensors", *SIZES[task], seed)
    rng = np.random.default_rng(0)
    positions = rng.normal(size=(episodes, 5, 9)).astype(np.float32)
    actions = rng.uniform(-1, 1, (episodes, 4, 6)).astype(np.float32)
    rewards = rng.uniform(size=(episodes, 4)).astype(np.float32)
    write_replay(folder / "replays" / f"{task}.safetensors", pack(positions, actions, rewards))
    return positions
