"""Random MDPs, policies and learned models of them, reproducible from a generator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from numpy.random import Generator

from vrl_core.errors import VRLError
from vrl_theory.mdp import FiniteMDP, StateAction, Transition, occupancy

PRIOR = 0.1
"""What is added to every count of a model that is estimated from data."""


@dataclass(frozen=True, kw_only=True)
class RandomMDPs:
    """What random MDPs are drawn from; rows are Dirichlet, rewards uniform."""

    count: int = 1
    """MDPs in the family."""
    states: int = 4
    actions: int = 2
    discount: float = 0.9
    concentration: float = 0.5
    """Of the rows' Dirichlet distribution: small makes nearly deterministic dynamics."""
    lowest_reward: float = -1.0
    highest_reward: float = 1.0

    def __post_init__(self) -> None:
        """Refuse numbers that make no MDP; raises `VRLError`."""
        for name in ("count", "states", "actions"):
            if getattr(self, name) < 1:
                raise VRLError(f"{name} must be at least 1, not {getattr(self, name)}.")
        if not 0 <= self.discount < 1:
            raise VRLError(f"The discount must be in [0, 1), not {self.discount}.")
        if not self.concentration > 0:
            raise VRLError(f"concentration must be more than 0, not {self.concentration}.")
        if not self.lowest_reward <= self.highest_reward:
            raise VRLError("lowest_reward must not be above highest_reward.")

    def draw(self, random: Generator) -> FiniteMDP:
        """Return a family of `count` MDPs."""
        shape = (self.count, self.states, self.actions)
        return FiniteMDP(
            transition=_rows(random, shape, self.states, self.concentration),
            reward=random.uniform(self.lowest_reward, self.highest_reward, shape),
            discount=self.discount,
            initial=_rows(random, (self.count,), self.states, 1.0),
        )


def random_policies(mdp: FiniteMDP, random: Generator, concentration: float = 1.0) -> StateAction:
    """Return a stochastic policy for each MDP of the family."""
    return _rows(random, (*mdp.family, mdp.states), mdp.actions, concentration)


def perturbed_model(mdp: FiniteMDP, random: Generator, amount: float = 0.3) -> Transition:
    """Return dynamics that are random with probability `amount`, and true otherwise.

    Raises `VRLError` for an amount outside [0, 1].
    """
    if not 0 <= amount <= 1:
        raise VRLError(f"The amount is a probability, in [0, 1], not {amount}.")
    other = _rows(random, mdp.reward.shape, mdp.states, 0.5)
    return (1 - amount) * mdp.transition + amount * other


def estimated_model(
    mdp: FiniteMDP,
    behaviour: StateAction,
    samples: int,
    random: Generator,
    prior: float = PRIOR,
) -> tuple[Transition, StateAction]:
    """Return dynamics estimated from data of a behaviour policy, and how often each pair was seen.

    As many `samples` (s, a, s') are drawn from the behaviour's normalised occupancy in each MDP;
    the estimate is their frequency with `prior` added to every count, so that it is uniform where
    there is no data. Raises `VRLError` for a number of samples below 0, or a prior of 0 or less.
    """
    if samples < 0:
        raise VRLError(f"The number of samples must be at least 0, not {samples}.")
    _check_prior(prior)
    visited = occupancy(mdp, behaviour) * (1 - mdp.discount)
    visited = visited / visited.sum((-2, -1), keepdims=True)
    joint = visited[..., None] * mdp.transition
    flat = joint.reshape(*mdp.family, -1)
    counts = random.multinomial(samples, flat / flat.sum(-1, keepdims=True))
    shaped = counts.reshape(joint.shape) + prior
    seen = shaped.sum(-1) - prior * mdp.states
    return _normalised(shaped), seen


def resampled_models(
    model: Transition, seen: StateAction, members: int, random: Generator, prior: float = PRIOR
) -> Float[ndarray, "member *mdp state action state"]:
    """Return models estimated from fresh data that `model` generates, as much as was `seen`."""
    _check_prior(prior)
    if members < 1:
        raise VRLError(f"The number of models must be at least 1, not {members}.")
    draws = [random.multinomial(np.round(seen).astype(np.int64), model) for _ in range(members)]
    return _normalised(np.stack(draws) + prior)


def _check_prior(prior: float) -> None:
    if not prior > 0:
        raise VRLError(
            f"The prior must be more than 0, not {prior}: without one, what was never seen has no "
            "estimate. Take a small one, such as 1e-9."
        )


def _rows(random: Generator, shape: tuple[int, ...], outcomes: int, alpha: float) -> ndarray:
    """Draw Dirichlet distributions; gammas that all underflow become uniform."""
    return _normalised(random.gamma(alpha, size=(*shape, outcomes)) + 1e-12)


def _normalised(weights: ndarray) -> ndarray:
    normalised: ndarray = weights / weights.sum(-1, keepdims=True)
    return normalised
