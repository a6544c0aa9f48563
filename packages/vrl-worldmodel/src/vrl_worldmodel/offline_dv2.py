"""Offline DV2: DreamerV2 on logged data with a penalty on its ensemble's disagreement.

V-D4RL (Lu et al. 2023), Sections 3.2 and C.1: the world model is trained first; then it is frozen,
and actor and critic learn in its imagination by `r - weight * penalty` (Equation 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vrl_core.episodes import DataSpec
from vrl_core.protocols import Metrics, Phase, SequenceBatch
from vrl_worldmodel.actor_critic import ActorCritic
from vrl_worldmodel.config import OfflineDV2Config, paper_weight
from vrl_worldmodel.imagination import Imagination, imagine
from vrl_worldmodel.learner import WorldModelLearner
from vrl_worldmodel.policy import RecurrentPolicy
from vrl_worldmodel.rssm import LatentState


class OfflineDV2(WorldModelLearner):
    """A world model, and an actor-critic that learns in its imagination."""

    config: OfflineDV2Config

    def __init__(self, config: OfflineDV2Config, spec: DataSpec, device: torch.device) -> None:
        super().__init__(config, spec, device)
        self.agent = ActorCritic(config, self.model.feature_size, spec.action_size, device)
        self.penalty = config.penalty.build()
        if isinstance(self.penalty, nn.Module):
            self.penalty.to(device)
        weight = config.penalty.weight
        self.penalty_weight = paper_weight(spec.task, spec.behaviour) if weight is None else weight
        """Lambda of Equation 1."""

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The model's phase, unless it comes from another run, and the behaviour's."""
        behaviour = Phase(
            "behaviour",
            self.config.steps,
            self.latent_sequences(),
            self.update_behaviour,
            replayable=True,
            prepare=self.freeze_and_cache,
        )
        return (*self.model_phases(), behaviour)

    def update_behaviour(self, batch: SequenceBatch) -> Metrics:
        """Imagine from every state of the batch, then step actor and critic; nothing else."""
        start = self.posterior_states(batch).flatten()
        with self.autocast():
            imagined = self.imagine(start)
            reward = self.penalised_reward(imagined)
            of_actor, of_critic, metrics = self.agent.losses(imagined, reward)
        # What goes into a loss before the loss: the loop names the first that is not finite.
        return _describe(imagined, reward) | metrics | self.agent.step_on(of_actor, of_critic)

    def imagine(self, start: LatentState) -> Imagination:
        """Roll out the actor from latent states `(batch, ...)`."""
        penalty = self.penalty if self.penalty_weight > 0 else None
        horizon = self.config.imagination_horizon
        return imagine(self.model.rssm, start, self.agent.actor, horizon, penalty)

    def penalised_reward(self, imagined: Imagination) -> Float[Tensor, "horizon batch"]:
        """Return `r - weight * penalty` of every state but the last (V-D4RL, Equation 1)."""
        reward = self.model.reward_of(imagined.features[:-1])
        if imagined.penalty is None:
            return reward
        return reward - self.penalty_weight * imagined.penalty

    def policy(self) -> RecurrentPolicy:
        """Return the actor's mode on inferred states, as it stands; it sees later updates."""
        return self.policy_from(lambda features: self.agent.actor(features).mode())

    def state_dict(self) -> dict[str, Any]:
        """Return model, actor, critics, their optimisers and the number of updates."""
        return super().state_dict() | {"agent": self.agent.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        super().load_state_dict(state)
        self.agent.load_state_dict(state["agent"])


def _describe(imagined: Imagination, reward: Tensor) -> Metrics:
    """Return the means of penalty and penalised reward, and what imagining adds to the penalty.

    `penalty_gain` is the penalty of imagined states less that of the states they start from: a
    policy that leaves the data for where the model is unsure raises it.
    """
    metrics = {}
    if imagined.penalty is not None:
        penalty = imagined.penalty.detach()
        metrics["imagination/penalty"] = penalty.mean()
        metrics["imagination/penalty_gain"] = penalty[1:].mean() - penalty[0].mean()
    return metrics | {"imagination/reward": reward.detach().mean()}
