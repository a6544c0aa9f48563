"""Theorem 4.4 over many random MDPs whose models are estimated from data.

The behaviour policy is random; its transitions teach a model; algorithms are MOPO with several
error estimators, and MBPO, which is MOPO without a penalty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy import ndarray
from numpy.random import Generator

from vrl_theory.bounds import Guarantee, Problem, guarantee, return_bounds
from vrl_theory.calibration import spearman
from vrl_theory.estimators import (
    admissibility_rate,
    count_estimator,
    disagreement_estimator,
    is_admissible,
    true_error,
)
from vrl_theory.function_classes import (
    Bounded,
    FunctionClass,
    KernelBall,
    Lipschitz,
    least_scale,
)
from vrl_theory.mdp import (
    FiniteMDP,
    Numbers,
    StateAction,
    Transition,
    expected_return,
    optimal_policy,
)
from vrl_theory.metrics import laplace_kernel, line_metric
from vrl_theory.random_mdp import PRIOR, RandomMDPs, estimated_model, random_policies

MEMBERS = 7
FACTORS = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Factors on lambda whose effect is drawn."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """Random MDPs, what was learnt of them, and the setting of the theory."""

    mdp: FiniteMDP
    model: Transition
    behaviour: StateAction
    functions: FunctionClass
    scale: ndarray
    """c of Assumption 4.2: the least for all policies, `(mdp,)`."""
    error: StateAction
    """d_F of the model from the truth."""
    estimators: Mapping[str, StateAction]
    """u(s, a) by name."""

    def problem(self, estimator: str, factor: float = 1.0) -> Problem:
        """Return the problem of MOPO with an estimator and this factor on lambda."""
        return Problem(
            mdp=self.mdp,
            model=self.model,
            estimator=self.estimators[estimator],
            scale=self.scale,
            functions=self.functions,
            coefficient_factor=factor,
        )

    def guarantee(self, estimator: str, factor: float = 1.0) -> Guarantee:
        """Return every term of Theorem 4.4, the behaviour policy among the competitors."""
        return guarantee(self.problem(estimator, factor), self.behaviour[:, None])


@dataclass(frozen=True, kw_only=True)
class Row:
    """What came of one estimator, over all MDPs; shares are in [0, 1]."""

    estimator: str
    admissible_mdps: float
    """MDPs where Assumption 4.3 holds."""
    admissible_pairs: float
    """Pairs (s, a) where the estimator is at least the error."""
    correlation: float | None
    """Spearman's rank correlation of estimator and error over all pairs of all MDPs."""
    violated_lower_bound: float
    """MDPs where Equation 7 fails for the learned policy."""
    violated_theorem: float
    """MDPs where Equation 10 fails."""
    gap: float
    """Mean of eta(pi*) - eta(pi-hat)."""
    gap_bound: float
    """Mean of 2 lambda epsilon_u(pi*)."""
    score: float
    """Mean return of pi-hat, between 0 (behaviour policy) and 100 (optimal policy)."""

    def to_data(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class FactorEffect:
    """What a factor on lambda does, over all MDPs."""

    estimator: str
    factor: float
    violated_lower_bound: float
    """MDPs where Equation 7 fails for the learned policy."""
    score: float

    def to_data(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def make_study(settings: RandomMDPs, samples: int, metric: str, random: Generator) -> Study:
    """Draw the MDPs, estimate their models, and compute every estimator."""
    mdp = settings.draw(random)
    behaviour = random_policies(mdp, random)
    model, seen = estimated_model(mdp, behaviour, samples, random, prior=PRIOR)
    functions = function_class(metric, settings.states)
    error = true_error(mdp, model, functions)
    counts = count_estimator(seen, settings.states, prior=PRIOR)
    estimators = {
        "true error": error,
        "counts": counts * _per_total_variation(functions, mdp),
        "disagreement": disagreement_estimator(model, seen, MEMBERS, random, functions),
        "none": np.zeros_like(error),
    }
    return Study(
        mdp=mdp,
        model=model,
        behaviour=behaviour,
        functions=functions,
        scale=np.asarray(least_scale(mdp, functions)),
        error=error,
        estimators=estimators,
    )


def function_class(metric: str, states: int) -> FunctionClass:
    """Return the class of functions of a metric; states lie at 0, 1, 2, ... of a line."""
    positions = np.arange(states, dtype=np.float64)
    if metric == "wasserstein":
        return Lipschitz(metric=line_metric(positions))
    if metric == "maximum-mean-discrepancy":
        return KernelBall(kernel=laplace_kernel(positions))
    return Bounded()


def guarantees(study: Study) -> dict[str, Guarantee]:
    """Return the terms of Theorem 4.4 for each estimator."""
    return {name: study.guarantee(name) for name in study.estimators}


def study_rows(study: Study, found: Mapping[str, Guarantee]) -> list[Row]:
    """Return a row for each estimator."""
    return [_row(study, name, each) for name, each in found.items()]


def factor_effects(study: Study, factors: Sequence[float] = FACTORS) -> list[FactorEffect]:
    """Return what each factor on lambda does with the true error and with disagreement."""
    return [
        _effect(study, estimator, factor)
        for estimator in ("true error", "disagreement")
        for factor in factors
    ]


def score(study: Study, eta: Numbers) -> float:
    """Return a mean return: 0 as the behaviour policy's, 100 as the optimal policies'."""
    behaviour = float(np.mean(expected_return(study.mdp, study.behaviour)))
    optimal = float(np.mean(expected_return(study.mdp, optimal_policy(study.mdp))))
    return 100 * (float(np.mean(eta)) - behaviour) / max(optimal - behaviour, 1e-12)


def _row(study: Study, name: str, found: Guarantee) -> Row:
    estimator, error = study.estimators[name], study.error
    rounding = study.problem(name).penalised_mdp.rounding
    return Row(
        estimator=name,
        admissible_mdps=float(is_admissible(estimator, error).mean()),
        admissible_pairs=admissibility_rate(estimator, error),
        correlation=spearman(estimator.ravel(), error.ravel()),
        violated_lower_bound=_violated(found.learned.slacks()["equation 7"], rounding),
        violated_theorem=_violated(found.slacks()["equation 10"], rounding),
        gap=float(np.mean(found.optimality_gap)),
        gap_bound=float(np.mean(found.gap_bound)),
        score=score(study, found.learned.eta),
    )


def _effect(study: Study, estimator: str, factor: float) -> FactorEffect:
    problem = study.problem(estimator, factor)
    learned = return_bounds(problem, optimal_policy(problem.penalised_mdp))
    return FactorEffect(
        estimator=estimator,
        factor=factor,
        violated_lower_bound=_violated(
            learned.slacks()["equation 7"], problem.penalised_mdp.rounding
        ),
        score=score(study, learned.eta),
    )


def _violated(slack: Numbers, rounding: Numbers) -> float:
    """Return the share of MDPs whose slack is negative beyond what policies are equal within."""
    return float(np.mean(np.asarray(slack) < -np.asarray(rounding)))


def _per_total_variation(functions: FunctionClass, mdp: FiniteMDP) -> float:
    """Return the largest d_F at a sum of absolute differences of one: half that of two points."""
    points = np.eye(mdp.states)
    first, second = np.broadcast_arrays(points[:, None], points[None])
    return float(np.max(functions.distance(first, second))) / 2
