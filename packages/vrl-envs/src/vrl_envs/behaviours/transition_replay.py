"""What a learner of a state task has lived through, in memory, and batches drawn from it."""

from __future__ import annotations

import numpy as np
import torch

from vrl_core.soft_actor_critic import StateBatch
from vrl_envs.behaviours.state_replay import StateReplay


class TransitionReplay:
    """All episodes so far, in arrays of a fixed capacity, with transitions drawn uniformly."""

    def __init__(
        self, steps: int, observation: int, action: int, *, reward_scale: float = 1.0
    ) -> None:
        self.observations = np.zeros((steps, observation), np.float32)
        self.next_observations = np.zeros((steps, observation), np.float32)
        self.actions = np.zeros((steps, action), np.float32)
        self.rewards = np.zeros(steps, np.float32)
        self.terminations = np.zeros(steps, bool)
        self.episodes: list[StateReplay] = []
        self.reward_scale, self.steps = reward_scale, 0

    def add(self, episode: StateReplay) -> None:
        """Append one episode."""
        rows = slice(self.steps, self.steps + len(episode.actions))
        self.observations[rows] = episode.observations[:-1]
        self.next_observations[rows] = episode.observations[1:]
        self.actions[rows] = episode.actions
        self.rewards[rows] = self.reward_scale * episode.rewards
        self.terminations[rows.stop - 1] = episode.terminated[0]
        self.episodes.append(episode)
        self.steps = rows.stop

    def batch(self, rng: np.random.Generator, size: int, discount: float) -> StateBatch:
        """Draw transitions; those that end an episode by its time limit bootstrap."""
        rows = rng.integers(self.steps, size=size)
        discounts = np.where(self.terminations[rows], 0.0, discount).astype(np.float32)
        return StateBatch(
            torch.from_numpy(self.observations[rows]),
            torch.from_numpy(self.actions[rows]),
            torch.from_numpy(self.rewards[rows]),
            torch.from_numpy(discounts),
            torch.from_numpy(self.next_observations[rows]),
        )
