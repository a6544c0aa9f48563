"""A policy on inferred latent states: it remembers the last state and the last action."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from vrl_core.counter_rng import mix
from vrl_worldmodel.rssm import LatentState
from vrl_worldmodel.world_model import WorldModel


@dataclass(frozen=True)
class LatentMemory:
    """Latent states and last actions `(environments, action)` of episodes at the same step."""

    latent: LatentState
    action: Tensor
    step: int = 0

    @property
    def environments(self) -> int:
        """Number of episodes."""
        return len(self.action)


@dataclass(frozen=True, kw_only=True)
class RecurrentPolicy:
    """Acts by `act_on`, from features `(batch, feature)` to actions, on posterior states.

    The posterior's latent is drawn, as in the public code (fact A14), or is its mode. What it is
    drawn with depends on the step alone, so an episode goes the same way whenever it is run and
    whatever others run beside it.
    """

    model: WorldModel
    act_on: Callable[[Tensor], Tensor]
    action_size: int
    latent: Literal["sample", "mode"]
    device: torch.device
    autocast: Callable[[], AbstractContextManager[Any]]

    @property
    def observations(self) -> tuple[str, ...]:
        """Names of the fields that it reads."""
        return self.model.fields.names

    def start(self, environments: int) -> LatentMemory:
        """Return the memory of that many fresh episodes: a zero state and a zero action."""
        action = torch.zeros(environments, self.action_size, device=self.device)
        return LatentMemory(self.model.rssm.start(environments), action)

    @torch.no_grad()
    def act(
        self, observations: Mapping[str, np.ndarray], state: LatentMemory
    ) -> tuple[np.ndarray, LatentMemory]:
        """Choose actions, `(environments, action)` float32 in [-1, 1].

        Of `observations` it reads the model's fields. Raises `VRLError` when they are not like
        those of the training data.
        """
        shown = self.model.fields.of(observations, state.environments)
        inputs = {name: torch.from_numpy(value).to(self.device) for name, value in shown.items()}
        with self.autocast():
            embedding = self.model.encode(inputs)
            latent = self._infer(embedding, state)
            action = self.act_on(latent.features).float().clamp(-1, 1)
        return action.cpu().numpy(), LatentMemory(latent, action, state.step + 1)

    def _infer(self, embedding: Tensor, state: LatentMemory) -> LatentState:
        noise = self._noise(state.step) if self.latent == "sample" else None
        inferred, posterior = self.model.rssm.observe_step(
            state.latent, state.action, embedding, noise
        )
        if self.latent == "sample":
            return inferred
        return LatentState(inferred.deterministic, posterior.mode())

    def _noise(self, step: int) -> Tensor:
        """Return the noise `(1, ...)` that every episode's step of this number is drawn with."""
        generator = torch.Generator(self.device).manual_seed(mix(step) >> 1)
        return self.model.rssm.draw_noise(1, generator=generator)
