"""Offline DV2's actor and critic, and their losses on imagined rollouts (facts A9 to A13)."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vrl_core.protocols import Metrics
from vrl_worldmodel.config import OfflineDV2Config
from vrl_worldmodel.distributions import TruncatedNormal
from vrl_worldmodel.heads import dense, linear, precise
from vrl_worldmodel.imagination import Imagination
from vrl_worldmodel.optimiser import ModuleOptimiser
from vrl_worldmodel.returns import discount_weights, lambda_returns


class DenseNetwork(nn.Module):
    """Hidden ELU layers in whatever precision autocast gives them, and a `precise` output."""

    def __init__(self, feature_size: int, layers: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Sequential(dense([feature_size, *layers]), nn.ELU())
        self.output = linear(layers[-1], outputs)

    def forward(self, features: Float[Tensor, "*shape feature"]) -> Float[Tensor, "*shape output"]:
        """Return the outputs in the parameters' precision."""
        return precise(self.output, self.hidden(features))


class Actor(nn.Module):
    """A truncated normal policy on [-1, 1]; its deviation lies above `minimum_std`, below 2 more.

    DreamerV2's code (fact A11).
    """

    def __init__(
        self, feature_size: int, layers: Sequence[int], action_size: int, minimum_std: float
    ) -> None:
        super().__init__()
        self.minimum_std = minimum_std
        self.network = DenseNetwork(feature_size, layers, 2 * action_size)

    def forward(self, features: Float[Tensor, "*shape feature"]) -> TruncatedNormal:
        """Return the policy at each state: mean `tanh(m)`, deviation `2 sigmoid(s/2) + minimum`."""
        mean, raw = self.network(features).chunk(2, -1)
        return TruncatedNormal(torch.tanh(mean), 2 * torch.sigmoid(raw / 2) + self.minimum_std)


class Critic(nn.Module):
    """Predicts the return from a state: the mean of a normal distribution with variance 1."""

    def __init__(self, feature_size: int, layers: Sequence[int]) -> None:
        super().__init__()
        self.network = DenseNetwork(feature_size, layers, 1)

    def forward(self, features: Float[Tensor, "*shape feature"]) -> Float[Tensor, "*shape"]:
        """Return the values."""
        value: Tensor = self.network(features).squeeze(-1)
        return value


def actor_loss(
    target: Float[Tensor, "horizon batch"],
    entropy: Float[Tensor, "horizon batch"],
    discount: float,
    entropy_weight: float,
) -> Float[Tensor, ""]:
    """Return `-mean_t discount^t (V_{t+1} + entropy_weight * entropy_t)` for t of 0 to H-2.

    The action at state t is credited with what follows state t+1, so the first target and the
    last action count for nothing: with H = 5 there are four terms (fact A11).
    """
    weight = discount_weights(len(target) - 1, discount, target.device)
    return -(weight * (target[1:] + entropy_weight * entropy[:-1])).mean()


def critic_loss(
    value: Float[Tensor, "horizon batch"],
    target: Float[Tensor, "horizon batch"],
    discount: float,
) -> Float[Tensor, ""]:
    """Return `mean_t discount^t (v_t - V_t)^2 / 2` for t of 0 to H-1; targets are constants."""
    weight = discount_weights(len(target), discount, target.device)
    return (weight * 0.5 * (value - target.detach()).square()).mean()


@torch.no_grad()
def copy_when(due: Tensor, source: nn.Module, target: nn.Module) -> None:
    """Copy all parameters if `due`, a boolean scalar on the device, is true: no host is asked."""
    for old, new in zip(target.parameters(), source.parameters(), strict=True):
        old.copy_(torch.where(due, new, old))


class ActorCritic:
    """Actor, critic and its slow copy, with an optimiser each for the first two."""

    def __init__(
        self, config: OfflineDV2Config, feature_size: int, action_size: int, device: torch.device
    ) -> None:
        self.config = config
        self.actor = Actor(feature_size, config.actor_layers, action_size, config.minimum_std)
        self.critic = Critic(feature_size, config.critic_layers)
        self.actor.to(device)
        self.critic.to(device)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.optimisers = {
            "actor": self._optimiser(self.actor, config.actor_learning_rate),
            "critic": self._optimiser(self.critic, config.critic_learning_rate),
        }
        self.updates = torch.zeros((), dtype=torch.int64, device=device)
        """Updates made so far; on the device, where the target critic's copying reads it."""

    _NETWORKS = ("actor", "critic", "target_critic")

    def _optimiser(self, network: nn.Module, learning_rate: float) -> ModuleOptimiser:
        model = self.config.model
        return ModuleOptimiser(
            [network],
            learning_rate=learning_rate,
            epsilon=model.epsilon,
            weight_decay=model.weight_decay,
            clip=model.gradient_clip,
        )

    def losses(
        self, imagined: Imagination, reward: Float[Tensor, "horizon batch"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Metrics]:
        """Return the losses of actor and critic for the rewards of states 0 to H-1.

        The target critic values the states, and the actor's gradient flows through its values.
        """
        config, features = self.config, imagined.features
        next_value = self.target_critic(features[1:])
        target = lambda_returns(reward, next_value, config.discount, config.return_mix)
        of_actor = actor_loss(target, imagined.entropy, config.discount, config.entropy_weight)
        value = self.critic(features[:-1].detach())
        of_critic = critic_loss(value, target, config.discount)
        metrics = {
            "actor/loss": of_actor.detach(),
            "actor/entropy": imagined.entropy.detach().mean(),
            "critic/loss": of_critic.detach(),
            "critic/value": value.detach().mean(),
            "critic/target": target.detach().mean(),
        }
        return of_actor, of_critic, metrics

    def step_on(self, of_actor: Tensor, of_critic: Tensor) -> Metrics:
        """Step both optimisers; copy the critic after update 1 and every `target_interval`."""
        metrics = {
            "actor/gradient_norm": self.optimisers["actor"].step_on(of_actor),
            "critic/gradient_norm": self.optimisers["critic"].step_on(of_critic),
        }
        copy_when(self.updates % self.config.target_interval == 0, self.critic, self.target_critic)
        self.updates.add_(1)
        return metrics

    def state_dict(self) -> dict[str, Any]:
        """Return networks, optimisers and the number of updates."""
        networks = {name: dict(getattr(self, name).state_dict()) for name in self._NETWORKS}
        optimisers = {name: each.state_dict() for name, each in self.optimisers.items()}
        return {"networks": networks, "optimisers": optimisers, "updates": self.updates.clone()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        for name in self._NETWORKS:
            getattr(self, name).load_state_dict(state["networks"][name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.updates.copy_(state["updates"])
