"""MOPO: soft actor-critic on imagined transitions whose reward is less the model's uncertainty.

Yu et al. 2020, "MOPO: Model-based Offline Policy Optimization", Section 4.3 and Algorithm 2. The
ensemble is trained first and then rests. Before every 1000th update of the policy, rollouts begin
in states of the data and follow the policy for a few steps; each batch is 5% real transitions and
95% imagined ones. MBPO is the same without a penalty; it is a setting.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vrl_core.device import resolve_precision
from vrl_core.episodes import DataSpec
from vrl_core.errors import VRLError
from vrl_core.protocols import Metrics, Phase, SequenceBatch, Sequences
from vrl_core.replay import Replay
from vrl_core.soft_actor_critic import SoftActorCritic, SoftActorCriticConfig
from vrl_worldmodel.dynamics import ProbabilisticEnsemble
from vrl_worldmodel.dynamics_data import STATE, step_rows
from vrl_worldmodel.dynamics_source import read_dynamics, require_fitting
from vrl_worldmodel.dynamics_training import DynamicsTrainer
from vrl_worldmodel.model_replay import TransitionPool, joined, real_transitions
from vrl_worldmodel.model_rollouts import LearnedModel
from vrl_worldmodel.model_source import ModelSource
from vrl_worldmodel.mopo_config import (
    MBPOConfig,
    MOPOConfig,
    PublishedRollouts,
    acts_uniformly,
    published_rollouts,
)
from vrl_worldmodel.simulator import build_penalty
from vrl_worldmodel.state_policy import StatePolicy, state_size
from vrl_worldmodel.terminations import termination_rule

PREDICTED_TOGETHER = {"cpu": 2_048, "cuda": 65_536}
"""States that the ensemble steps from at once: on a CPU the layers then stay in its cache."""


class MOPO:
    """An ensemble of dynamics, and a soft actor-critic that learns from it and the data."""

    def __init__(self, config: MOPOConfig, spec: DataSpec, device: torch.device) -> None:
        self.config = config
        self.spec = spec
        self.device = device
        self.state_size = state_size(spec, type(config).__name__.removesuffix("Config"))
        self.action_size = spec.action_size
        published = published_rollouts(spec.task, spec.behaviour, config.published)
        self.rollout_length = _rollout_length(config, published)
        weight = config.penalty.weight
        self.uniform = config.rollout_actions == "uniform" or (
            config.rollout_actions == "task" and acts_uniformly(spec.task)
        )
        ensemble = ProbabilisticEnsemble(
            config.dynamics,
            self.state_size,
            self.action_size,
            resolve_precision(config.precision, device),
        )
        self.trainer = DynamicsTrainer(config.dynamics, ensemble.to(device), device)
        self.dynamics_source: ModelSource | None = None
        """Where the ensemble was trained, if not here."""
        if config.dynamics_run is not None and config.dynamics_run.exists():
            require_fitting(config.dynamics_run, config.dynamics, spec)
        self.model = LearnedModel(
            ensemble=ensemble,
            penalty=build_penalty(config.penalty, spec, device),
            weight=published.weight if weight is None else weight,
            terminated=termination_rule(
                config.termination, spec.task, self.state_size, config.state_bound
            ),
            reward=config.imagined_reward,
        )
        self.agent = SoftActorCritic(
            _agent_config(config), self.state_size, self.action_size, device=device
        )
        self.real_count = int(config.batch_size * config.real_share)
        self.imagined_count = config.batch_size - self.real_count
        self.pool = TransitionPool(
            config.rollouts * self.rollout_length * config.retained_rollouts,
            state_size=self.state_size,
            action_size=self.action_size,
            device=device,
        )
        self._states: Float[Tensor, "row state"] | None = None
        self._starts: Tensor | None = None

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The dynamics' phase, unless nothing is imagined or it is another run's; the policy's.

        The dynamics draw their batches themselves, each member its own, so that the loop's are
        asked to be as small as can be.
        """
        policy = Phase(
            "policy",
            self.config.steps,
            _windows(self.real_count),
            self.update_policy,
            replayable=True,
            prepare=self.prepare_policy,
            refresh=self.imagine if self.imagined_count else None,
            refresh_every=self.config.rollout_every,
        )
        dynamics = Phase(
            "dynamics",
            self.config.dynamics_steps,
            _windows(0),
            self.trainer.update,
            finished=lambda: self.trainer.stopped,
            replayable=True,
            prepare=self.trainer.prepare,
            refresh=self.trainer.refresh,
        )
        trains = self.imagined_count and self.config.dynamics_run is None
        return (dynamics, policy) if trains else (policy,)

    def prepare_policy(self, replay: Replay, seed: int) -> None:
        """Find the states of the data from which rollouts begin: all that a step begins in."""
        if not self.trainer.finished and self.imagined_count:
            if self.config.dynamics_run is None:
                self.trainer.prepare(replay, seed)
            else:
                self._read_dynamics(self.config.dynamics_run)
        self._states = replay.read(STATE, 0, replay.rows)
        self._starts = step_rows(replay.episodes, replay.device)

    def _read_dynamics(self, run: Path) -> None:
        # Only now: a trained policy acts without the run that its ensemble came from.
        state, self.dynamics_source = read_dynamics(run, self.config.dynamics, self.spec)
        self.trainer.load_state_dict(state)

    def imagine(self, update: int) -> None:
        """Roll out from states of the data; before the first update, finish the dynamics.

        Raises `VRLError` with the number of the policy's update when a prediction is not finite.
        """
        if not self.trainer.finished:
            self.trainer.finish()
        assert self._states is not None
        assert self._starts is not None
        chosen = torch.randint(len(self._starts), (self.config.rollouts,), device=self.device)
        rows = self._starts[chosen]
        for some in torch.split(rows, PREDICTED_TOGETHER.get(self.device.type, 2_048)):
            start = self._states.index_select(0, some)
            try:
                for steps in self.model.roll_out(
                    start, self.explore, self.trainer.elites, self.rollout_length
                ):
                    self.pool.add(steps)
            except VRLError as error:
                raise VRLError(f"Before update {update + 1} of the policy: {error}") from error

    def explore(self, state: Float[Tensor, "batch state"]) -> Float[Tensor, "batch action"]:
        """Return actions for rollouts: samples of the policy, or uniform ones."""
        if self.uniform:
            return torch.rand((len(state), self.action_size), device=self.device) * 2 - 1
        return self.agent.actor.act(state, stochastic=True)

    def update_policy(self, batch: SequenceBatch) -> Metrics:
        """Take one step of the agent on real and imagined transitions in fixed shares.

        Real rewards are not penalised (fact F4).
        """
        parts, metrics = [], {}
        if self.real_count:
            parts.append(real_transitions(batch, self.config.discount))
            metrics["real/reward"] = parts[-1].reward.mean()
        if self.imagined_count:
            imagined, penalty = self.pool.draw(self.imagined_count, self.config.discount)
            parts.append(imagined)
            metrics["imagined/reward"] = imagined.reward.mean()
            metrics["imagined/penalty"] = penalty.mean()
        return self.agent.update(joined(parts)) | metrics

    def policy(self) -> StatePolicy:
        """Return the tanh of the agent's mean action; it sees later updates."""
        return StatePolicy(self._mean_action, self.state_size, self.device)

    def _mean_action(self, state: Tensor) -> Tensor:
        return self.agent.actor.act(state, stochastic=False)

    def state_dict(self) -> dict[str, Any]:
        """Return dynamics, agent, their optimisers and the imagined transitions."""
        source = self.dynamics_source
        return {
            "dynamics_source": None if source is None else source.to_data(),
            "dynamics": self.trainer.state_dict(),
            "agent": dict(self.agent.state_dict()),
            "optimisers": {
                name: optimiser.state_dict()["state"]
                for name, optimiser in self.agent.optimisers.items()
            },
            "imagined": self.pool.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`; raises `VRLError` if its sizes are others."""
        source = state["dynamics_source"]
        self.dynamics_source = None if source is None else ModelSource(**source)
        self.trainer.load_state_dict(state["dynamics"])
        self.agent.load_state_dict(state["agent"])
        for name, optimiser in self.agent.optimisers.items():
            # Rates and device options are the configuration's, not the checkpoint's.
            groups = optimiser.state_dict()["param_groups"]
            moments = state["optimisers"][name]
            optimiser.load_state_dict({"state": moments, "param_groups": groups})
        self.pool.load_state_dict(state["imagined"])


def _rollout_length(config: MOPOConfig, published: PublishedRollouts) -> int:
    if config.rollout_length != "paper":
        return config.rollout_length
    return published.mbpo_length if isinstance(config, MBPOConfig) else published.mopo_length


def _agent_config(config: MOPOConfig) -> SoftActorCriticConfig:
    return SoftActorCriticConfig(
        hidden_sizes=config.hidden_layers,
        learning_rate=config.learning_rate,
        discount=config.discount,
        target_rate=config.target_rate,
        target_entropy=config.target_entropy,
    )


def _windows(count: int) -> Sequences:
    """Return the request for single steps with states, or, of none, the smallest there is."""
    if not count:
        return Sequences(batch_size=1, length=1, observations=())
    return Sequences(batch_size=count, length=1, observations=("state",))
