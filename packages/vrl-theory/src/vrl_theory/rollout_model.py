"""What the empirical bound asks of a learned model, and the models that answer.

An algorithm of any package can be judged if it has a method `rollout_model()` that returns a
`RolloutModel`. Without one, its attribute `model` is looked at, and what that has as `ensemble`:

- a latent world model has `encode(images)`, `infer(embeddings, actions).states` and
  `rssm.imagine_step(state, action) -> (state, EnsemblePrediction)`; states have `apply(change)`;
- an ensemble on states has `predict(state, action) -> (mean, std)`, each `(member, batch, state +
  1)` with the reward last, and `state_size`; the members drawn are the algorithm's `elites`, or its
  `trainer`'s, if it has such. A `RolloutModel` says them by `elites`: true errors are theirs.

Whether the model is trained is the algorithm's `model_trained`, or its `trainer`'s `finished`; one
without either counts as trained. What the model predicts, `gaussian` or `categorical`, is the
`RolloutModel`'s `kind`, or its world model's `config.latent`; unsaid, every penalty is let pass.

The penalty's weight in the reward is the algorithm's `penalty_weight`, or its model's `weight`.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from vrl_core.errors import VRLError
from vrl_core.protocols import EnsemblePrediction, Observations

ENCODED_TOGETHER = 128
"""Images that are encoded at once."""


@runtime_checkable
class RolloutModel(Protocol):
    """A learned model in which logged actions are imagined."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Observation fields that `start` needs."""
        ...

    def start(self, observations: Observations, action: Tensor) -> Any:
        """Return the states of an episode's observations `(T+1, ...)`, given its actions.

        States are a tensor with rows, or have `apply(change)` that changes every tensor of theirs.
        """
        ...

    def step(self, state: Any, action: Tensor) -> tuple[Any, EnsemblePrediction]:
        """Draw the next states of `(batch, action)` actions, with what the members predict."""
        ...


class LatentRollouts:
    """Rollouts of a latent world model on images."""

    fields = ("image",)

    def __init__(self, model: Any) -> None:
        self.model = model

    def start(self, observations: Observations, action: Tensor) -> Any:
        """Infer the episode's latents, sampled from the posteriors."""
        chunks = torch.split(observations["image"], ENCODED_TOGETHER)
        embedding = torch.cat([self.model.encode(chunk) for chunk in chunks])
        observed = self.model.infer(embedding[None], action[None])
        return observed.states.apply(lambda part: part[0])

    def step(self, state: Any, action: Tensor) -> tuple[Any, EnsemblePrediction]:
        """Imagine one step; one member is drawn for all rollouts."""
        following, prediction = self.model.rssm.imagine_step(state, action)
        return following, prediction


class StateRollouts:
    """Rollouts of an ensemble of Gaussians on states."""

    fields = ("state",)
    kind = "gaussian"

    def __init__(self, ensemble: Any, elites: Tensor | None = None) -> None:
        self.ensemble, self.elites = ensemble, elites

    def start(self, observations: Observations, action: Tensor) -> Tensor:  # noqa: ARG002
        """Return the states as they were logged."""
        return observations["state"]

    def step(self, state: Tensor, action: Tensor) -> tuple[Tensor, EnsemblePrediction]:
        """Draw next states, each from one of the elites (MOPO, Algorithm 2)."""
        mean, std = self.ensemble.predict(state, action)
        known = torch.arange(len(mean), device=state.device) if self.elites is None else self.elites
        chosen = torch.randint(len(known), (len(state),), device=state.device)
        member = known.to(state.device)[chosen]
        rows = torch.arange(len(state), device=state.device)
        sample = mean[member, rows] + std[member, rows] * torch.randn_like(mean[0])
        prediction = EnsemblePrediction(
            kind="gaussian", sample=sample, member=member, mean=mean, std=std
        )
        return sample[:, : self.ensemble.state_size], prediction


def find_rollout_model(algorithm: object, name: str) -> RolloutModel:
    """Return the model of an algorithm; raises `VRLError` when it has none that is known."""
    if hasattr(algorithm, "rollout_model"):
        offered: RolloutModel = algorithm.rollout_model()
        return offered
    model = _model(algorithm)
    for candidate in (model, getattr(model, "ensemble", None)):
        if all(hasattr(candidate, part) for part in ("encode", "infer", "rssm")):
            return LatentRollouts(candidate)
        if all(hasattr(candidate, part) for part in ("predict", "state_size")):
            return StateRollouts(candidate, _elites(algorithm))
    raise VRLError(
        f"{name} has no model to imagine with. Give a run of an algorithm that learns one, such as "
        "mopo, lompo or offline-dv2; one of another package needs a method rollout_model()."
    )


def model_is_trained(algorithm: object) -> bool:
    """Say whether an algorithm's model is trained; one that does not say counts as trained."""
    trainer = getattr(algorithm, "trainer", None)
    for owner, attribute in ((algorithm, "model_trained"), (trainer, "finished")):
        trained = getattr(owner, attribute, None)
        if isinstance(trained, bool):
            return trained
    return True


def prediction_kind(model: RolloutModel) -> str | None:
    """Return the kind of `EnsemblePrediction` that a model draws, if it says."""
    kind = getattr(model, "kind", None)
    if kind is None:
        kind = getattr(getattr(_model(model), "config", None), "latent", None)
    return kind if isinstance(kind, str) else None


def find_penalty_weight(algorithm: object) -> float | None:
    """Return the penalty's weight (lambda) as the algorithm resolved it, if it says."""
    for owner, attribute in ((algorithm, "penalty_weight"), (_model(algorithm), "weight")):
        weight = getattr(owner, attribute, None)
        if isinstance(weight, int | float):
            return float(weight)
    return None


def select(state: Any, start: int, stop: int) -> Any:
    """Return some rows of states."""
    if isinstance(state, Tensor):
        return state[start:stop]
    return state.apply(lambda part: part[start:stop])


def _model(algorithm: object) -> object:
    return getattr(algorithm, "model", None)


def _elites(algorithm: object) -> Tensor | None:
    for owner in (algorithm, getattr(algorithm, "trainer", None)):
        found = getattr(owner, "elites", None)
        if found is not None:
            return torch.as_tensor(found)
    return None
