import numpy as np
import pytest

from vrl_core.errors import VRLError
from vrl_theory.calibration import calibrate, covering_factor, model_rollouts, spearman
from vrl_theory.estimators import admissibility_rate
from vrl_theory.mdp import occupancy, uniform_policy
from vrl_theory.random_mdp import RandomMDPs


def test_rank_correlation_by_hand():
    values = np.array([1.0, 2.0, 3.0, 4.0])
    assert spearman(values, np.exp(values)) == pytest.approx(1)
    assert spearman(values, -values) == pytest.approx(-1)
    # Ranks 1 2 3 4 and 2 1 4 3: 1 - 6 * 4 / (4 * 15).
    assert spearman(values, np.array([2.0, 1.0, 4.0, 3.0])) == pytest.approx(0.6)
    assert spearman(values, np.ones(4)) is None


def test_admissibility_and_the_factor_that_mends_it():
    penalties, errors = np.array([1.0, 1.0, 2.0, 0.5]), np.array([0.5, 1.0, 3.0, 2.0])
    assert admissibility_rate(penalties, errors) == pytest.approx(0.5)
    assert admissibility_rate(penalties, errors, np.array([1.0, 1.0, 0.0, 0.0])) == 1
    assert covering_factor(penalties, errors, share=0.75) == pytest.approx(1.5)
    assert covering_factor(penalties, errors) == pytest.approx(4.0)
    assert covering_factor(np.zeros(2), np.array([0.0, 1.0])) == np.inf


def test_each_horizon_stands_for_itself():
    errors = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    penalties = np.array([[2.0, 3.0, 4.0], [3.0, 2.0, 1.0]])
    first, second, together = calibrate(penalties, errors)
    assert (first.horizon, first.correlation, first.admissible) == (0, pytest.approx(1), 1)
    assert second.correlation == pytest.approx(-1)
    assert second.admissible == pytest.approx(2 / 3)
    assert (together.horizon, together.places) == (None, 6)
    assert together.mean_penalty == pytest.approx(2.5)
    penalties[1, 2] = np.nan
    with pytest.raises(VRLError, match="penalty of rollout 2 is not finite after 1 steps"):
        calibrate(penalties, errors)


def test_intervals_resample_whole_groups():
    random = np.random.default_rng(0)
    errors = random.random((2, 60))
    penalties = errors + 0.3 * random.random((2, 60))
    (alone, *_, together) = calibrate(penalties, errors)
    assert alone.correlation_low < alone.correlation < alone.correlation_high < 1
    width = together.correlation_high - together.correlation_low
    assert width < alone.correlation_high - alone.correlation_low  # twice as many places
    # The same rollout twenty times in three groups says no more than three rollouts.
    copies = np.repeat(np.arange(3), 20)
    few = calibrate(penalties[:, copies], errors[:, copies], copies)[-1]
    assert few.correlation_high - few.correlation_low > 2 * width
    assert calibrate(penalties, errors, np.zeros(60, int))[0].correlation_low is None
    assert calibrate(penalties, penalties)[0].correlation_low == pytest.approx(1)


def test_rollouts_visit_states_as_often_as_the_occupancy_says():
    random = np.random.default_rng(0)
    family = RandomMDPs(states=3, discount=0.5).draw(random)
    mdp = type(family)(
        transition=family.transition[0],
        reward=family.reward[0],
        discount=0.5,
        initial=family.initial[0],
    )
    policy = uniform_policy(mdp)
    states, actions = model_rollouts(mdp, mdp.transition, policy, 30, 20_000, random)
    weight = 0.5 ** np.arange(30)[:, None] / 20_000
    found = np.zeros((3, 2))
    np.add.at(found, (states, actions), np.broadcast_to(weight, states.shape))
    assert found == pytest.approx(occupancy(mdp, policy), abs=0.02)
