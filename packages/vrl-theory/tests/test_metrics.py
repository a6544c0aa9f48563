import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from vrl_core.errors import VRLError
from vrl_theory.metrics import (
    bounded_metric,
    kernel_norm,
    laplace_kernel,
    line_metric,
    line_positions,
    lipschitz_constant,
    lipschitz_witness,
    maximum_mean_discrepancy,
    total_variation,
    transport,
    wasserstein,
    wasserstein_on_line,
)

PLANE = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [2.0, 2.0]])
PLANE_METRIC = np.linalg.norm(PLANE[:, None] - PLANE[None], axis=-1)


def distributions(random, *shape, outcomes=4):
    return random.dirichlet(np.ones(outcomes), shape)


def test_total_variation_is_the_largest_difference_of_an_event():
    first, second = distributions(np.random.default_rng(0), 2)
    events = (np.arange(16)[:, None] >> np.arange(4)) & 1
    largest = np.abs(events @ (first - second)).max()
    assert total_variation(first, second) == pytest.approx(largest)
    signs = 2 * events - 1  # the functions bounded by one are largest at these
    assert bounded_metric(first, second) == pytest.approx(np.abs(signs @ (first - second)).max())
    assert bounded_metric(first, second) == pytest.approx(2 * largest)


def test_wasserstein_on_a_line_is_scipys():
    random = np.random.default_rng(1)
    first, second = distributions(random, 20), distributions(random, 20)
    positions = np.array([0.5, -1.0, 3.0, 0.0])
    found = wasserstein(first, second, line_metric(positions))
    expected = [
        wasserstein_distance(positions, positions, p, q) for p, q in zip(first, second, strict=True)
    ]
    assert found == pytest.approx(np.array(expected))
    assert wasserstein_on_line(first, second, positions) == pytest.approx(found)


def test_wasserstein_of_points_is_their_distance_and_primal_equals_dual():
    points = np.eye(4)
    assert wasserstein(points[1], points[3], PLANE_METRIC) == pytest.approx(np.sqrt(5))
    random = np.random.default_rng(2)
    for _ in range(5):
        first, second = distributions(random, 2)
        witness, dual = lipschitz_witness(first, second, PLANE_METRIC)
        coupling, primal = transport(first, second, PLANE_METRIC)
        assert dual == pytest.approx(primal)
        assert lipschitz_constant(witness, PLANE_METRIC) <= 1 + 1e-9
        assert witness @ (first - second) == pytest.approx(dual)
        assert coupling.sum(1) == pytest.approx(first)
        assert coupling.sum(0) == pytest.approx(second)


def test_the_line_formula_is_used_only_on_lines():
    assert line_positions(PLANE_METRIC) is None
    assert line_positions(line_metric(np.array([3.0, 1.0, 2.0]))) is not None
    random = np.random.default_rng(3)
    first, second = distributions(random, 2, 3), distributions(random, 2, 3)
    positions = np.arange(4.0)
    by_programme = [
        [lipschitz_witness(p, q, line_metric(positions))[1] for p, q in zip(*rows, strict=True)]
        for rows in zip(first, second, strict=True)
    ]
    assert wasserstein(first, second, line_metric(positions)) == pytest.approx(
        np.array(by_programme)
    )


def test_small_distances_are_distances():
    """In units of 1e-9 the plane is no line, and every distance is that much smaller."""
    assert line_positions(1e-9 * PLANE_METRIC) is None
    first, second = distributions(np.random.default_rng(5), 2)
    found = wasserstein(first, second, 1e-9 * PLANE_METRIC)
    assert found == pytest.approx(1e-9 * wasserstein(first, second, PLANE_METRIC), rel=1e-6)
    skew = 1e-9 * np.array([[2.0, 1.0], [0.0, 2.0]])
    with pytest.raises(VRLError, match="symmetric"):
        kernel_norm(np.ones(2), skew)


def test_maximum_mean_discrepancy_is_the_supremum_over_the_unit_ball():
    random = np.random.default_rng(4)
    kernel = laplace_kernel(np.array([0.0, 1.0, 1.5, 4.0]))
    first, second = distributions(random, 2)
    found = maximum_mean_discrepancy(first, second, kernel)
    expected = (
        first @ kernel @ first - 2 * first @ kernel @ second + second @ kernel @ second
    ) ** 0.5
    assert found == pytest.approx(expected)
    witness = kernel @ (first - second) / found
    assert kernel_norm(witness, kernel) == pytest.approx(1)
    assert witness @ (first - second) == pytest.approx(found)
    for function in random.normal(size=(50, 4)):
        reached = abs(function @ (first - second)) / kernel_norm(function, kernel)
        assert reached <= found + 1e-12


def test_lipschitz_constant_by_hand():
    assert lipschitz_constant(np.array([0.0, 3.0, 1.0, 0.0]), PLANE_METRIC) == pytest.approx(3.0)
    assert lipschitz_constant(np.array([5.0]), np.zeros((1, 1))) == 0


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (np.array([[0.0, 0.0], [0.0, 0.0]]), "positive"),
        (np.array([[0.0, 1.0], [2.0, 0.0]]), "symmetric"),
        (np.array([[0.0, 1.0, 5.0], [1.0, 0.0, 1.0], [5.0, 1.0, 0.0]]), "between 0 and 2"),
    ],
)
def test_what_is_no_metric(metric, message):
    with pytest.raises(VRLError, match=message):
        wasserstein(np.eye(len(metric))[0], np.eye(len(metric))[1], metric)


def test_what_is_no_kernel():
    with pytest.raises(VRLError, match="least eigenvalue"):
        maximum_mean_discrepancy(np.eye(2)[0], np.eye(2)[1], np.ones((2, 2)))
    with pytest.raises(VRLError, match="symmetric"):
        kernel_norm(np.ones(2), np.array([[1.0, 0.5], [0.0, 1.0]]))
