"""The telescoping lemma: what errors of the dynamics do to the return (MOPO, Lemma 4.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from vrl_theory.mdp import (
    FiniteMDP,
    Numbers,
    StateAction,
    States,
    Transition,
    expected_return,
    occupancy,
    policy_transition,
    state_values,
)


@dataclass(frozen=True, kw_only=True)
class Telescoping:
    """Both sides of Equation 1 and what they are made of."""

    eta: Numbers
    """eta_M(pi), the return in the true MDP."""
    eta_hat: Numbers
    """Return of the same policy in the model MDP."""
    values: States
    """V of the policy in the true MDP."""
    value_difference: StateAction
    """G(s, a) = E_{s' ~ model}[V(s')] - E_{s' ~ truth}[V(s')]."""
    occupancy: StateAction
    """rho(s, a) of the policy under the model, summing to 1 / (1 - gamma)."""
    left: Numbers
    """eta_hat - eta."""
    right: Numbers
    """gamma E_rho[G]: equal to `left`, by the lemma."""


def telescoping(mdp: FiniteMDP, model: Transition, policy: StateAction) -> Telescoping:
    """Compute Lemma 4.1 for a policy; both sides from separate linear systems."""
    model_mdp = mdp.with_model(model)
    values = state_values(mdp, policy)
    difference = value_difference(mdp, model, values)
    visits = occupancy(model_mdp, policy)
    eta, eta_hat = expected_return(mdp, policy), expected_return(model_mdp, policy)
    return Telescoping(
        eta=eta,
        eta_hat=eta_hat,
        values=values,
        value_difference=difference,
        occupancy=visits,
        left=np.asarray(eta_hat - eta),
        right=mdp.discount * expectation(visits, difference),
    )


def value_difference(mdp: FiniteMDP, model: Transition, values: States) -> StateAction:
    """Return G(s, a), the error of the model under the test function V (Section 4.1)."""
    difference: ndarray = np.einsum("...sat,...t->...sa", model - mdp.transition, values)
    return difference


def expectation(visits: StateAction, quantity: StateAction) -> Numbers:
    """Return the improper expectation over an occupancy, `(...)`."""
    expected: ndarray = np.asarray((visits * quantity).sum((-2, -1)))
    return expected


def switched_returns(
    mdp: FiniteMDP, model: Transition, policy: StateAction, steps: int
) -> Float[ndarray, "*mdp switch"]:
    """Return W_0 .. W_steps: the returns when the model is left for the truth after j steps.

    W_0 is eta, W_infinity eta_hat, and W_{j+1} - W_j is gamma^{j+1} E[G] at step j (Appendix B).
    """
    values = state_values(mdp, policy)
    reward = (policy * mdp.reward).sum(-1)
    chain = policy_transition(mdp.with_model(model), policy)
    here, earned, returns = mdp.initial, np.zeros(values.shape[:-1]), []
    for step in range(steps + 1):
        weight = mdp.discount**step
        returns.append(earned + weight * (here * values).sum(-1))
        earned = earned + weight * (here * reward).sum(-1)
        here = np.einsum("...s,...st->...t", here, chain)
    return np.stack(returns, -1)
