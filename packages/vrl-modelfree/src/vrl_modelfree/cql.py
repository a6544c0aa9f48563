"""Conservative Q-learning on DrQ-v2: CQL(H) with fixed weight (V-D4RL, Section C.3)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from vrl_core.episodes import DataSpec
from vrl_core.protocols import Metrics, Observations, TransitionBatch
from vrl_modelfree.actor_critic import sample_action
from vrl_modelfree.config import CQLConfig, resolve_trade_off
from vrl_modelfree.critic_learner import CriticLearner, bellman_loss


class CQL(CriticLearner):
    """The critic is pressed down on drawn actions and up on logged ones."""

    config: CQLConfig

    def __init__(self, config: CQLConfig, spec: DataSpec, device: torch.device) -> None:
        super().__init__(config, spec, device)
        self.trade_off = resolve_trade_off(config.trade_off, spec.task, spec.behaviour)

    def critic_loss(
        self, features: Tensor, batch: TransitionBatch[Observations], deviation: Tensor
    ) -> tuple[Tensor, Metrics]:
        """`weight * sum_i mean((Q_i(h, a) - y)^2) + trade_off * sum_i gap_i`.

        The target y is DrQ+BC's; the gaps are `conservative_gap`'s. One pass through the trunk
        serves all actions, and the logged action's value serves both terms.
        """
        config = self.config
        next_features, next_mean = self.next_features(batch)
        next_action = sample_action(next_mean, deviation, config.noise_clip)
        target = self.target(batch, next_features, next_action)
        drawn, log_density = self.draw_actions(features.detach(), next_mean, deviation)
        with self.autocast():
            choices = torch.cat((batch.action.unsqueeze(1), drawn), 1)
            values = self.critic.values(self.critic.trunk(features), choices)
        density = log_density if config.importance_sampling else None
        gap = conservative_gap(values, config.temperature, density)
        bellman = bellman_loss(values[..., 0], target)
        loss = config.bellman_weight * bellman + self.trade_off * gap.sum()
        metrics = {
            "critic/bellman": bellman.detach(),
            "critic/gap": gap.detach().mean(),
            "critic/value": values[..., 0].detach().mean(),
            "critic/target": target.mean(),
        }
        return loss, metrics

    @torch.no_grad()
    def draw_actions(
        self, features: Tensor, next_mean: Tensor, deviation: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Draw actions uniformly, from the policy at the state, and at the next state.

        Returns them, `(batch, 3 sampled_actions, action)`, and their log densities,
        `(batch, 3 sampled_actions)`. Those of the policy are the untruncated Gaussian's, as in
        the reference code.
        """
        count, clip = self.config.sampled_actions, self.config.noise_clip
        with self.autocast():
            mean = self.actor(features)
        means = torch.cat([m.unsqueeze(1).expand(-1, count, -1) for m in (mean, next_mean)], 1)
        policy = sample_action(means, deviation, clip)
        uniform = torch.rand_like(means[:, :count]) * 2 - 1
        volume = uniform.new_full(uniform.shape[:-1], -self.action_size * math.log(2.0))
        density = gaussian_log_density(policy, means, deviation)
        return torch.cat((uniform, policy), 1), torch.cat((volume, density), 1)

    def actor_loss(
        self, features: Tensor, action: Tensor, deviation: Tensor
    ) -> tuple[Tensor, Metrics]:
        """`-mean(min_i Q_i(h, pi(h) + noise))`: no cloning term, no normalisation, no entropy."""
        del action  # the conservative critic alone keeps the policy near the data
        with self.autocast():
            sample = sample_action(self.actor(features), deviation, self.config.noise_clip)
            value = self.critic(features, sample).amin(0).mean()
        return -value, {"actor/value": value.detach()}


def conservative_gap(
    values: Float[Tensor, "critic batch choice"],
    temperature: float,
    log_density: Float[Tensor, "batch choice-1"] | None = None,
) -> Float[Tensor, " critic"]:
    """`T mean(log sum_a exp(Q(s, a) / T)) - mean(Q(s, a_data))` for each critic.

    Choice 0 is the logged action. It is one of the summed entries, unless the drawn actions'
    `log_density` is given: then only drawn actions are summed, each value less its log density.
    """
    entries = values if log_density is None else values[..., 1:] - log_density
    soft_maximum = temperature * torch.logsumexp(entries / temperature, dim=-1)
    return (soft_maximum - values[..., 0]).mean(-1)


def gaussian_log_density(
    value: Float[Tensor, "*batch action"],
    mean: Float[Tensor, "*batch action"],
    deviation: Float[Tensor, ""],
) -> Float[Tensor, "*batch"]:
    """Log density of independent Gaussians, summed over the action's numbers."""
    standard = (value - mean) / deviation
    return (-0.5 * standard.square() - deviation.log() - 0.5 * math.log(2 * math.pi)).sum(-1)
