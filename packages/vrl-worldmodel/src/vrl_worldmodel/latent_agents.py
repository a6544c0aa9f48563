"""The actor-critics that learn from latent transitions: the paper's and the public code's.

LOMPO takes a "standard off-policy training algorithm", "similar to (Lee et al., 2020)", which is
soft actor-critic (Section 4.2); its public code has a deterministic actor without entropy.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from vrl_core.networks import mlp, move_towards, stacked_mlp
from vrl_core.protocols import Metrics
from vrl_core.soft_actor_critic import SoftActorCritic, SoftActorCriticConfig
from vrl_worldmodel.config import LOMPOConfig
from vrl_worldmodel.latent_replay import LatentBatch
from vrl_worldmodel.optimiser import ModuleOptimiser

Features = Float[Tensor, "*batch feature"]
Actions = Float[Tensor, "*batch action"]


class SoftAgent:
    """Soft actor-critic on features; its temperature is tuned to minus the action's size."""

    def __init__(
        self, config: LOMPOConfig, feature_size: int, action_size: int, device: torch.device
    ) -> None:
        settings = SoftActorCriticConfig(
            hidden_sizes=config.actor_layers,
            learning_rate=config.learning_rate,
            discount=config.discount,
            target_rate=config.target_rate,
            initial_temperature=config.initial_temperature,
        )
        self.learner = SoftActorCritic(
            settings,
            feature_size,
            action_size,
            critic_hidden_sizes=config.critic_layers,
            device=device,
        )

    def act(self, features: Features) -> Actions:
        """Return the tanh of the mean."""
        return self.learner.actor.act(features, stochastic=False)

    def explore(self, features: Features) -> Actions:
        """Return a sample of the policy."""
        return self.learner.actor.act(features, stochastic=True)

    def update(self, batch: LatentBatch) -> Metrics:
        """Take one step on critics, actor, temperature and targets; replayable as a CUDA graph."""
        return self.learner.update(batch)

    def state_dict(self) -> dict[str, Any]:
        """Return networks and optimisers."""
        return {
            "networks": dict(self.learner.state_dict()),
            "optimisers": {
                name: optimiser.state_dict()["state"]
                for name, optimiser in self.learner.optimisers.items()
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self.learner.load_state_dict(state["networks"])
        for name, optimiser in self.learner.optimisers.items():
            # Rates and device options are the configuration's, not the checkpoint's.
            groups = optimiser.state_dict()["param_groups"]
            moments = state["optimisers"][name]
            optimiser.load_state_dict({"state": moments, "param_groups": groups})


class DeterministicAgent:
    """The public code's agent: a tanh actor and twin critics without noise or entropy (fact E8).

    Target: `r + discount * min_i Q'_i(s', actor(s'))`; the actor maximises `min_i Q_i`. The actor's
    loss is that of the critics before their step, as there (fact E13). The public code's target
    critics are copies made before weights exist, crossed besides, so that they start from other
    random weights (fact E9); here they start as copies of the critics. Adam's epsilon, decay and
    clip are the model's, as there.
    """

    def __init__(
        self, config: LOMPOConfig, feature_size: int, action_size: int, device: torch.device
    ) -> None:
        self.target_rate = config.target_rate
        self.exploration_noise = config.exploration_noise
        actor_sizes = [feature_size, *config.actor_layers, action_size]
        critic_sizes = [feature_size + action_size, *config.critic_layers, 1]
        actor = nn.Sequential(*mlp(actor_sizes, activation=nn.ELU), nn.Tanh())
        critic = stacked_mlp(2, critic_sizes, activation=nn.ELU)
        target = copy.deepcopy(critic).requires_grad_(False)
        self.networks = nn.ModuleDict(
            {"actor": actor, "critic": critic, "target_critic": target}
        ).to(device)
        self.optimisers = {
            name: ModuleOptimiser(
                [self.networks[name]],
                config.learning_rate,
                config.model.epsilon,
                config.model.weight_decay,
                config.model.gradient_clip,
            )
            for name in ("actor", "critic")
        }

    @torch.no_grad()
    def act(self, features: Features) -> Actions:
        """Return the actor's actions."""
        action: Tensor = self.networks["actor"](features)
        return action

    def explore(self, features: Features) -> Actions:
        """Return the actor's actions with normal noise, clipped to [-1, 1] (fact E6)."""
        action = self.act(features)
        noise = self.exploration_noise * torch.randn_like(action)
        return (action + noise).clamp(-1, 1)

    def values(
        self,
        critic: str,
        features: Float[Tensor, "batch feature"],
        action: Float[Tensor, "batch action"],
    ) -> Float[Tensor, "2 batch"]:
        """Return both critics' values."""
        inputs = torch.cat((features, action), -1).expand(2, -1, -1)
        value: Tensor = self.networks[critic](inputs)
        return value.squeeze(-1)

    @torch.no_grad()
    def target(self, batch: LatentBatch) -> Float[Tensor, " batch"]:
        """Return the critics' target."""
        following = batch.next_observation
        value = self.values("target_critic", following, self.act(following)).amin(0)
        return batch.reward + batch.discount * value

    def critic_loss(
        self, batch: LatentBatch, target: Float[Tensor, " batch"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "2 batch"]]:
        """Mean squared error, summed over the two critics; also their values."""
        predicted = self.values("critic", batch.observation, batch.action)
        return 2 * mse_loss(predicted, target.expand_as(predicted)), predicted.detach()

    def actor_loss(self, batch: LatentBatch) -> Float[Tensor, ""]:
        """Return minus the smaller value of the actor's actions, batch mean."""
        action = self.networks["actor"](batch.observation)
        return -self.values("critic", batch.observation, action).amin(0).mean()

    def update(self, batch: LatentBatch) -> Metrics:
        """Take one step on actor, critics and targets; replayable as a CUDA graph."""
        target = self.target(batch)
        actor_loss = self.actor_loss(batch)
        actor_norm = self.optimisers["actor"].step_on(actor_loss)
        critic_loss, value = self.critic_loss(batch, target)
        critic_norm = self.optimisers["critic"].step_on(critic_loss)
        move_towards(self.networks["target_critic"], self.networks["critic"], self.target_rate)
        return {
            "actor/loss": actor_loss.detach(),
            "actor/gradient_norm": actor_norm,
            "critic/loss": critic_loss.detach(),
            "critic/gradient_norm": critic_norm,
            "critic/value": value.mean(),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return networks and optimisers."""
        return {
            "networks": dict(self.networks.state_dict()),
            "optimisers": {name: opt.state_dict() for name, opt in self.optimisers.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self.networks.load_state_dict(state["networks"])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])


LatentAgent = SoftAgent | DeterministicAgent
"""Acts on features of latent states, and learns from transitions between them."""


def build_agent(
    config: LOMPOConfig, feature_size: int, action_size: int, device: torch.device
) -> LatentAgent:
    """Return the agent that the settings name."""
    kinds: dict[str, type[SoftAgent | DeterministicAgent]] = {
        "soft-actor-critic": SoftAgent,
        "deterministic": DeterministicAgent,
    }
    return kinds[config.agent](config, feature_size, action_size, device)
