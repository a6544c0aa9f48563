"""Finite Markov decision processes, one or many at once, with exact values and occupancies.

Every array may have leading axes, written `...`: a family of MDPs is one object, and everything is
computed for all of them together. Numbers are float64. Notation is MOPO's (Yu et al. 2020,
Section 3): M = (S, A, T, r, mu_0, gamma).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from vrl_core.errors import VRLError

Transition = Float[ndarray, "*mdp state action state"]
StateAction = Float[ndarray, "*mdp state action"]
States = Float[ndarray, "*mdp state"]
Numbers = Float[ndarray, "*mdp"] | np.float64

ROW_TOLERANCE = 1e-9
"""How far a distribution's sum may be from one."""
IMPROVEMENT = 1e-10
"""Gain in value, relative to the largest possible one, below which policies count as equal. What
they may differ by in return, `FiniteMDP.rounding`, is the measure of a violated bound."""
MOST_POLICIES = 4096
"""Deterministic policies that are enumerated at most."""


@dataclass(frozen=True, kw_only=True)
class FiniteMDP:
    """A finite MDP, or a family of MDPs of one size and discount.

    Raises `VRLError` for what is no array of real numbers, for sizes that do not agree, for numbers
    that are not finite, and for a row that is no distribution, which it names.
    """

    transition: ndarray
    """T(s' | s, a), `(..., state, action, state)`."""
    reward: ndarray
    """r(s, a), `(..., state, action)`."""
    discount: float
    """gamma, in [0, 1)."""
    initial: ndarray
    """mu_0(s), `(..., state)`."""

    def __post_init__(self) -> None:
        """Copy the arrays as read-only float64, and check them."""
        for name in ("transition", "reward", "initial"):
            array = _real_numbers(getattr(self, name), name)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        _check_shapes(self)
        discount = _real_numbers(self.discount, "discount")
        if discount.shape:
            raise VRLError(
                f"The discount must be one number in [0, 1), not an array of shape "
                f"{discount.shape}: a family of MDPs has one discount."
            )
        object.__setattr__(self, "discount", float(discount))
        if not 0 <= self.discount < 1:
            raise VRLError(f"The discount must be in [0, 1), not {self.discount}.")
        require_finite(self.reward, "reward r")
        check_distributions(self.transition, "T")
        check_distributions(self.initial, "mu_0")

    @property
    def states(self) -> int:
        """Number of states."""
        return int(self.reward.shape[-2])

    @property
    def actions(self) -> int:
        """Number of actions."""
        return int(self.reward.shape[-1])

    @property
    def family(self) -> tuple[int, ...]:
        """Leading axes: empty for a single MDP."""
        return tuple(self.reward.shape[:-2])

    @property
    def largest_reward(self) -> Numbers:
        """r_max: the largest absolute reward, `(...)`."""
        largest: ndarray = np.abs(self.reward).max((-2, -1))
        return largest

    @property
    def rounding(self) -> Numbers:
        """How far the return of `optimal_policy` may be from the best one, `(...)`.

        A gain that is let pass at every step of an episode adds up.
        """
        return np.asarray(IMPROVEMENT * self.largest_reward / (1 - self.discount) ** 2)

    def with_model(self, transition: Transition) -> FiniteMDP:
        """Return the model MDP: the same but for its dynamics (MOPO, Section 3)."""
        return replace(self, transition=transition)

    def penalised(self, penalty: StateAction) -> FiniteMDP:
        """Return the MDP with the reward r(s, a) - penalty(s, a)."""
        return replace(self, reward=self.reward - penalty)

    def spread(self) -> FiniteMDP:
        """Return the MDPs with one more leading axis of size one, the last, for many policies."""
        return FiniteMDP(
            transition=self.transition[..., None, :, :, :],
            reward=self.reward[..., None, :, :],
            discount=self.discount,
            initial=self.initial[..., None, :],
        )


def check_distributions(rows: Float[ndarray, "*row outcome"], name: str) -> None:
    """Raise `VRLError` naming the first row that is no probability distribution."""
    if not np.isfinite(rows).all() or (rows < 0).any():
        bad = ~np.isfinite(rows) | (rows < 0)
        index = tuple(int(each) for each in np.argwhere(bad)[0])
        raise VRLError(
            f"{_row(name, index[:-1])} holds {rows[index]} at {index[-1]}; probabilities are "
            "finite and not negative."
        )
    sums = rows.sum(-1)
    wrong = np.abs(sums - 1) > ROW_TOLERANCE
    if wrong.any():
        index = tuple(int(each) for each in np.argwhere(wrong)[0])
        count = int(wrong.sum())
        raise VRLError(
            f"{_row(name, index)} sums to {float(sums[index]):.12g}, not to 1 ({count} such "
            f"row{'s' * (count > 1)}). Divide each row by its sum, or mend how it was estimated."
        )


def check_policy(mdp: FiniteMDP, policy: StateAction) -> None:
    """Raise `VRLError` unless every state has a distribution over the MDP's actions."""
    if policy.shape[-2:] != mdp.reward.shape[-2:] or not _broadcast(policy, mdp.reward):
        raise VRLError(
            f"A policy here is (..., {mdp.states} states, {mdp.actions} actions), with the family "
            f"{mdp.family} or none before them; this one is {policy.shape}."
        )
    check_distributions(policy, "pi")


def require_finite(quantity: StateAction, name: str) -> None:
    """Raise `VRLError` that names the first state and action where a quantity is not finite."""
    bad = ~np.isfinite(quantity)
    if bad.any():
        words, _, symbol = name.rpartition(" ")
        index = tuple(int(each) for each in np.argwhere(bad)[0])
        raise VRLError(f"The {words} {_row(symbol, index)} is not finite.")


