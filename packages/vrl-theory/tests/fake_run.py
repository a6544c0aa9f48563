"""A tiny algorithm on states with a model whose penalties and errors are known.

As a plugin: states `(episode, step, ...)` of tiny data; the model predicts that the second number
grows by one, plus `bias` a step, with a deviation of 0.1 * (state[1] + 1) in every feature.
"""

from __future__ import annotations

from dataclasses import dataclass

import gymnasium
import numpy as np
import torch
from torch import nn

from vrl_core.hooks import AlgorithmConfig, EnvironmentConfig, PenaltyConfig, hookimpl
from vrl_core.protocols import Phase, Transitions


class CountingEnsemble(nn.Module):
    """Two members that agree."""

    def __init__(self, state_size: int, bias: float = 0.0) -> None:
        super().__init__()
        self.state_size = state_size
        self.bias = nn.Parameter(torch.tensor(bias))

    def predict(self, state, action):
        following = state.clone()
        following[:, 1] += 1 + self.bias
        mean = torch.cat([following, torch.zeros(len(state), 1)], -1).expand(2, -1, -1)
        return mean, (0.0 * mean + 0.1 * (state[:, 1:2] + 1)).abs()


class Policy:
    def start(self, environments):
        return None

    def act(self, observations, state):
        return np.zeros((len(observations["state"]), 2), np.float32), state


class Counter:
    """An algorithm whose model errs more with every update."""

    penalty_weight = 2.0

    def __init__(self, config, spec, device):
        torch.rand(3)  # building draws from the generator, as weights do
        self.trained_at = 0.5 * config.trained_after
        self.model = CountingEnsemble(spec.observations["state"].shape[0])
        request = Transitions(batch_size=2)
        self.phases = (Phase("counting", config.steps, request, self.update),)

    @property
    def model_trained(self):
        return bool(self.model.bias >= self.trained_at)

    def update(self, batch):
        with torch.no_grad():
            self.model.bias += 0.5
        return {"drawn": torch.rand(())}

    def policy(self):
        return Policy()

    def state_dict(self):
        return {"model": dict(self.model.state_dict())}

    def load_state_dict(self, state):
        self.model.load_state_dict(state["model"])


@dataclass(frozen=True, kw_only=True)
class StdPenalty(PenaltyConfig):
    """Deviation of the first feature."""

    def build(self):
        return lambda prediction: prediction.std[0, ..., 0]


@dataclass(frozen=True, kw_only=True)
class Nothing(PenaltyConfig):
    """Zero everywhere."""

    def build(self):
        return lambda prediction: 0 * prediction.std[0, ..., 0]


@dataclass(frozen=True, kw_only=True)
class LogitPenalty(PenaltyConfig):
    """Knows no Gaussians."""

    kinds = ("categorical",)

    def build(self):
        return lambda prediction: prediction.logits[0, ..., 0]


@dataclass(frozen=True, kw_only=True)
class Oracle(PenaltyConfig):
    """Asks a simulator."""

    needs_simulator = True

    def build(self):
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class CounterConfig(AlgorithmConfig):
    """Counts."""

    default_preset = "paper"
    steps: int = 4
    trained_after: int = 0
    penalty: PenaltyConfig = StdPenalty()
    discount: float = 0.5

    def build(self, spec, device):
        return Counter(self, spec, device)


class CountingEnv(gymnasium.Env):
    """Three steps of reward one; the second number of the state counts them."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = np.zeros(3, np.float32)
        return self.state, {}

    def step(self, action):
        self.state = self.state + np.array([0, 1, 0], np.float32)
        return self.state, 1.0, False, bool(self.state[1] >= 3), {}

    def simulate(self, state, action):
        following = state.copy()
        following[:, 1] += 1
        return following, np.zeros(len(state), np.float32)


@dataclass(frozen=True, kw_only=True)
class CountingConfig(EnvironmentConfig):
    """Counts steps."""

    simulates: bool = True

    def build(self):
        return CountingEnv() if self.simulates else gymnasium.wrappers.TimeLimit(Blind(), 3)


class Blind(gymnasium.Env):
    """Cannot be set to a state."""

    observation_space, action_space = CountingEnv.observation_space, CountingEnv.action_space


@hookimpl
def vrl_algorithms():
    return {"counter": CounterConfig}


@hookimpl
def vrl_penalties():
    return {"first-std": StdPenalty, "logit": LogitPenalty, "none": Nothing, "oracle": Oracle}


@hookimpl
def vrl_environments():
    return {"counting": CountingConfig}
