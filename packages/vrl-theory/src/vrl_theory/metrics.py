"""Integral probability metrics between distributions on a finite set (MOPO, Appendix A).

d_F(P, Q) = sup over f in F of |E_P f - E_Q f|. Three classes F: functions bounded by one, functions
that are 1-Lipschitz for a metric, and the unit ball of a kernel's Hilbert space. Arrays may have
leading axes.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.optimize import linprog
from scipy.sparse import csr_array

from vrl_core.errors import VRLError

Distributions = Float[ndarray, "*pair outcome"]
Distances = Float[ndarray, "*pair"] | np.float64
Matrix = Float[ndarray, "outcome outcome"]


def total_variation(first: Distributions, second: Distributions) -> Distances:
    """Return sup over events of |P(A) - Q(A)|, half the sum of absolute differences; in [0, 1].

    This is *half* the metric of the functions bounded by one, `bounded_metric`: Appendix A calls
    both the total variation distance, and Equation 4 needs the larger one (`docs/theory.md`).
    """
    return bounded_metric(first, second) / 2


def bounded_metric(first: Distributions, second: Distributions) -> Distances:
    """Return d_F of F = {f: |f| <= 1}, the sum of absolute differences; in [0, 2]."""
    distance: ndarray = np.abs(first - second).sum(-1)
    return distance


def wasserstein(first: Distributions, second: Distributions, metric: Matrix) -> Distances:
    """Return the 1-Wasserstein distance, d_F of the functions that are 1-Lipschitz for `metric`.

    Where the outcomes lie on a line the formula of `wasserstein_on_line` serves; otherwise each
    pair is a linear programme (`transport`). Raises `VRLError` when `metric` is no metric, and when
    the solver fails.
    """
    require_metric(metric)
    positions = line_positions(metric)
    if positions is not None:
        return wasserstein_on_line(first, second, positions)
    first, second = np.broadcast_arrays(first, second)
    pairs = zip(first.reshape(-1, len(metric)), second.reshape(-1, len(metric)), strict=True)
    found = np.array([lipschitz_witness(p, q, metric)[1] for p, q in pairs])
    distances: ndarray = found.reshape(first.shape[:-1])
    return distances


def wasserstein_on_line(
    first: Distributions, second: Distributions, positions: Float[ndarray, " outcome"]
) -> Distances:
    """Return the 1-Wasserstein distance of outcomes on a line: area between both cumulatives."""
    order = np.argsort(positions)
    difference = np.cumsum((first - second)[..., order], -1)[..., :-1]
    distance: ndarray = (np.abs(difference) * np.diff(positions[order])).sum(-1)
    return distance


def lipschitz_witness(
    first: Float[ndarray, " outcome"], second: Float[ndarray, " outcome"], metric: Matrix
) -> tuple[Float[ndarray, " outcome"], float]:
    """Return the 1-Lipschitz function f of largest E_P f - E_Q f, and that number (the dual)."""
    count, unit = len(metric), _unit(metric)
    i, j = (index[~np.eye(count, dtype=bool)] for index in np.indices((count, count)))
    rows = np.tile(np.arange(len(i)), 2)
    values = np.repeat([1.0, -1.0], len(i))
    constraints = csr_array((values, (rows, np.concatenate([i, j]))), shape=(len(i), count))
    found = linprog(
        second - first,
        A_ub=constraints if len(i) else None,
        b_ub=metric[i, j] / unit if len(i) else None,
        bounds=[(0.0, 0.0), *[(None, None)] * (count - 1)],
    )
    if not found.success:
        raise VRLError(f"The Wasserstein distance could not be computed: {found.message}")
    return found.x * unit, max(0.0, float(-found.fun)) * unit


def transport(
    first: Float[ndarray, " outcome"], second: Float[ndarray, " outcome"], metric: Matrix
) -> tuple[Matrix, float]:
    """Return the coupling of least expected distance, and that distance (the primal)."""
    count, unit = len(metric), _unit(metric)
    i, j = (index.ravel() for index in np.indices((count, count)))
    rows, columns = np.concatenate([i, count + j]), np.tile(np.arange(count**2), 2)
    sums = csr_array((np.ones(2 * count**2), (rows, columns)), shape=(2 * count, count**2))
    found = linprog(metric.ravel() / unit, A_eq=sums, b_eq=np.concatenate([first, second]))
    if not found.success:
        raise VRLError(f"The optimal transport could not be computed: {found.message}")
    return found.x.reshape(count, count), float(found.fun) * unit


def maximum_mean_discrepancy(
    first: Distributions, second: Distributions, kernel: Matrix
) -> Distances:
    """Return sqrt(E k(X, X') - 2 E k(X, Y) + E k(Y, Y')), with X, X' ~ P and Y, Y' ~ Q.

    (Appendix A prints the last term as k(Y, Y).) Raises `VRLError` when `kernel` is not symmetric
    and positive definite.
    """
    require_kernel(kernel)
    difference = first - second
    square = np.einsum("...i,ij,...j->...", difference, kernel, difference)
    discrepancy: ndarray = np.sqrt(np.maximum(square, 0.0))
    return discrepancy


def lipschitz_constant(functions: Distributions, metric: Matrix) -> Distances:
    """Return the least L for which |f(i) - f(j)| <= L metric(i, j)."""
    require_metric(metric)
    apart = ~np.eye(len(metric), dtype=bool)
    gaps = np.abs(functions[..., :, None] - functions[..., None, :])[..., apart]
    slopes: ndarray = (gaps / metric[apart]).max(-1, initial=0.0)
    return slopes


def kernel_norm(functions: Distributions, kernel: Matrix) -> Distances:
    """Return the Hilbert-space norm of functions on the outcomes: sqrt(f' K^-1 f)."""
    require_kernel(kernel)
    square = np.einsum("...i,ij,...j->...", functions, np.linalg.inv(kernel), functions)
    norm: ndarray = np.sqrt(np.maximum(square, 0.0))
    return norm


def laplace_kernel(positions: Float[ndarray, " outcome"], width: float = 1.0) -> Matrix:
    """Return k(x, y) = exp(-|x - y| / width) of points on a line, positive definite there."""
    kernel: ndarray = np.exp(-np.abs(positions[:, None] - positions[None, :]) / width)
    return kernel


def line_metric(positions: Float[ndarray, " outcome"]) -> Matrix:
    """Return the distances of points on a line."""
    distance: ndarray = np.abs(positions[:, None] - positions[None, :])
    return distance


def line_positions(metric: Matrix) -> Float[ndarray, " outcome"] | None:
    """Return points on a line that have these distances; None when there are none."""
    end = int(np.argmax(metric.max(-1)))
    positions: ndarray = metric[end]
    # Relative alone: distances of 1e-9 are as good as others.
    return positions if np.allclose(line_metric(positions), metric, rtol=1e-9, atol=0) else None


def require_metric(metric: Matrix) -> None:
    """Raise `VRLError` unless this is a metric, naming the axiom and where it fails."""
    _require_square(metric, "metric")
    apart = metric + np.eye(len(metric))
    if not np.isfinite(metric).all() or (np.diag(metric) != 0).any() or (apart <= 0).any():
        raise VRLError("A metric is zero on its diagonal, and positive and finite elsewhere.")
    if not np.array_equal(metric, metric.T):
        raise VRLError("A metric is symmetric; this matrix is not.")
    detour = (metric[:, :, None] + metric[None, :, :]).min(1)
    if (metric > detour * (1 + 1e-12)).any():
        i, j = np.argwhere(metric > detour * (1 + 1e-12))[0]
        raise VRLError(f"The triangle inequality fails between {i} and {j}: no metric.")


def require_kernel(kernel: Matrix) -> None:
    """Raise `VRLError` unless the matrix is symmetric and positive definite."""
    _require_square(kernel, "kernel")
    if not np.isfinite(kernel).all() or _asymmetry(kernel) > 1e-9:
        raise VRLError("A kernel's matrix is finite and symmetric; this one is not.")
    least = float(np.linalg.eigvalsh(kernel)[0])
    if least <= 1e-12 * float(np.trace(kernel)):
        raise VRLError(
            f"The kernel's least eigenvalue is {least:.3g}; it must be positive definite, so that "
            "every function on the states has a norm. Take distinct points or a narrower kernel."
        )


def _unit(metric: Matrix) -> float:
    """Return the largest distance: the solver's tolerances are absolute, so it works in these."""
    return float(metric.max()) or 1.0


def _asymmetry(matrix: Matrix) -> float:
    """Return the largest difference across the diagonal, relative to the largest entry."""
    largest = float(np.abs(matrix).max())
    return float(np.abs(matrix - matrix.T).max()) / largest if largest > 0 else 0.0


def _require_square(matrix: ndarray, name: str) -> None:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise VRLError(f"A {name} is (outcomes, outcomes), not {matrix.shape}.")
