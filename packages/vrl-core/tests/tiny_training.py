"""A plugin for tests of the training loop: an algorithm with two phases, and an environment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import gymnasium
import numpy as np
import torch

from vrl_core import AlgorithmConfig, CallbackConfig, EnvironmentConfig, ReferenceReturns, hookimpl
from vrl_core.protocols import Callback, Phase, Sequences, Transitions


@dataclass(frozen=True, kw_only=True)
class TinyConfig(AlgorithmConfig):
    first_steps: int = 8
    steps: int = 20
    ends_first_at: int = 0
    """Update after which the first phase calls itself finished."""
    bad_at: int = -1
    """Update whose loss is NaN."""
    stops_at: int = -1
    """Update in which the process gets SIGINT."""
    return_steps: int = 2
    precision: str = "auto"

    falls: bool = False
    """Whether something is said to depend on `steps`."""

    def schedule(self):
        return "The rate falls" if self.falls else ""

    def build(self, spec, device):
        return Tiny(self, spec, device)


@dataclass(frozen=True, kw_only=True)
class TwoNumbersConfig(TinyConfig):
    model_steps: int = 8

    def build(self, spec, device):
        return Tiny(replace(self, first_steps=self.model_steps), spec, device)


class Tiny:
    """Fits actions from a pixel and noise, so that every random generator matters."""

    def __init__(self, config, spec, device):
        self.config = config
        self.network = torch.nn.Linear(2, spec.action_size).to(device)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=1e-2)
        self.updates = 0
        self.imagined = torch.zeros(())
        self.offset = torch.zeros(())
        self.diary = []
        """What the loop asked for, in order."""

    @property
    def phases(self):
        first = Sequences(batch_size=4, length=3)
        second = Transitions(batch_size=4, frame_stack=2, return_steps=self.config.return_steps)
        return [
            Phase("model", self.config.first_steps, first, self.update_model, self._is_fitted),
            Phase(
                "policy",
                self.config.steps,
                second,
                self.update_policy,
                prepare=self.prepare,
                refresh=self.refresh,
                refresh_every=6,
            ),
        ]

    def prepare(self, replay, seed):
        """Draw from every generator; on resuming, the numbers must be the same."""
        self.diary.append(f"prepare with {seed} before {self.updates}")
        noise = torch.rand(()) + float(np.random.rand())
        self.offset = replay.read("observation.image", 0, 4).float().mean() / 255 + noise

    def refresh(self, number):
        self.diary.append(f"refresh {number}")
        self.imagined = torch.randn(()) + self.offset

    def _is_fitted(self):
        return 0 < self.config.ends_first_at <= self.updates

    def update_model(self, batch):
        pixel = batch.observations["image"][:, 0, 0, 0, 1].float()
        return self._step(pixel, batch.action[:, 0])

    def update_policy(self, batch):
        pixel = batch.observation["image"][:, -1, 0, 0, 1].float()
        return self._step(pixel + self.imagined, batch.action)

    def _step(self, pixel, action):
        self.updates += 1
        noise = torch.randn(len(pixel)) + float(np.random.rand())
        loss = (self.network(torch.stack((pixel, noise), 1)) - action).square().mean()
        if self.updates == self.config.bad_at:
            loss = loss * float("nan")
        if self.updates == self.config.stops_at:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGINT)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return {"loss": loss.detach(), "pixel": pixel.mean()}

    def policy(self):
        return TinyPolicy(self)

    def state_dict(self):
        return {
            "network": dict(self.network.state_dict()),
            "optimiser": self.optimiser.state_dict(),
            "updates": self.updates,
            "imagined": self.imagined,
        }

    def load_state_dict(self, state):
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.updates = state["updates"]
        self.imagined = state["imagined"]


class TinyPolicy:
    def __init__(self, algorithm):
        self.algorithm = algorithm

    def start(self, environments):
        return None

    @torch.no_grad()
    def act(self, observations, state):
        pixel = torch.from_numpy(observations["image"][:, 0, 0, 1]).float()
        action = self.algorithm.network(torch.stack((pixel, torch.randn(len(pixel))), 1))
        return action.clamp(-1, 1).numpy(), state


@dataclass(frozen=True, kw_only=True)
class CountingEnvironmentConfig(EnvironmentConfig):
    task: str | None = None
    layout_settings: ClassVar[tuple[str, ...]] = ("size", "action_size", "interrupts")

    size: int = 16
    action_size: int = 2
    rendering: str = "fast"
    interrupts: bool = False
    assets: Path | None = None
    shape: str = "round"

    def build(self):
        return CountingEnvironment(self)

    def references(self):
        return ReferenceReturns(random=0.0, expert=10.0)


class CountingEnvironment(gymnasium.Env):
    """Five steps; the reward is the first number of the action."""

    def __init__(self, config):
        self.config = config
        shape = (config.size, config.size, 3)
        self.observation_space = gymnasium.spaces.Dict(
            image=gymnasium.spaces.Box(0, 255, shape, np.uint8),
            state=gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32),
        )
        self.action_space = gymnasium.spaces.Box(-1, 1, (config.action_size,), np.float32)

    def _observe(self):
        shape = self.observation_space["image"].shape
        return {"image": np.full(shape, self.count, np.uint8), "state": np.zeros(2, np.float32)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = int(self.np_random.integers(5))
        self.left = 5
        return self._observe(), {}

    def step(self, action):
        if self.config.interrupts and self.left == 2:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGINT)
        self.count, self.left = self.count + 1, self.left - 1
        return self._observe(), float(action[0]), False, self.left == 0, {}


@dataclass(frozen=True, kw_only=True)
class FaultyConfig(CallbackConfig):
    event: str = "on_metrics"

    def build(self):
        return Faulty(self.event)


class Faulty(Callback):
    def __init__(self, event):
        setattr(self, event, self._fail)

    def _fail(self, *arguments):
        raise ZeroDivisionError("oh")


@hookimpl
def vrl_algorithms():
    return {"tiny": TinyConfig, "two-numbers": TwoNumbersConfig}


@hookimpl
def vrl_environments():
    return {"counting": CountingEnvironmentConfig}


@hookimpl
def vrl_callbacks():
    return {"faulty": FaultyConfig}
