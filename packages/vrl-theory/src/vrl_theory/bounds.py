"""MOPO's bounds on the return, every term by name (Yu et al. 2020, Section 4, Appendix B).

Equation numbers are the paper's. LOMPO's Equations 2 and 3 (Rafailov et al. 2021) are Equations 7
and 10 here for the latent MDP; MOTO's Equation 11 (Rafailov et al. 2023) is Equation 11 with
delta = epsilon_u of the optimal policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from vrl_core.errors import VRLError
from vrl_theory.estimators import true_error
from vrl_theory.function_classes import FunctionClass, Lipschitz, require_states, reward_scale
from vrl_theory.mdp import (
    FiniteMDP,
    Numbers,
    StateAction,
    check_distributions,
    deterministic_policies,
    expected_return,
    occupancy,
    optimal_policy,
    require_finite,
)
from vrl_theory.metrics import bounded_metric
from vrl_theory.telescoping import expectation, telescoping

PerPolicy = Float[ndarray, "*mdp policy"]
Policies = Float[ndarray, "*mdp policy state action"]
ERROR_ROUNDING = 1e-9
"""How far above delta a policy's model error may be, relative to it and at least to one."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A true MDP, a model of its dynamics, an error estimator and a scale; maybe a family of them.

    The assumptions are not checked: what fails without them is to be seen.
    """

    mdp: FiniteMDP
    """M, the true MDP."""
    model: ndarray
    """The estimated dynamics, of the size of the MDP's."""
    estimator: ndarray
    """u(s, a), `(..., state, action)`."""
    scale: ndarray | float
    """c of Assumption 4.2, one or `(...)`."""
    functions: FunctionClass
    """F of Assumption 4.2."""
    coefficient_factor: float = 1.0
    """Factor on lambda; the theory's is 1, less breaks the bounds."""

    def __post_init__(self) -> None:
        """Refuse what is no model, estimator, scale or class here; raises `VRLError`."""
        for name, value, wanted in (
            ("model", self.model, self.mdp.transition.shape),
            ("estimator", self.estimator, self.mdp.reward.shape),
        ):
            if value.shape != wanted:
                raise VRLError(f"The {name} of this MDP is {wanted}, not {value.shape}.")
        check_distributions(self.model, "T")
        require_finite(self.estimator, "estimator u")
        scale = np.asarray(self.scale)
        sizes_fit = scale.shape in ((), self.mdp.family)
        if not sizes_fit or not np.isfinite(scale).all() or (scale < 0).any():
            raise VRLError(
                f"The scale c is a finite number of 0 or more, or one for each MDP of the family "
                f"{self.mdp.family}; these are {self.scale}."
            )
        require_states(self.functions, self.mdp)

    @property
    def penalty_coefficient(self) -> Numbers:
        """Lambda = gamma c (times `coefficient_factor`)."""
        return np.asarray(self.coefficient_factor * self.mdp.discount * self.scale)

    @property
    def model_mdp(self) -> FiniteMDP:
        """M-hat: the true rewards under the model's dynamics."""
        return self.mdp.with_model(self.model)

    @property
    def penalised_mdp(self) -> FiniteMDP:
        """M-tilde: the model's dynamics and the reward r - lambda u."""
        coefficient = np.asarray(self.penalty_coefficient)[..., None, None]
        return self.model_mdp.penalised(coefficient * self.estimator)


@dataclass(frozen=True, kw_only=True)
class ReturnBounds:
    """One policy's return in three MDPs, and Equations 1 to 8 and 12; arrays are `(...)`."""

    eta: Numbers
    """Return in the true MDP."""
    eta_hat: Numbers
    """Return in the model MDP."""
    eta_penalised: Numbers
    """Return in the penalised MDP: the lower bound of Equation 7."""
    epsilon_u: Numbers
    """E_rho[u] under the model's occupancy (Equation 8)."""
    telescoped: Numbers
    """gamma E_rho[G], equal to eta_hat - eta (Equation 1)."""
    value_bound: Numbers
    """E_rho[r - gamma |G|] (Equation 2)."""
    distance_bound: Numbers
    """E_rho[r - gamma c d_F] (Equations 4 to 6 taken through Equation 2)."""
    value_error: Numbers
    """gamma E_rho|G|, the middle of Equation 12."""
    estimated_error: Numbers
    """lambda epsilon_u, the right side of Equation 12."""
    value_difference: StateAction
    """G(s, a)."""
    own_limit: StateAction
    """|V|_F d_F(s, a), the right side of Equation 3 for V of any size."""
    scaled_limit: StateAction
    """c d_F(s, a), the right side of Equation 6."""
    reward_limit: StateAction
    """r_max / (1 - gamma) |T^ - T|_1, the right side of Equation 4, whatever F is."""
    lipschitz_limit: StateAction | None
    """L_V W_1(s, a), the right side of Equation 5; None where F has no metric on the states."""

    def slacks(self) -> Mapping[str, Numbers]:
        """Return by how much each equation holds; negative where it is violated.

        Equation 8 defines epsilon_u, which is held against the returns that it explains: the
        penalised MDP's is lower by lambda epsilon_u.
        """
        left = np.abs(self.value_difference)
        limits = {
            "equation 3": self.own_limit,
            "equation 4": self.reward_limit,
            "equation 5": self.lipschitz_limit,
            "equation 6": self.scaled_limit,
        }
        return {
            "equation 1": -np.abs(self.eta_hat - self.eta - self.telescoped),
            "equation 2": self.eta - self.value_bound,
            **{
                name: (limit - left).min((-2, -1))
                for name, limit in limits.items()
                if limit is not None
            },
            "equation 7": self.eta - self.eta_penalised,
            "equation 8": -np.abs(self.eta_hat - self.eta_penalised - self.estimated_error),
            "equation 12, left": self.value_error - np.abs(self.eta_hat - self.eta),
            "equation 12, right": self.estimated_error - self.value_error,
        }


