"""LOMPO: an actor-critic on latent transitions, half of them imagined with a penalised reward.

Rafailov et al. 2021, "Offline Reinforcement Learning from Images with Latent Space Models",
Section 4.2. The world model is trained first and then frozen. One buffer holds the latents of the
data's own episodes; another the newest rollouts of the policy in the model, whose rewards are
Equation 9's. LMBRL is the same without a penalty, Offline SLAC the same without imagination
(Section 5.1); both are settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vrl_core.counter_rng import mix
from vrl_core.episodes import DataSpec
from vrl_core.errors import VRLError
from vrl_core.protocols import EnsemblePrediction, Metrics, Phase, SequenceBatch, Sequences
from vrl_core.replay import Replay
from vrl_worldmodel.config import LOMPOConfig, weight_of
from vrl_worldmodel.distributions import CategoricalLatent, GaussianLatent
from vrl_worldmodel.latent_agents import build_agent
from vrl_worldmodel.latent_replay import (
    RolloutBuffer,
    Rollouts,
    joined,
    latents_of_episodes,
    real_transitions,
)
from vrl_worldmodel.learner import WorldModelLearner
from vrl_worldmodel.penalty_config import LogProbStd, LogProbVariance
from vrl_worldmodel.penalty_names import name_of
from vrl_worldmodel.policy import RecurrentPolicy
from vrl_worldmodel.rssm import LatentState

PAPER_WEIGHT = 5.0
"""Lambda of Equation 9 for a penalty without a weight of its own (the public code's)."""


class LOMPO(WorldModelLearner):
    """A world model, and an actor-critic that learns from real and imagined latents."""

    config: LOMPOConfig

    def __init__(self, config: LOMPOConfig, spec: DataSpec, device: torch.device) -> None:
        super().__init__(config, spec, device)
        self.agent = build_agent(config, self.model.feature_size, spec.action_size, device)
        self.penalty = config.penalty.build()
        if isinstance(self.penalty, nn.Module):
            self.penalty.to(device)
        owners = (LogProbVariance, LogProbStd)
        self.penalty_weight = weight_of(config.penalty, PAPER_WEIGHT, owners)
        self.real_count = round(config.batch_size * config.real_share)
        self.imagined_count = config.batch_size - self.real_count
        if self.penalty_weight > 0 and not self.imagined_count:
            raise VRLError(
                f"real_share {config.real_share:g} imagines nothing, so the penalty "
                f"{name_of(config.penalty)} would change nothing. Add penalty:none, or lower "
                "real_share (lompo has 0.5)."
            )
        self.latents: Float[Tensor, "row feature"] | None = None
        """Features of every row of the data, once the model is frozen."""
        self.imagined: RolloutBuffer | None = None
        """Imagined transitions, once the agent's phase has begun, if any are wanted."""
        self.imaginations = 0
        """Batches of states from which rollouts have started so far."""
        self._replay: Replay | None = None
        self._seed = 0

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The model's phase, unless it comes from another run, and the agent's.

        The agent's batches are the real transitions: windows of one step, of which it needs the
        rows alone, to look up their latents.
        """
        agent = Phase(
            "agent",
            self.config.steps,
            Sequences(batch_size=max(1, self.real_count), length=1, observations=()),
            self.update_agent,
            replayable=True,
            prepare=self.prepare_agent,
            refresh=self.imagine if self.imagined_count else None,
            refresh_every=self.config.imagine_every,
        )
        return (*self.model_phases(), agent)

    def prepare_agent(self, replay: Replay, seed: int) -> None:
        """Freeze the model, infer the latents of all episodes, and make room for rollouts."""
        self.freeze_and_cache(replay, seed)
        needed = () if self.config.cache_encodings else self.fields.names
        self.latents = latents_of_episodes(replay, self.posterior_states, observations=needed)
        self._replay, self._seed = replay, mix(seed)
        if self.imagined is None and self.imagined_count:
            self.imagined = self._empty_buffer(sum(steps for _, steps in replay.episodes))

    def _empty_buffer(self, real: int) -> RolloutBuffer:
        """Return room for as many imagined transitions as there are real, or as configured."""
        return RolloutBuffer(
            self.config.imagined_capacity or real,
            horizon=self.config.imagination_horizon,
            feature_size=self.model.feature_size,
            action_size=self.action_size,
            device=self.device,
        )

    def imagine(self, update: int) -> None:
        """Roll out from every state of a batch; before the first update, until there are enough."""
        assert self.imagined is not None
        wanted = self.config.first_imagined if update == 0 else 0
        self._imagine_from_batch()
        while len(self.imagined) < min(wanted, self.imagined.capacity):
            self._imagine_from_batch()

    def _imagine_from_batch(self) -> None:
        assert self.imagined is not None
        assert self._replay is not None
        batch = self._replay.batch(self.latent_sequences(), self._seed, self.imaginations)
        assert isinstance(batch, SequenceBatch)
        self.imaginations += 1
        self.imagined.add(self.roll_out(self.posterior_states(batch).flatten()))

    @torch.no_grad()
    def roll_out(self, start: LatentState) -> Rollouts:
        """Follow the agent, as it explores, through the model from states `(rollout, .)`."""
        state, features = start, [start.features]
        actions, rewards, penalties = [], [], []
        for _ in range(self.config.imagination_horizon):
            actions.append(self.agent.explore(features[-1].float()))
            with self.autocast():
                state, prediction = self.model.rssm.imagine_step(state, actions[-1])
                penalties.append(self.penalty(prediction))
                rewards.append(self.penalised_reward(state, prediction, penalties[-1]))
            features.append(state.features)
        return Rollouts(
            reward=torch.stack(rewards),
            penalty=torch.stack(penalties),
            action=torch.stack(actions),
            features=torch.stack(features),
        )

    def penalised_reward(
        self,
        following: LatentState,
        prediction: EnsemblePrediction,
        penalty: Float[Tensor, "*batch"],
    ) -> Float[Tensor, "*batch"]:
        """Return the reward of the step to these states, less weight * penalty (Equation 9)."""
        if self.config.imagined_reward == "ensemble-mean":
            reward = ensemble_reward(self.model.reward_of, following, prediction)
        else:
            reward = self.model.reward_of(following.features)
        return reward - self.penalty_weight * penalty

    def update_agent(self, batch: SequenceBatch) -> Metrics:
        """Take one step of the agent on real and imagined transitions in fixed shares.

        "Maintaining a fixed sampling proportion is important in preventing distributional shift"
        (Section 4.2).
        """
        parts, metrics = [], {}
        if self.real_count:
            assert self.latents is not None
            parts.append(real_transitions(self.latents, batch, self.config.discount))
            metrics["real/reward"] = parts[-1].reward.mean()
        if self.imagined_count:
            assert self.imagined is not None
            imagined = self.imagined.draw(self.imagined_count, self.config.discount)
            parts.append(imagined.transitions)
            metrics["imagined/penalty"] = imagined.penalty.mean()
            metrics["imagined/reward"] = parts[-1].reward.mean()
        # Rewards before losses: the loop names the first metric that is not finite.
        return metrics | self.agent.update(joined(*parts))

    def policy(self) -> RecurrentPolicy:
        """Return the agent's mean action on inferred states; it sees later updates."""
        return self.policy_from(self.agent.act)

    def state_dict(self) -> dict[str, Any]:
        """Return model, agent, their optimisers and the imagined transitions."""
        imagined = {} if self.imagined is None else self.imagined.state_dict()
        own = {"agent": self.agent.state_dict(), "imagined": imagined}
        return super().state_dict() | own | {"imaginations": self.imaginations}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        super().load_state_dict(state)
        self.agent.load_state_dict(state["agent"])
        self.imaginations = state["imaginations"]
        stored = state["imagined"]
        self.imagined = RolloutBuffer.restored(stored, self.device) if stored else None


def ensemble_reward(
    reward_of: Callable[[Tensor], Tensor], state: LatentState, prediction: EnsemblePrediction
) -> Float[Tensor, "*batch"]:
    """Return the reward, averaged over one sample of every member (Equation 9's first term)."""
    samples = sample_members(prediction)
    deterministic = state.deterministic.expand(len(samples), *state.deterministic.shape)
    return reward_of(LatentState(deterministic, samples).features).mean(0)


def sample_members(prediction: EnsemblePrediction) -> Float[Tensor, "member *batch size"]:
    """Draw a latent from every member's prediction; the member's that was drawn is the sample.

    So, as in the paper, the next state is one of the states that the reward is averaged over. The
    public code shares one noise vector over the whole batch (fact E13); here each has its own.
    """
    drawn = prediction.sample
    latent: CategoricalLatent | GaussianLatent
    if prediction.logits is not None:
        latent, drawn = CategoricalLatent(prediction.logits), drawn.flatten(-2)
    else:
        assert prediction.mean is not None
        assert prediction.std is not None
        latent = GaussianLatent(prediction.mean, prediction.std)
    samples = latent.sample()
    members = torch.arange(len(samples), device=samples.device)
    chosen = members.view(-1, *[1] * prediction.member.ndim) == prediction.member
    return torch.where(chosen[..., None], drawn, samples)
