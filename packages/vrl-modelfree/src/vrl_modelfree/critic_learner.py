"""What DrQ+BC and CQL share: twin critic, its target network and the frame of an update."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import mse_loss

from vrl_core.episodes import DataSpec
from vrl_core.networks import move_towards
from vrl_core.protocols import Metrics, Observations, Phase, TransitionBatch, Transitions
from vrl_modelfree.actor_critic import Critic
from vrl_modelfree.config import ActorCriticConfig
from vrl_modelfree.learner import PixelLearner


class CriticLearner(PixelLearner, ABC):
    """DrQ-v2's update; an algorithm says what the losses of critic and actor are.

    The critic's loss trains the encoder, the actor's does not. There is no target encoder: both
    critics read the same features.
    """

    config: ActorCriticConfig

    def __init__(self, config: ActorCriticConfig, spec: DataSpec, device: torch.device) -> None:
        super().__init__(config, spec, device)
        self.critic = Critic(*self.network_sizes).to(device)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.networks |= {"critic": self.critic, "target_critic": self.target_critic}
        self.optimise("encoder", "critic", "actor")

    @property
    def phases(self) -> tuple[Phase, ...]:
        """One phase on n-step transitions."""
        config = self.config
        batches = Transitions(
            batch_size=config.batch_size,
            frame_stack=config.frame_stack,
            return_steps=config.return_steps,
            discount=config.discount,
            observations=self.fields.names,
        )
        return (
            Phase(
                "train",
                config.steps,
                batches,
                self.update,
                replayable=True,
                prepare=self.prepare,
            ),
        )

    def update(self, batch: TransitionBatch[Observations]) -> Metrics:
        """Take one step on critic and encoder, one on the actor, and move the target critic.

        The actor learns from the updated critic, on features from before the encoder's step.
        """
        self.set_learning_rate()
        deviation = self.noise_deviation()
        features = self.encode(batch.observation)
        metrics = self.update_critic(features, batch, deviation)
        metrics |= self.update_actor(features.detach(), batch.action, deviation)
        move_towards(self.target_critic, self.critic, self.config.target_rate)
        self.updates.add_(1)
        return metrics | {"actor/noise": deviation}

    def update_critic(
        self, features: Tensor, batch: TransitionBatch[Observations], deviation: Tensor
    ) -> Metrics:
        """Step the critic and, through the features, the encoder."""
        loss, metrics = self.critic_loss(features, batch, deviation)
        self.step_on(loss, "encoder", "critic")
        return metrics | {"critic/loss": loss.detach()}

    def update_actor(self, features: Tensor, action: Tensor, deviation: Tensor) -> Metrics:
        """Step the actor on detached features."""
        loss, metrics = self.actor_loss(features, action, deviation)
        self.step_on(loss, "actor")
        return metrics | {"actor/loss": loss.detach()}

    @abstractmethod
    def critic_loss(
        self, features: Tensor, batch: TransitionBatch[Observations], deviation: Tensor
    ) -> tuple[Tensor, Metrics]:
        """Return the loss of critic and encoder."""

    @abstractmethod
    def actor_loss(
        self, features: Tensor, action: Tensor, deviation: Tensor
    ) -> tuple[Tensor, Metrics]:
        """Return the loss of the actor; `action` are the logged actions."""

    @torch.no_grad()
    def next_features(self, batch: TransitionBatch[Observations]) -> tuple[Tensor, Tensor]:
        """Return features `(batch, feature)` and mean actions at the next observations."""
        features = self.encode(batch.next_observation)
        with self.autocast():
            mean = self.actor(features)
        return features, mean

    @torch.no_grad()
    def target(
        self, batch: TransitionBatch[Observations], next_features: Tensor, next_action: Tensor
    ) -> Tensor:
        """Return `r + discount * min_i Q'_i(h', a')`, the n-step target `(batch,)`."""
        with self.autocast():
            value: Tensor = self.target_critic(next_features, next_action).amin(0)
        return batch.reward + batch.discount * value


def bellman_loss(
    value: Float[Tensor, "2 batch"], target: Float[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """Mean squared error of each critic to the target, summed over the two."""
    return 2 * mse_loss(value, target.expand_as(value))