@dataclass(frozen=True, kw_only=True)
class Guarantee:
    """Theorem 4.4 for one problem or a family of them, every term by name."""

    learned_policy: StateAction
    """pi-hat, optimal in the penalised MDP (Algorithm 1)."""
    optimal_policy: StateAction
    """pi*, optimal in the true MDP."""
    learned: ReturnBounds
    """Returns and bounds of pi-hat."""
    optimal: ReturnBounds
    """Returns and bounds of pi*."""
    competitors: Policies
    """The policies that pi-hat is compared with."""
    eta: PerPolicy
    """Returns of the competitors in the true MDP."""
    eta_penalised: PerPolicy
    """Their returns in the penalised MDP."""
    epsilon_u: PerPolicy
    """Their model errors."""
    penalty_coefficient: Numbers
    """lambda."""
    delta_min: Numbers
    """Least epsilon_u of any policy."""

    @property
    def supremum(self) -> Numbers:
        """Right side of Equation 10: largest eta - 2 lambda epsilon_u of a competitor."""
        return np.asarray(self._lowered().max(-1))

    @property
    def best_competitor(self) -> ndarray:
        """Number of the competitor that attains it."""
        return np.asarray(self._lowered().argmax(-1))

    @property
    def optimality_gap(self) -> Numbers:
        """eta(pi*) - eta(pi-hat), not negative."""
        return np.asarray(self.optimal.eta - self.learned.eta)

    @property
    def gap_bound(self) -> Numbers:
        """2 lambda epsilon_u(pi*), which the gap does not exceed (MOTO, Equation 11)."""
        return 2 * self.penalty_coefficient * self.optimal.epsilon_u

    def frontier(self) -> tuple[PerPolicy, PerPolicy]:
        """Return each competitor's epsilon_u, ascending, as delta, and eta(pi_delta) (Equation 9).

        pi_delta is the best competitor whose model error is at most delta.
        """
        order, chosen = self._best_within_each()
        delta = np.take_along_axis(self.epsilon_u, order, -1)
        return delta, np.take_along_axis(self.eta, chosen, -1)

    def best_within(self, delta: Numbers | float) -> tuple[StateAction, Numbers]:
        """Return pi_delta, the best competitor of a model error of at most delta, and its return.

        Equation 9. Raises `VRLError` for a delta below the error of every competitor.
        """
        limit = np.asarray(delta)[..., None]
        within = self.epsilon_u <= limit + ERROR_ROUNDING * np.maximum(np.abs(limit), 1.0)
        if not within.any(-1).all():
            raise VRLError(
                f"No competitor has a model error of at most {delta}; the least of any policy is "
                f"delta_min, {self.delta_min}. Ask for that or more."
            )
        eta = np.where(within, self.eta, -np.inf)
        best = eta.argmax(-1)[..., None, None, None]
        policy: ndarray = np.take_along_axis(self.competitors, best, -3)[..., 0, :, :]
        return policy, np.asarray(eta.max(-1))

    def slacks(self) -> Mapping[str, Numbers]:
        """Return by how much each statement holds; negative where it is violated.

        "penalised optimum" is the proof's first step, that no competitor has more than pi-hat in
        the penalised MDP; "equation 9", that every pi_delta of the frontier keeps to its delta.
        """
        delta, best = self.frontier()
        coefficient = np.asarray(self.penalty_coefficient)[..., None]
        lowered = best - 2 * coefficient * delta
        errors = np.take_along_axis(self.epsilon_u, self._best_within_each()[1], -1)
        return {
            "penalised optimum": self.learned.eta_penalised - self.eta_penalised.max(-1),
            "equation 9": (delta - errors).min(-1),
            "equation 10": self.learned.eta - self.supremum,
            "equation 11": (np.asarray(self.learned.eta)[..., None] - lowered).min(-1),
            "optimality gap": self.gap_bound - self.optimality_gap,
            "delta_min": self.epsilon_u.min(-1) - self.delta_min,
        }

    def _best_within_each(self) -> tuple[ndarray, ndarray]:
        """Return the competitors by ascending model error, and at each the best up to there."""
        order = np.argsort(self.epsilon_u, -1)
        eta = np.take_along_axis(self.eta, order, -1)
        ahead = np.where(eta >= np.maximum.accumulate(eta, -1), np.arange(eta.shape[-1]), 0)
        return order, np.take_along_axis(order, np.maximum.accumulate(ahead, -1), -1)

    def _lowered(self) -> PerPolicy:
        coefficient = np.asarray(self.penalty_coefficient)[..., None]
        lowered: ndarray = self.eta - 2 * coefficient * self.epsilon_u
        return lowered


