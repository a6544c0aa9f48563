"""Function classes F, each with its integral probability metric and its norm.

Assumption 4.2 of MOPO asks for a number c with V in cF for every policy: c is at least the norm of
every V. For the functions bounded by one it follows from the largest reward (Section 4.1, i); for
every class it can be computed, because the largest norm over all policies is that of a
deterministic one: V is in each state's action probabilities a quotient of affine functions with a
positive denominator, so every linear function of V is largest at a corner, and so is every norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from vrl_core.errors import VRLError
from vrl_theory.mdp import FiniteMDP, Numbers, deterministic_policies, state_values
from vrl_theory.metrics import (
    Distances,
    Distributions,
    Matrix,
    bounded_metric,
    kernel_norm,
    lipschitz_constant,
    maximum_mean_discrepancy,
    require_kernel,
    require_metric,
    wasserstein,
)


@runtime_checkable
class FunctionClass(Protocol):
    """A class F of functions on the states."""

    @property
    def name(self) -> str:
        """What its metric is called."""
        ...

    def distance(self, first: Distributions, second: Distributions) -> Distances:
        """Return d_F."""
        ...

    def norm(self, functions: Distributions) -> Distances:
        """Return the least c for which each function is in cF."""
        ...


@dataclass(frozen=True, kw_only=True)
class Bounded:
    """F = {f: |f| <= 1}: twice the total variation (Section 4.1, i)."""

    name: str = "total variation"

    def distance(self, first: Distributions, second: Distributions) -> Distances:
        """Return the sum of absolute differences."""
        return bounded_metric(first, second)

    def norm(self, functions: Distributions) -> Distances:
        """Return the largest absolute value."""
        largest: np.ndarray = np.abs(functions).max(-1)
        return largest


@dataclass(frozen=True, kw_only=True)
class Lipschitz:
    """F = the functions that are 1-Lipschitz for a metric on the states (Section 4.1, ii)."""

    metric: Matrix
    name: str = "1-Wasserstein"

    def __post_init__(self) -> None:
        """Refuse what is no metric; raises `VRLError`."""
        require_metric(self.metric)

    @property
    def states(self) -> int:
        """Number of states that the functions are of."""
        return len(self.metric)

    def distance(self, first: Distributions, second: Distributions) -> Distances:
        """Return the 1-Wasserstein distance."""
        return wasserstein(first, second, self.metric)

    def norm(self, functions: Distributions) -> Distances:
        """Return the Lipschitz constant."""
        return lipschitz_constant(functions, self.metric)


@dataclass(frozen=True, kw_only=True)
class KernelBall:
    """F = the unit ball of a kernel's Hilbert space (Appendix A, iii)."""

    kernel: Matrix
    name: str = "maximum mean discrepancy"

    def __post_init__(self) -> None:
        """Refuse what is no kernel; raises `VRLError`."""
        require_kernel(self.kernel)

    @property
    def states(self) -> int:
        """Number of states that the functions are of."""
        return len(self.kernel)

    def distance(self, first: Distributions, second: Distributions) -> Distances:
        """Return the maximum mean discrepancy."""
        return maximum_mean_discrepancy(first, second, self.kernel)

    def norm(self, functions: Distributions) -> Distances:
        """Return the norm in the kernel's Hilbert space."""
        return kernel_norm(functions, self.kernel)


def require_states(functions: FunctionClass, mdp: FiniteMDP) -> None:
    """Raise `VRLError` when the functions are of another number of states than the MDP has."""
    states = getattr(functions, "states", mdp.states)
    if states != mdp.states:
        raise VRLError(
            f"The {functions.name} here is of {states} states, the MDP has {mdp.states}. Give a "
            "matrix with a row and a column for each state."
        )


def reward_scale(mdp: FiniteMDP) -> Numbers:
    """Return c = r_max / (1 - gamma) for the functions bounded by one (Equation 4)."""
    return mdp.largest_reward / (1 - mdp.discount)


def least_scale(mdp: FiniteMDP, functions: FunctionClass) -> Numbers:
    """Return the least c with V in cF for all policies, by enumerating the deterministic ones.

    Raises `VRLError` when they are too many (`deterministic_policies`).
    """
    require_states(functions, mdp)
    policies = deterministic_policies(mdp.states, mdp.actions)
    policies = np.broadcast_to(policies, (*mdp.family, *policies.shape))
    largest: np.ndarray = functions.norm(state_values(mdp.spread(), policies)).max(-1)
    return largest
