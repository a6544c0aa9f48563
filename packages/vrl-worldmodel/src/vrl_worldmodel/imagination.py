"""Rollouts in the latent space of a frozen world model, with gradients to the actor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vrl_core.protocols import EnsemblePrediction
from vrl_worldmodel.distributions import TruncatedNormal
from vrl_worldmodel.rssm import RSSM, LatentState

Penalty = Callable[[EnsemblePrediction], Tensor]


@dataclass(frozen=True, kw_only=True)
class Imagination:
    """A rollout of H actions through H+1 states; the first are states inferred from data.

    Each state but the last has the entropy of the policy there and its penalty: the ensemble's
    uncertainty of the state's own stochastic part, seen from its deterministic part. `penalty` is
    None when nothing is penalised.
    """

    features: Float[Tensor, "states batch feature"]
    action: Float[Tensor, "horizon batch action"]
    entropy: Float[Tensor, "horizon batch"]
    penalty: Float[Tensor, "horizon batch"] | None


def imagine(
    rssm: RSSM,
    start: LatentState,
    act: Callable[[Tensor], TruncatedNormal],
    horizon: int,
    penalty: Penalty | None = None,
) -> Imagination:
    """Roll out the policy `act` from `start`, drawing one member for all rollouts at each step.

    Gradients flow to the actor through its actions, the dynamics and the penalty; the features it
    acts on are detached (V-D4RL's public code, facts A9 to A11). The last state's reward is in no
    target, so it is not penalised and needs the drawn member alone.
    """
    state = start
    features, actions, entropies, penalties = [start.features], [], [], []
    prediction = rssm.predict(start) if penalty else None
    for step in range(horizon):
        if penalty and prediction is not None:
            penalties.append(penalty(prediction))
        policy = act(state.features.detach())
        action = policy.sample()
        if penalty and step < horizon - 1:
            state, prediction = rssm.imagine_step(state, action)
        else:
            state = _step_of_one_member(rssm, state, action)
        features.append(state.features)
        actions.append(action)
        entropies.append(policy.entropy())
    return Imagination(
        features=torch.stack(features),
        action=torch.stack(actions),
        entropy=torch.stack(entropies),
        penalty=torch.stack(penalties) if penalties else None,
    )


def _step_of_one_member(rssm: RSSM, state: LatentState, action: Tensor) -> LatentState:
    """Step as `RSSM.imagine_step` does, without what the other members predict."""
    deterministic = rssm.advance(state, action)
    latent = rssm.prior(deterministic, rssm.draw_member())
    return LatentState(deterministic, latent.sample())