def uniform_policy(mdp: FiniteMDP) -> StateAction:
    """Return the policy that takes all actions equally often."""
    policy: ndarray = np.full((*mdp.family, mdp.states, mdp.actions), 1.0 / mdp.actions)
    return policy


def deterministic_policies(states: int, actions: int) -> Float[ndarray, "policy state action"]:
    """Return all deterministic policies; raises `VRLError` when they are more than 4096."""
    count = actions**states
    if count > MOST_POLICIES:
        raise VRLError(
            f"{states} states and {actions} actions have {count} deterministic policies, more "
            f"than the {MOST_POLICIES} that are enumerated. Take fewer states or actions."
        )
    policies: ndarray = np.eye(actions)[np.array(list(product(range(actions), repeat=states)))]
    return policies


def policy_transition(mdp: FiniteMDP, policy: StateAction) -> Float[ndarray, "*mdp state state"]:
    """Return the chain P(s' | s) of a policy pi(a | s); raises `VRLError` when it is none."""
    check_policy(mdp, policy)
    chain: ndarray = np.einsum("...sa,...sat->...st", policy, mdp.transition)
    return chain


def state_values(mdp: FiniteMDP, policy: StateAction) -> States:
    """Solve V = r_pi + gamma P_pi V: the expected discounted return from every state."""
    chain = policy_transition(mdp, policy)
    return _solve(np.eye(mdp.states) - mdp.discount * chain, (policy * mdp.reward).sum(-1))


def action_values(mdp: FiniteMDP, values: States) -> StateAction:
    """Return Q(s, a) = r(s, a) + gamma E[V(s')]."""
    expected: ndarray = np.einsum("...sat,...t->...sa", mdp.transition, values)
    worth: ndarray = mdp.reward + mdp.discount * expected
    return worth


def expected_return(mdp: FiniteMDP, policy: StateAction) -> Numbers:
    """Return eta_M(pi), the expected discounted return from mu_0."""
    eta: ndarray = (mdp.initial * state_values(mdp, policy)).sum(-1)
    return eta


def occupancy(mdp: FiniteMDP, policy: StateAction) -> StateAction:
    """Return rho(s, a), the discounted occupancy, which sums to 1 / (1 - gamma) (Section 3)."""
    chain = np.swapaxes(policy_transition(mdp, policy), -1, -2)
    visits = _solve(np.eye(mdp.states) - mdp.discount * chain, mdp.initial)
    joint: ndarray = visits[..., None] * policy
    return joint


def optimal_policy(mdp: FiniteMDP) -> StateAction:
    """Return a deterministic policy of the largest value in every state, by policy iteration.

    An action is changed only for a gain beyond rounding, so the iteration ends.
    """
    scale = np.asarray(mdp.largest_reward / (1 - mdp.discount))[..., None]
    best = np.zeros((*mdp.family, mdp.states), dtype=np.int64)
    while True:
        policy = np.eye(mdp.actions)[best]
        gains = action_values(mdp, state_values(mdp, policy))
        kept = np.take_along_axis(gains, best[..., None], -1)[..., 0]
        better = gains.max(-1) > kept + IMPROVEMENT * scale
        if not better.any():
            return policy
        best = np.where(better, gains.argmax(-1), best)


def _solve(
    matrix: Float[ndarray, "*a state state"], right: Float[ndarray, "*b state"]
) -> Float[ndarray, "*c state"]:
    solved: ndarray = np.linalg.solve(matrix, right[..., None])[..., 0]
    return solved


def _real_numbers(values: object, name: str) -> ndarray:
    """Return a float64 copy; raises `VRLError` for what is not real numbers in a full array."""
    advice = f"An MDP's {name} must be real numbers in an array of one size along each axis"
    try:
        array = np.array(values)
    except (ValueError, TypeError) as error:  # rows of several lengths
        raise VRLError(f"{advice}: {error}. Make its rows equally long.") from error
    if array.dtype.kind not in "biuf":  # a cast would read text and drop imaginary parts
        raise VRLError(
            f"{advice}, but it is of the type {array.dtype}. Convert it to floats first."
        )
    return array.astype(np.float64)


def _check_shapes(mdp: FiniteMDP) -> None:
    shape = mdp.reward.shape
    fits = (
        len(shape) >= 2
        and min(shape) > 0
        and mdp.transition.shape == (*shape, shape[-2])
        and mdp.initial.shape == shape[:-1]
    )
    if not fits:
        raise VRLError(
            f"An MDP's reward (..., states, actions) has shape {shape}; then its transition must "
            f"be (..., states, actions, states) and its initial (..., states), but they are "
            f"{mdp.transition.shape} and {mdp.initial.shape}."
        )


def _broadcast(first: ndarray, second: ndarray) -> bool:
    try:
        np.broadcast_shapes(first.shape, second.shape)
    except ValueError:
        return False
    return True


def _row(name: str, index: tuple[int, ...]) -> str:
    """Name a row by what its last axes mean, and the MDP of a family it is in."""
    pair = ("state", "action")
    axes = {"T": pair, "r": pair, "u": pair, "pi": ("state",)}.get(name, ())
    family, own = index[: len(index) - len(axes)], index[len(index) - len(axes) :]
    words = [f"{axis} {value}" for axis, value in zip(axes, own, strict=True)]
    if family:
        words.append(f"MDP {', '.join(map(str, family))} of the family")
    return f"{name} of {', '.join(words)}" if words else name
