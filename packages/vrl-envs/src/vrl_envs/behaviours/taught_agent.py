"""Soft actor-critic that imitates what it was shown, as long as it knows nothing better."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vrl_core.soft_actor_critic import SoftActorCritic, StateBatch


class TaughtSoftActorCritic(SoftActorCritic):
    """The second half of each batch was shown to the agent by somebody who knows the task.

    For those of its actions that the critics value above the policy's own, the policy pays with
    `imitation_weight` times their mean squared distance, in units of the critics' mean absolute
    value (Nair et al., 2018, "Overcoming Exploration in Reinforcement Learning with
    Demonstrations", Section IV.B-C: behaviour cloning with a filter by value; the unit is of
    Fujimoto and Gu, 2021, Equation 5).
    """

    def __init__(self, *arguments: Any, imitation_weight: float, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.imitation_weight = imitation_weight

    def actor_loss(self, batch: StateBatch) -> tuple[Tensor, Tensor]:
        """Add what imitation costs; see the class. The log densities are of the policy alone."""
        loss, log_density = super().actor_loss(batch)
        first = len(batch.action) - len(batch.action) // 2
        return loss + self.imitation_loss(
            batch.observation[first:], batch.action[first:]
        ), log_density

    def imitation_loss(self, observation: Tensor, shown: Tensor) -> Tensor:
        """Return the cost of acting otherwise than shown where that was better, a number.

        `observation` is `(batch, observation)`, `shown` `(batch, action)`.
        """
        own = torch.tanh(self.actor.distribution(observation)[0])
        with torch.no_grad():
            value = self.values(self.critic, observation, own).amin(0)
            better = self.values(self.critic, observation, shown).amin(0) > value
            unit = self.imitation_weight * value.abs().mean()
        distance = (own - shown).square().mean(-1)
        return unit * torch.where(better, distance, 0.0).mean()
