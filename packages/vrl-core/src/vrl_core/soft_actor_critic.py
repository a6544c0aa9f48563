"""Soft actor-critic on state vectors: the one copy that behaviours and model-based methods use.

Haarnoja et al., "Soft Actor-Critic Algorithms and Applications" (2018): twin critics, a
tanh-Gaussian policy and a temperature tuned to a target entropy.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, softplus

from vrl_core.adam import Adam
from vrl_core.networks import mlp, move_towards, stacked_mlp
from vrl_core.protocols import Metrics, TransitionBatch


@dataclass(frozen=True, kw_only=True)
class SoftActorCriticConfig:
    """Sizes and rates of soft actor-critic; the defaults are the published ones."""

    hidden_sizes: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers of actor and critics."""
    learning_rate: float = 3e-4
    """Adam's rate for actor, critics and temperature."""
    discount: float = 0.99
    """Discount per agent step; batches carry it raised to their own number of steps."""
    target_rate: float = 0.005
    """Share of the online critics that the target critics take over per update."""
    initial_temperature: float = 1.0
    """Weight of the entropy at the start."""
    target_entropy: float | None = None
    """Entropy in nats that the temperature is tuned to; None means minus the action size."""
    critic_layer_norm: bool = False
    """Normalise the critics' hidden layers."""


StateBatch = TransitionBatch[Tensor]
"""Transitions whose observations are state vectors `(batch, observation)`."""


LOG_STD_BOUNDS = (-5.0, 2.0)
"""Bounds of the logarithm of a policy's deviation before the tanh."""


