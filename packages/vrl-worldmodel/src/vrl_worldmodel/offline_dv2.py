"""Offline DV2: DreamerV2 on logged data with a penalty on its ensemble's disagreement.

V-D4RL (Lu et al. 2023), Sections 3.2 and C.1: the world model is trained first; then it is frozen,
and actor and critic learn in its imagination by `r - weight * penalty` (Equation 1).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vrl_core.episodes import DataSpec
from vrl_core.protocols import Metrics, Phase, SequenceBatch
from vrl_core.replay import Replay
from vrl_worldmodel.actor_critic import ActorCritic
from vrl_worldmodel.config import OfflineDV2Config, paper_weight, weight_of
from vrl_worldmodel.imagination import Imagination, imagine
from vrl_worldmodel.learner import WorldModelLearner
from vrl_worldmodel.penalty_config import MeanDisagreement
from vrl_worldmodel.policy import RecurrentPolicy
from vrl_worldmodel.rssm import LatentState

EPOCHS_TOLERANCE = 0.01
"""Share of updates by which they may miss the paper's epochs without a word."""


class OfflineDV2(WorldModelLearner):
    """A world model, and an actor-critic that learns in its imagination."""

    config: OfflineDV2Config

    def __init__(self, config: OfflineDV2Config, spec: DataSpec, device: torch.device) -> None:
        super().__init__(config, spec, device)
        self.agent = ActorCritic(config, self.model.feature_size, spec.action_size, device)
        self.penalty = config.penalty.build()
        if isinstance(self.penalty, nn.Module):
            self.penalty.to(device)
        published = paper_weight(spec.task, spec.behaviour)
        self.penalty_weight = weight_of(config.penalty, published, (MeanDisagreement,))
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

    def check_data(self, replay: Replay, seed: int) -> None:
        """Check as every learner on a world model does; warn where updates are not the epochs."""
        super().check_data(replay, seed)
        warn_of_epochs(self.config, sum(steps for _, steps in replay.episodes))

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


def warn_of_epochs(config: OfflineDV2Config, transitions: int) -> None:
    """Warn if updates left at the paper's are not its epochs on this number of transitions.

    The paper counts epochs, which grow with the data; the settings count updates.
    """
    wanted = {
        name: updates
        for name, updates in config.paper_updates(transitions).items()
        if abs(updates / getattr(config, name) - 1) > EPOCHS_TOLERANCE
        and not (name == "model_steps" and config.model_run)
    }
    if wanted:
        flags = " ".join(f"--{name.replace('_', '-')} {n}" for name, n in wanted.items())
        warnings.warn(
            f"The paper's 800 epochs of model and 2400 of behaviour are other numbers of updates "
            f"on these {transitions:,} transitions: {flags}. Those of the preset are for 100,000."
        )


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
