"""Behavioural cloning (V-D4RL, Section D.3)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from vrl_core.episodes import DataSpec
from vrl_core.protocols import Metrics, Observations, Phase, TransitionBatch, Transitions
from vrl_modelfree.actor_critic import sample_action
from vrl_modelfree.config import BCConfig
from vrl_modelfree.learner import PixelLearner


class BC(PixelLearner):
    """DrQ+BC's encoder and actor, both trained by regression on the logged actions."""

    config: BCConfig

    def __init__(self, config: BCConfig, spec: DataSpec, device: torch.device) -> None:
        super().__init__(config, spec, device)
        self.optimise("encoder", "actor")

    @property
    def phases(self) -> tuple[Phase, ...]:
        """One phase on single transitions, of which it ignores the outcome."""
        batches = Transitions(
            batch_size=self.config.batch_size,
            frame_stack=self.config.frame_stack,
            observations=self.fields.names,
        )
        return (
            Phase(
                "clone",
                self.config.steps,
                batches,
                self.update,
                replayable=True,
                prepare=self.prepare,
            ),
        )

    def update(self, batch: TransitionBatch[Observations]) -> Metrics:
        """Take one step on encoder and actor."""
        self.set_learning_rate()
        deviation = self.noise_deviation()
        loss = self.actor_loss(self.encode(batch.observation), batch.action, deviation)
        self.step_on(loss, "encoder", "actor")
        self.updates.add_(1)
        return {"actor/loss": loss.detach(), "actor/noise": deviation}

    def actor_loss(self, features: Tensor, action: Tensor, deviation: Tensor) -> Tensor:
        """Mean squared error `(pi(h) + noise - a)^2` over batch and action numbers.

        As in the reference code the policy's action is the noisy, clamped sample.
        """
        with self.autocast():
            mean = self.actor(features)
        return mse_loss(sample_action(mean, deviation, self.config.noise_clip), action)
