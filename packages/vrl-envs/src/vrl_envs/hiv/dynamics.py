"""HIV infection under treatment: the equations of Adams et al. (2004), and two solvers for them.

B. M. Adams, H. T. Banks, H.-D. Kwon, H. T. Tran, "Dynamic Multidrug Therapies for HIV: Optimal and
STI Control Approaches", Mathematical Biosciences and Engineering 1(2), 2004, Equation 2.1.

A state has six counts: uninfected T cells, infected T cells, uninfected macrophages, infected
macrophages (cells/ml), free virus (copies/ml) and immune effectors (cells/ml). Doses are the
efficacies of the reverse transcriptase and the protease inhibitor. Time is in days.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.integrate import DOP853, ODEintWarning, odeint

from vrl_core.errors import VRLError

STATE_NAMES = (
    "uninfected T cells",
    "infected T cells",
    "uninfected macrophages",
    "infected macrophages",
    "free virus",
    "immune effectors",
)
INITIAL_STATE = (1e6, 1e-4, 3198.0, 1e-4, 1.0, 10.0)
"""Early infection: one virus a ml in an uninfected steady state (Adams et al., Section 4)."""
FULL_DOSES = (0.7, 0.3)
"""Largest efficacies of the two drugs."""

LARGEST_COUNT = 1e12
"""Per millilitre: one in every cubic micrometre, a hundredth of a small cell's volume. Far from
what a patient has (1e7), and as far from where single precision ends."""

LAMBDA_1, LAMBDA_2 = 10_000.0, 31.98  # cells/(ml day) produced
D_1 = D_2 = 0.01  # deaths of uninfected cells, 1/day
K_1, K_2 = 8e-7, 1e-4  # infection, ml/(virion day)
F = 0.34  # share of the first drug's efficacy in macrophages
DELTA = 0.7  # deaths of infected cells, 1/day
M_1 = M_2 = 1e-5  # clearance by the immune response, ml/(cell day)
N_T = 100.0  # virions an infected cell produces
C = 13.0  # natural deaths of virus, 1/day
RHO_1 = RHO_2 = 1.0  # virions that infect one cell
LAMBDA_E, DELTA_E = 1.0, 0.1  # immune effectors produced, cells/(ml day), and their deaths, 1/day
B_E, K_B = 0.3, 100.0  # largest birth rate of effectors, 1/day, and its saturation, cells/ml
D_E, K_D = 0.25, 500.0  # largest death rate of effectors, 1/day, and its saturation, cells/ml

IMMUNE_WEIGHT, VIRUS_WEIGHT, DOSE_WEIGHT = 1000.0, 0.1, 20_000.0

RELATIVE_TOLERANCE = 1e-10
ABSOLUTE_TOLERANCE = 1e-12
STIFF_STEPS = 50_000
"""Steps LSODA may take for one call; a day of treatment takes about 100."""
ROUNDING = 1e-9
"""How far below zero a count may come out by rounding; it is then zero."""
FIRST_STEP = 0.05  # days
SAFETY, SMALLEST_FACTOR, LARGEST_FACTOR = 0.9, 0.2, 8.0
ATTEMPTED_STEPS = 400
"""Steps the explicit method may try for one call before a row is left to the stiff solver."""


def rates(state: Any, doses: Any) -> tuple[Any, ...]:
    """Return the six derivatives, 1/day, of a state under doses: floats, or arrays alike."""
    t_1, infected_1, t_2, infected_2, virus, effectors = state
    infection_1 = (1 - doses[0]) * K_1 * virus * t_1
    infection_2 = (1 - F * doses[0]) * K_2 * virus * t_2
    infected = infected_1 + infected_2
    growth = B_E * infected / (infected + K_B) - D_E * infected / (infected + K_D) - DELTA_E
    return (
        LAMBDA_1 - D_1 * t_1 - infection_1,
        infection_1 - (DELTA + M_1 * effectors) * infected_1,
        LAMBDA_2 - D_2 * t_2 - infection_2,
        infection_2 - (DELTA + M_2 * effectors) * infected_2,
        (1 - doses[1]) * N_T * DELTA * infected
        - C * virus
        - RHO_1 * infection_1
        - RHO_2 * infection_2,
        LAMBDA_E + growth * effectors,
    )


def rewards(next_states: np.ndarray, doses: np.ndarray) -> np.ndarray:
    """Return `1000 E - 0.1 V - 20000 (eps_1^2 + eps_2^2)`, shape `(...)`, of the next states.

    `next_states` `(..., 6)`, `doses` `(..., 2)`. The weights are whynot's, of Adams et al.'s cost.
    """
    immune = IMMUNE_WEIGHT * next_states[..., 5] - VIRUS_WEIGHT * next_states[..., 4]
    cost: np.ndarray = immune - DOSE_WEIGHT * np.square(doses).sum(-1)
    return cost


def solve_stiff(state: Sequence[float], doses: Sequence[float], days: float = 1.0) -> np.ndarray:
    """Return the state `(6,)` after some days of constant doses, by SciPy's stiff solver LSODA.

    Raises `VRLError` when the solver fails or leaves what counts can be.
    """
    first, second = float(doses[0]), float(doses[1])
    chosen = (first, second)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ODEintWarning)  # the message is looked at below
        path, report = odeint(
            lambda values, _: rates(values.tolist(), chosen),
            np.asarray(state, np.float64),
            (0.0, days),
            rtol=RELATIVE_TOLERANCE,
            atol=ABSOLUTE_TOLERANCE,
            mxstep=STIFF_STEPS,
            full_output=True,
        )
    if report["message"] != "Integration successful.":
        raise _failed(report["message"], state, chosen)
    result: np.ndarray = path[-1]
    if not plausible(result[:, None])[0]:
        raise _failed(f"It arrived at {result.tolist()}.", state, chosen)
    rounded: np.ndarray = np.maximum(result, 0.0)
    return rounded


def solve_batch(states: np.ndarray, doses: np.ndarray, days: float = 1.0) -> np.ndarray:
    """Return the states `(batch, 6)` after some days of constant doses `(batch, 2)`.

    An explicit Runge-Kutta method of order 8 (DOP853) in which every row has its own steps and all
    rows move at once; rows too stiff for it go through `solve_stiff`. Both keep to the same
    tolerances. Raises `VRLError` when a solver fails.
    """
    with np.errstate(all="ignore"):  # a step that overflows is refused and tried shorter
        result = _explicit(
            np.ascontiguousarray(np.asarray(states, np.float64).T),
            np.ascontiguousarray(np.asarray(doses, np.float64).T),
            days,
        )
        failed = np.flatnonzero(~plausible(result))
    for row in failed:
        result[:, row] = solve_stiff(states[row], doses[row], days)
    rounded: np.ndarray = np.maximum(result, 0.0).T
    return rounded


def plausible(states: np.ndarray) -> np.ndarray:
    """Return which states `(6, batch)` are finite counts, none below zero but by rounding."""
    sound: np.ndarray = (np.isfinite(states) & (states >= -ROUNDING)).all(0)
    return sound


def _explicit(states: np.ndarray, doses: np.ndarray, days: float) -> np.ndarray:
    """Integrate `(6, batch)`; rows that do not arrive in `ATTEMPTED_STEPS` are left NaN."""
    result = np.full_like(states, np.nan)
    rows = np.arange(states.shape[1])
    time, step = np.zeros(len(rows)), np.full(len(rows), FIRST_STEP)
    for _ in range(ATTEMPTED_STEPS):
        length = np.minimum(step, days - time)
        proposal, error = _attempt(states, doses, length)
        accepted = error < 1  # of NaN this is false
        arrived = accepted & (step >= days - time)
        states = np.where(accepted, proposal, states)
        time = time + np.where(accepted, length, 0.0)
        # The classical controller for an error of order 8 (Hairer et al. 1993, II.4).
        factor = np.where(np.isfinite(error), SAFETY * np.maximum(error, 1e-12) ** (-1 / 8), 0.0)
        step = length * np.clip(factor, SMALLEST_FACTOR, LARGEST_FACTOR)
        if arrived.any():
            result[:, rows[arrived]] = states[:, arrived]
            going = ~arrived
            rows, time, step = rows[going], time[going], step[going]
            states, doses = states[:, going], doses[:, going]
        if not len(rows):
            break
    return result


def _attempt(
    states: np.ndarray, doses: np.ndarray, length: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Take one step `(batch,)` of DOP853; return the states and errors relative to tolerance."""
    stages = np.empty((DOP853.n_stages, *states.shape))
    stages[0] = rates(states, doses)
    for number in range(1, DOP853.n_stages):
        slope = np.tensordot(DOP853.A[number, :number], stages[:number], 1)
        stages[number] = rates(states + length * slope, doses)
    proposal = states + length * np.tensordot(DOP853.B, stages, 1)
    scale = ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * np.maximum(abs(states), abs(proposal))
    fifth = np.square(np.tensordot(DOP853.E5[:-1], stages, 1) / scale).sum(0)
    third = np.square(np.tensordot(DOP853.E3[:-1], stages, 1) / scale).sum(0)
    together = np.sqrt(len(states) * (fifth + 0.01 * third))
    # Without any error, zero is divided by zero.
    error = np.where(together > 0, abs(length) * fifth / together, np.where(fifth == 0, 0, np.nan))
    return proposal, error


def _failed(reason: str, state: Sequence[float], doses: Sequence[float]) -> VRLError:
    counts = ", ".join(
        f"{name} {value:.6g}" for name, value in zip(STATE_NAMES, state, strict=True)
    )
    return VRLError(
        f"The HIV equations could not be solved from {counts} under doses "
        f"{doses[0]:.4g} and {doses[1]:.4g}. {reason} Begin from counts that a patient can have; "
        f"an episode begins from {', '.join(f'{value:g}' for value in INITIAL_STATE)}."
    )
