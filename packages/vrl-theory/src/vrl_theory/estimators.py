"""Error estimators u(s, a) of a model's dynamics, and whether they are admissible.

Assumption 4.3 of MOPO: d_F(model(s, a), truth(s, a)) <= u(s, a) for all s and a.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from numpy.random import Generator

from vrl_theory.function_classes import FunctionClass, require_states
from vrl_theory.mdp import FiniteMDP, StateAction, Transition
from vrl_theory.random_mdp import resampled_models

TOLERANCE = 1e-9
"""How far below the error an estimator may be by rounding, relative to the largest error."""


def true_error(mdp: FiniteMDP, model: Transition, functions: FunctionClass) -> StateAction:
    """Return d_F(model(s, a), truth(s, a)), the least admissible estimator.

    Raises `VRLError` when the functions are of another number of states.
    """
    require_states(functions, mdp)
    return np.asarray(functions.distance(model, mdp.transition))


def count_estimator(
    seen: StateAction, states: int, failure: float = 0.05, prior: float = 0.0
) -> StateAction:
    """Return a bound on the sum of absolute differences from data alone, at most 2.

    Weissman et al. 2003 ("Inequalities for the L1 deviation of the empirical distribution"): with
    n samples, P(|p_hat - p|_1 >= e) <= (2^S - 2) exp(-n e^2 / 2). Each pair fails with probability
    `failure` / (S A), so all hold with 1 - `failure`. It is for plain frequencies; how far a
    `prior` on every count may move the estimate away from them is added. 2 where nothing was seen.
    """
    pairs = seen.shape[-1] * seen.shape[-2]
    exponent = np.log(max(2.0**states - 2, 1.0) * pairs / failure)
    bound: ndarray = np.sqrt(2 * exponent / np.maximum(seen, 1e-9))
    # With p_hat = c / n and a prior a, the estimate is (c + a) / (n + S a), which lies
    # S a / (n + S a) of the way from p_hat to the uniform u; and |u - p_hat|_1 <= 2 (1 - 1 / S),
    # reached where all that was seen is one outcome. The triangle inequality adds both distances.
    pseudo = states * prior
    moved = pseudo / np.maximum(seen + pseudo, 1e-9) * 2 * (1 - 1 / states)
    limited: ndarray = np.minimum(bound + moved, 2.0)
    return limited


def disagreement_estimator(
    model: Transition, seen: StateAction, members: int, random: Generator, functions: FunctionClass
) -> StateAction:
    """Return the largest d_F of bootstrapped models from their mean, as MOPO's "ens. pen.".

    A heuristic: nothing makes it admissible. The members are what data of these sizes, drawn from
    the model itself, would have taught.
    """
    ensemble = resampled_models(model, seen, members, random)
    mean = np.broadcast_to(ensemble.mean(0), ensemble.shape)
    farthest: ndarray = np.asarray(functions.distance(ensemble, mean)).max(0)
    return farthest


def is_admissible(estimator: StateAction, error: StateAction) -> Bool[ndarray, "*mdp"]:
    """Say for each MDP whether the estimator is admissible, but for rounding."""
    largest = error.max((-2, -1), keepdims=True)
    admissible: ndarray = np.asarray((estimator >= error - TOLERANCE * largest).all((-2, -1)))
    return admissible


def admissibility_rate(
    estimator: Float[ndarray, "*place"],
    error: Float[ndarray, "*place"],
    weight: Float[ndarray, "*place"] | None = None,
) -> float:
    """Return the share of places where the estimator is at least the error.

    Places count equally, or by `weight`, such as an occupancy.
    """
    holds = estimator >= error - TOLERANCE * np.max(error)
    return float(np.average(holds, weights=weight))
