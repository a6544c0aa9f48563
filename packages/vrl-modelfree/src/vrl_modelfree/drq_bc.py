"""DrQ+BC: DrQ-v2 with a behavioural cloning term (V-D4RL, Sections 3.2 and C.2)."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import mse_loss

from vrl_core.protocols import Metrics, Observations, TransitionBatch
from vrl_modelfree.actor_critic import sample_action
from vrl_modelfree.config import DrQBCConfig
from vrl_modelfree.critic_learner import CriticLearner, bellman_loss


class DrQBC(CriticLearner):
    """The critic trains the encoder; the actor weighs the critic's value against the data."""

    config: DrQBCConfig

    def critic_loss(
        self, features: Tensor, batch: TransitionBatch[Observations], deviation: Tensor
    ) -> tuple[Tensor, Metrics]:
        """`sum_i mean((Q_i(h, a) - y)^2)`, `y = r + discount * min_i Q'_i(h', pi(h') + noise)`."""
        next_features, next_mean = self.next_features(batch)
        next_action = sample_action(next_mean, deviation, self.config.noise_clip)
        target = self.target(batch, next_features, next_action)
        with self.autocast():
            value = self.critic(features, batch.action)
        metrics = {"critic/value": value.detach().mean(), "critic/target": target.mean()}
        return bellman_loss(value, target), metrics

    def actor_loss(
        self, features: Tensor, action: Tensor, deviation: Tensor
    ) -> tuple[Tensor, Metrics]:
        """`-lambda mean(min_i Q_i(h, a~)) + mean((a~ - a)^2)`, `lambda = alpha / mean |min_i Q_i|`.

        `a~ = pi(h) + noise` is the noisy, clamped sample and `a` the logged action; lambda passes
        no gradient. The squared distance is averaged over the numbers of an action as well.
        """
        with self.autocast():
            sample = sample_action(self.actor(features), deviation, self.config.noise_clip)
            value = self.critic(features, sample).amin(0)
        weight = self.config.bc_weight / value.detach().abs().mean()
        cloning = mse_loss(sample, action)
        metrics = {"actor/cloning": cloning.detach(), "actor/value": value.detach().mean()}
        return cloning - weight * value.mean(), metrics