class TanhGaussianActor(nn.Module):
    """A Gaussian policy squashed into [-1, 1] by tanh."""

    def __init__(self, observation_size: int, action_size: int, hidden_sizes: Sequence[int]):
        super().__init__()
        self.network = mlp([observation_size, *hidden_sizes, 2 * action_size])

    def distribution(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation before the tanh, each `(batch, action)`."""
        mean, raw = self.network(observation).chunk(2, dim=-1)
        return mean, bounded_log_std(torch.tanh(raw)).exp()

    def sample(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Return reparameterised actions `(batch, action)` and their log densities `(batch,)`."""
        output = self.network(observation)
        noise = torch.randn_like(output[..., : output.shape[-1] // 2])
        sampled = _TanhGaussian.apply(output, noise)  # type: ignore[no-untyped-call]
        return cast("tuple[Tensor, Tensor]", sampled)

    @torch.no_grad()
    def act(self, observation: Tensor, *, stochastic: bool) -> Tensor:
        """Return actions `(batch, action)`: a sample, or the tanh of the mean."""
        if stochastic:
            return self.sample(observation)[0]
        return torch.tanh(self.distribution(observation)[0])


def bounded_log_std(share: Tensor) -> Tensor:
    """Return the logarithm of the deviation from the tanh of the network's output.

    A smooth map into the bounds keeps a gradient where a clamp would have none.
    """
    low, high = LOG_STD_BOUNDS
    return low + 0.5 * (high - low) * (share + 1)


class _TanhGaussian(torch.autograd.Function):
    """Actions and log densities of an actor's output, differentiated by hand.

    With `raw = mean + std * noise` and `a = tanh(raw)` the density's derivative by `raw` is `2 a`,
    by `log std` -1 besides. One node of the graph is a tenth of a small update's operations less.
    """

    @staticmethod
    def forward(ctx: Any, output: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw_std = output.chunk(2, dim=-1)
        share = torch.tanh(raw_std)
        log_std = bounded_log_std(share)
        spread = log_std.exp() * noise
        raw = mean + spread
        action = torch.tanh(raw)
        ctx.save_for_backward(action, share, spread)
        return action, tanh_gaussian_log_density(raw, noise, log_std)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_action: Tensor, of_density: Tensor) -> tuple[Tensor, None]:
        action, share, spread = ctx.saved_tensors
        low, high = LOG_STD_BOUNDS
        of_density = of_density.unsqueeze(-1)
        of_mean = of_action * (1 - action.square()) + 2 * of_density * action
        of_log_std = of_mean * spread - of_density
        of_raw_std = of_log_std * (1 - share.square()) * (0.5 * (high - low))
        return torch.cat((of_mean, of_raw_std), -1), None


def tanh_gaussian_log_density(raw: Tensor, noise: Tensor, log_std: Tensor) -> Tensor:
    """Log density of `tanh(raw)` for `raw = mean + std * noise`, summed over the last axis.

    The tanh's log-derivative is written as `2 (log 2 - raw - softplus(-2 raw))`, which stays
    finite where `log(1 - tanh(raw)^2)` does not.
    """
    gaussian = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
    correction = 2 * (math.log(2) - raw - softplus(-2 * raw))
    return (gaussian - correction).sum(-1)


class SoftActorCritic(nn.Module):
    """Actor, twin critics, their targets and the temperature, with one `update` on a batch.

    The critics have the actor's hidden layers unless `critic_hidden_sizes` says otherwise. On a
    GPU, `update` may be recorded as a CUDA graph.
    """

    def __init__(
        self,
        config: SoftActorCriticConfig,
        observation_size: int,
        action_size: int,
        *,
        critic_hidden_sizes: Sequence[int] | None = None,
        device: torch.device | None = None,
    ):
        super().__init__()
        self.config = config
        entropy = config.target_entropy
        self.target_entropy = -float(action_size) if entropy is None else entropy
        self.actor = TanhGaussianActor(observation_size, action_size, config.hidden_sizes)
        hidden = config.hidden_sizes if critic_hidden_sizes is None else critic_hidden_sizes
        sizes = [observation_size + action_size, *hidden, 1]
        self.critic = stacked_mlp(2, sizes, layer_norm=config.critic_layer_norm)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(config.initial_temperature)))
        self.to(device)
        self.optimisers = {
            name: Adam(parameters, learning_rate=config.learning_rate)
            for name, parameters in (
                ("actor", self.actor.parameters()),
                ("critic", self.critic.parameters()),
                ("temperature", [self.log_temperature]),
            )
        }

    def values(
        self, critic: nn.Module, observation: Tensor, action: Tensor, *, constant: bool = False
    ) -> Tensor:
        """Return both critics' values of a batch, `(2, batch)`; `constant` as in `StackedMLP`."""
        inputs = torch.cat((observation, action), -1).expand(2, -1, -1)
        value: Tensor = critic(inputs, constant=constant)
        return value.squeeze(-1)

    def critic_loss(self, batch: StateBatch) -> tuple[Tensor, Metrics]:
        """Mean squared error to the soft target, summed over the two critics.

        Target: `r + discount * (min_i Q'_i(s', a') - temperature * log pi(a' | s'))`.
        """
        with torch.no_grad():
            action, log_density = self.actor.sample(batch.next_observation)
            value = self.values(self.target_critic, batch.next_observation, action).amin(0)
            value = value - self.log_temperature.exp() * log_density
            target = batch.reward + batch.discount * value
        predicted = self.values(self.critic, batch.observation, batch.action)
        loss = 2 * mse_loss(predicted, target.expand_as(predicted))
        return loss, {"critic/loss": loss.detach(), "critic/value": predicted.detach().mean()}

    def actor_loss(self, batch: StateBatch) -> tuple[Tensor, Tensor]:
        """`temperature * log pi - min_i Q_i`, batch mean; also the log densities `(batch,)`."""
        action, log_density = self.actor.sample(batch.observation)
        value = self.values(self.critic, batch.observation, action, constant=True).amin(0)
        loss = (self.log_temperature.exp().detach() * log_density - value).mean()
        return loss, log_density.detach()

    def temperature_loss(self, log_density: Tensor) -> Tensor:
        """`-temperature * (log pi + target entropy)`: raises the temperature when too certain."""
        return -self.log_temperature.exp() * (log_density + self.target_entropy).mean()

    def update(self, batch: StateBatch) -> Metrics:
        """Take one step on critics, actor, temperature and targets; return detached metrics."""
        critic_loss, metrics = self.critic_loss(batch)
        self.optimisers["critic"].descend(critic_loss)
        actor_loss, log_density = self.actor_loss(batch)
        self.optimisers["actor"].descend(actor_loss)
        self.optimisers["temperature"].descend(self.temperature_loss(log_density))
        move_towards(self.target_critic, self.critic, self.config.target_rate)
        metrics["actor/loss"] = actor_loss.detach()
        metrics["actor/entropy"] = -log_density.mean()
        metrics["actor/temperature"] = self.log_temperature.detach().exp()
        return metrics
