"""A world model as others judge it: states of logged episodes, and imagination from them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from vrl_core.protocols import EnsemblePrediction, Observations
from vrl_worldmodel.rssm import LatentState
from vrl_worldmodel.world_model import WorldModel

ENCODED_TOGETHER = 128
"""Observations that are encoded at once."""


class LoggedRollouts:
    """Rollouts of a world model, in the form that vrl-theory asks of any model."""

    def __init__(self, model: WorldModel) -> None:
        self.model = model
        self.fields = model.fields.names

    def start(
        self, observations: Observations, action: Float[Tensor, "step action"]
    ) -> LatentState:
        """Infer an episode's latents from its observations `(T+1, ...)`, sampled."""
        rows = len(action) + 1
        embedding = torch.cat(
            [
                self.model.encode(
                    {name: observations[name][at : at + ENCODED_TOGETHER] for name in self.fields}
                )
                for at in range(0, rows, ENCODED_TOGETHER)
            ]
        )
        observed = self.model.infer(embedding[None], action[None])
        return observed.states.apply(lambda part: part[0])

    def step(
        self, state: LatentState, action: Float[Tensor, "batch action"]
    ) -> tuple[LatentState, EnsemblePrediction]:
        """Imagine one step; one member is drawn for all rollouts."""
        return self.model.rssm.imagine_step(state, action)
