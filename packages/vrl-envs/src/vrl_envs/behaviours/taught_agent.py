"""Soft actor-critic that imitates what it was shown, less and less."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vrl_core.soft_actor_critic import SoftActorCritic, StateBatch


class TaughtSoftActorCritic(SoftActorCritic):
    """The second half of each batch was shown to the agent by somebody who knows the task.

    The policy pays with `imitation_weight` times its mean squared distance from the shown actions,
    in units of its mean absolute value (the distance and the unit of Fujimoto and Gu, 2021,
    "A Minimalist Approach to Offline Reinforcement Learning", Equations 3 and 5; on demonstrations
    alone and with a weight that falls, as Rajeswaran et al., 2018, Equation 3).
    """

    def __init__(self, *arguments: Any, imitation_weight: float, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.imitation_weight = imitation_weight

    def actor_loss(self, batch: StateBatch) -> tuple[Tensor, Tensor]:
        """Add what imitation costs; see the class. The log densities are of the policy alone."""
        loss, log_density = super().actor_loss(batch)
        if self.imitation_weight:
            first = len(batch.action) - len(batch.action) // 2
            loss = loss + self.imitation_loss(batch.observation[first:], batch.action[first:])
        return loss, log_density

    def imitation_loss(self, observation: Tensor, shown: Tensor) -> Tensor:
        """Return the cost of acting otherwise than shown, a number.

        `observation` is `(batch, observation)`, `shown` `(batch, action)`.
        """
        own = torch.tanh(self.actor.distribution(observation)[0])
        with torch.no_grad():
            value = self.values(self.critic, observation, own).amin(0)
        return self.imitation_weight * value.abs().mean() * (own - shown).square().mean()