def return_bounds(problem: Problem, policy: StateAction) -> ReturnBounds:
    """Compute Equations 1 to 8 and 12 for a policy of each MDP."""
    mdp, coefficient = problem.mdp, problem.penalty_coefficient
    lemma = telescoping(mdp, problem.model, policy)
    distance = true_error(mdp, problem.model, problem.functions)
    visits, difference = lemma.occupancy, np.abs(lemma.value_difference)
    scaled = np.asarray(problem.scale)[..., None, None] * distance
    own = np.asarray(problem.functions.norm(lemma.values))[..., None, None] * distance
    rewards = np.asarray(reward_scale(mdp))[..., None, None]
    epsilon = expectation(visits, problem.estimator)
    return ReturnBounds(
        eta=lemma.eta,
        eta_hat=lemma.eta_hat,
        eta_penalised=expected_return(problem.penalised_mdp, policy),
        epsilon_u=epsilon,
        telescoped=lemma.right,
        value_bound=expectation(visits, mdp.reward - mdp.discount * difference),
        distance_bound=expectation(visits, mdp.reward - mdp.discount * scaled),
        value_error=mdp.discount * expectation(visits, difference),
        estimated_error=coefficient * epsilon,
        value_difference=lemma.value_difference,
        own_limit=own,
        scaled_limit=scaled,
        reward_limit=rewards * bounded_metric(problem.model, mdp.transition),
        lipschitz_limit=own if isinstance(problem.functions, Lipschitz) else None,
    )


def guarantee(
    problem: Problem,
    others: Float[ndarray, "*mdp other state action"] | None = None,
) -> Guarantee:
    """Compute Theorem 4.4: learn pi-hat in the penalised MDP and compare it with competitors.

    The theorem is about all policies; competitors are all deterministic ones and `others`, such as
    the behaviour policy. (Both eta and epsilon_u enter Equations 9 and 10, each under other
    dynamics, so that the best policy of all may be stochastic: a maximum over competitors is a
    lower bound of the supremum.) Raises `VRLError` when the deterministic ones are too many, or
    `others` are no policies of the MDP.
    """
    mdp = problem.mdp
    learned, optimal = optimal_policy(problem.penalised_mdp), optimal_policy(mdp)
    policies = _competitors(problem, others)
    visits = occupancy(problem.model_mdp.spread(), policies)
    penalised = problem.penalised_mdp.reward[..., None, :, :]
    return Guarantee(
        learned_policy=learned,
        optimal_policy=optimal,
        learned=return_bounds(problem, learned),
        optimal=return_bounds(problem, optimal),
        competitors=policies,
        eta=np.asarray(expected_return(mdp.spread(), policies)),
        eta_penalised=(visits * penalised).sum((-2, -1)),
        epsilon_u=(visits * problem.estimator[..., None, :, :]).sum((-2, -1)),
        penalty_coefficient=problem.penalty_coefficient,
        delta_min=least_model_error(problem),
    )


def least_model_error(problem: Problem) -> Numbers:
    """Return delta_min, the least epsilon_u of any policy: an MDP of its own, with reward -u."""
    costs = FiniteMDP(
        transition=problem.model,
        reward=-problem.estimator,
        discount=problem.mdp.discount,
        initial=problem.mdp.initial,
    )
    return -expected_return(costs, optimal_policy(costs))


def _competitors(
    problem: Problem, others: Float[ndarray, "*mdp other state action"] | None
) -> Policies:
    """Return all deterministic policies, and `others`."""
    mdp = problem.mdp
    policies = deterministic_policies(mdp.states, mdp.actions)
    policies = np.broadcast_to(policies, (*mdp.family, *policies.shape))
    if others is None:
        return policies
    if (*others.shape[:-3], *others.shape[-2:]) != mdp.reward.shape:
        raise VRLError(
            f"Other competitors of this MDP are (..., policies, states, actions) with "
            f"{mdp.reward.shape} around the policies, not {others.shape}."
        )
    joined: ndarray = np.concatenate([policies, others], axis=-3)
    return joined
