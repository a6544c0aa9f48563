"""HIV treatment: the equations by hand, agreement of three integrations, doses, and bad input."""

import math

import numpy as np
import pytest
from scipy.integrate import ode

from vrl_core.errors import VRLError
from vrl_core.testing import check_environment
from vrl_envs.hiv import dynamics as hiv_dynamics
from vrl_envs.hiv.config import HIV
from vrl_envs.hiv.dynamics import (
    FULL_DOSES,
    INITIAL_STATE,
    rates,
    rewards,
    solve_batch,
    solve_stiff,
)
from vrl_envs.hiv.environment import HIVEnvironment


def treatment(days, every=20, seed=0):
    """Doses `(days, 2)` that change every few days."""
    shares = np.random.default_rng(seed).uniform(0, 1, (days // every, 2))
    return np.repeat(shares * FULL_DOSES, every, 0)


def test_rates_by_hand():
    # infections: 0.3 * 8e-7 * 100 * 1e6 = 24 and (1 - 0.34 * 0.7) * 1e-4 * 100 * 3000 = 22.86
    found = rates((1e6, 2.0, 3000.0, 1.0, 100.0, 10.0), (0.7, 0.3))
    growth = 0.3 * 3 / 103 - 0.25 * 3 / 503 - 0.1
    wanted = (-24, 24 - 0.7001 * 2, 31.98 - 30 - 22.86, 22.86 - 0.7001, 147 - 1346.86)
    assert found == pytest.approx((*wanted, 1 + 10 * growth), rel=1e-12)


def test_reward_by_hand():
    state = np.array([0.0, 0, 0, 0, 50, 2])
    assert rewards(state, np.array([0.7, 0.3])) == pytest.approx(2000 - 5 - 9800 - 1800)
    assert rewards(state, np.array([0.0, 0.0])) == pytest.approx(1995)


def logarithmic_rates(_, logarithms, first, second):
    """The published equations again, written for logarithms of the counts."""
    t1, i1, t2, i2, v, e = map(math.exp, logarithms.tolist())
    k1, k2 = (1 - first) * 8e-7, (1 - 0.34 * first) * 1e-4
    i = i1 + i2
    return [
        1e4 / t1 - 0.01 - k1 * v,
        k1 * v * t1 / i1 - 0.7 - 1e-5 * e,
        31.98 / t2 - 0.01 - k2 * v,
        k2 * v * t2 / i2 - 0.7 - 1e-5 * e,
        (1 - second) * 70 * i / v - 13 - k1 * t1 - k2 * t2,
        1 / e + 0.3 * i / (i + 100) - 0.25 * i / (i + 500) - 0.1,
    ]


def independent(state, doses, days):
    """Integrate logarithms of counts by another method, Dormand and Prince's, in one piece."""
    solver = ode(logarithmic_rates).set_f_params(*doses.tolist())
    solver.set_integrator("dopri5", rtol=1e-10, atol=1e-10, nsteps=10**6)
    solver.set_initial_value(np.log(state))
    reached = solver.integrate(days)
    assert solver.successful()
    return np.exp(reached)


def pulses(days, every=20):
    """Both drugs in full and none, in turn: structured interruptions of treatment."""
    return np.repeat(np.arange(days // every)[:, None] % 2 * np.array(FULL_DOSES), every, 0)


SCHEDULES = {
    "changing": treatment(400),
    "changing often": treatment(400, every=5, seed=1),
    "pulses": pulses(400),
    "none": np.zeros((400, 2)),
    "full": np.tile(FULL_DOSES, (400, 1)),
    "one drug": np.tile((0.0, FULL_DOSES[1]), (400, 1)),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_400_days_agree_with_an_independent_integration(name):
    doses = SCHEDULES[name]
    states, other = [np.array(INITIAL_STATE)], np.array(INITIAL_STATE)
    for day, dose in enumerate(doses, 1):
        states.append(solve_stiff(states[-1], dose))
        if day % 5 == 0:  # no schedule changes in between
            other = independent(other, dose, 5)
            np.testing.assert_allclose(states[-1], other, rtol=1e-6)
    together = solve_batch(np.array(states[:-1]), doses)
    np.testing.assert_allclose(together, states[1:], rtol=1e-8)


def test_rows_of_a_batch_do_not_depend_on_each_other():
    doses = treatment(20, every=1)
    states = [np.array(INITIAL_STATE)]
    for dose in doses[:-1]:
        states.append(solve_stiff(states[-1], dose))
    together = solve_batch(np.array(states), doses)
    for row in (0, 7, 19):
        alone = solve_batch(states[row][None], doses[row : row + 1])[0]
        np.testing.assert_allclose(together[row], alone, rtol=1e-12)
        np.testing.assert_allclose(together[row], solve_stiff(states[row], doses[row]), rtol=1e-8)


def test_rows_too_stiff_for_the_explicit_method_go_to_the_stiff_one(monkeypatch):
    states, doses = np.array([INITIAL_STATE] * 2), treatment(2, every=1)
    usual = solve_batch(states, doses)
    monkeypatch.setattr(hiv_dynamics, "ATTEMPTED_STEPS", 0)
    np.testing.assert_allclose(solve_batch(states, doses), usual, rtol=1e-8)
    extreme = states * np.array([1, 1, 1, 1, 1e9, 1])  # more virus than any patient has
    monkeypatch.undo()
    np.testing.assert_allclose(
        solve_batch(extreme[:1], doses[:1])[0], solve_stiff(extreme[0], doses[0]), rtol=1e-6
    )


def test_a_solver_that_fails_is_an_error_and_no_number(monkeypatch):
    monkeypatch.setattr(hiv_dynamics, "STIFF_STEPS", 1)
    with pytest.raises(VRLError, match=r"could not be solved from uninfected T cells 1e\+06"):
        HIV().build().step(np.zeros(2))
    monkeypatch.setattr(hiv_dynamics, "ATTEMPTED_STEPS", 0)
    with pytest.raises(VRLError, match="could not be solved"):
        solve_batch(np.array([INITIAL_STATE]), np.zeros((1, 2)))


@pytest.mark.parametrize("settings", [{}, {"doses": "switched", "observation": "counts"}])
def test_conformance(settings):
    check_environment(HIV(**settings), steps=5)


@pytest.mark.parametrize("observation", ["log10", "log10-cells", "counts"])
def test_simulating_equals_stepping(observation):
    environment = HIV(observation=observation, reward_scale=1e-3).build()
    seen, rewarded = [environment.reset()[0]], []
    actions = np.random.default_rng(1).uniform(-1, 1, (15, 2)).astype(np.float32)
    for action in actions:
        state, reward, *_ = environment.step(action)
        seen.append(state)
        rewarded.append(reward)
    following, reward = environment.simulate(np.array(seen[:-1]), actions)
    np.testing.assert_allclose(following, seen[1:], rtol=2e-5)  # states passed in single precision
    np.testing.assert_allclose(reward, rewarded, rtol=2e-5, atol=2e-2)


def test_observations_are_logarithms_where_asked_for():
    counts = np.array([1e6, 1e-4, 3198, 0.0, 1, 10])
    every = HIVEnvironment(HIV()).observe(counts)
    assert every == pytest.approx([6, -4, np.log10(3198), -10, 0, 1], abs=1e-6)
    cells = HIVEnvironment(HIV(observation="log10-cells")).observe(counts)
    assert cells == pytest.approx([6, -4, np.log10(3198), -10, 1, 10], abs=1e-6)


def test_doses_of_actions():
    continuous = HIVEnvironment(HIV()).doses(np.array([[-1.0, 1.0], [0.0, 0.5]]))
    np.testing.assert_allclose(continuous, [[0, 0.3], [0.35, 0.225]])
    switched = HIVEnvironment(HIV(doses="switched")).doses(np.array([[-0.2, 0.1], [0.9, -1.0]]))
    np.testing.assert_allclose(switched, [[0, 0.3], [0.7, 0]])
    discrete = HIVEnvironment(HIV(doses="discrete"))
    np.testing.assert_allclose(
        discrete.doses(np.arange(4)), [[0, 0], [0, 0.3], [0.7, 0], FULL_DOSES]
    )
    assert discrete.action_space.n == 4
    assert discrete.step(3)[1] == pytest.approx(
        HIVEnvironment(HIV()).step(np.ones(2))[1], rel=1e-12
    )


def test_an_episode_is_cut_off_and_never_terminates():
    environment = HIV(days=3).build()
    environment.reset()
    ends = [environment.step(np.zeros(2))[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]


def test_bad_input_is_explained():
    environment = HIV().build()
    with pytest.raises(VRLError, match=r"Doses out of range: action \[0\.0, 1\.5\]"):
        environment.step(np.array([0.0, 1.5]))
    with pytest.raises(VRLError, match="Doses out of range"):
        environment.step(np.array([np.nan, 0.0]))
    with pytest.raises(VRLError, match="two numbers each"):
        environment.step(np.zeros(3))
    with pytest.raises(VRLError, match="There is no treatment"):
        HIV(doses="discrete").build().step(4)
    counts = HIV(observation="counts").build()
    with pytest.raises(VRLError, match=r"free virus -1 \(row 1\)"):
        counts.simulate(np.array([INITIAL_STATE, (1, 1, 1, 1, -1, 1)]), np.zeros((2, 2)))
    with pytest.raises(VRLError, match=r"has 6 counts .* not an array of shape \(5,\)"):
        environment.set_counts(np.ones(5))
    with pytest.raises(VRLError, match="2 states and 1 actions"):
        environment.simulate(np.zeros((2, 6)), np.zeros((1, 2)))
    with pytest.raises(VRLError, match=r"\(batch, 6\)"):
        environment.simulate(np.zeros((2, 5)), np.zeros((2, 2)))
    with pytest.raises(VRLError, match="uninfected T cells inf") as raised:
        environment.simulate(np.full((1, 6), 400.0), np.zeros((1, 2)))
    assert "negative" not in str(raised.value)


def test_counts_beyond_what_fits_into_a_millilitre_have_no_answer():
    environment = HIV().build()
    states = environment.observe(np.array([INITIAL_STATE, INITIAL_STATE]))
    states[1, 5] = 30.0  # its reward would be 9e32
    with pytest.raises(VRLError, match=r"immune effectors 1e\+30 \(row 1\): counts lie between"):
        environment.simulate(states, np.zeros((2, 2)))
    largest = np.full((1, 6), hiv_dynamics.LARGEST_COUNT)
    following = solve_batch(largest, np.zeros((1, 2)))
    assert np.isfinite(rewards(following, np.zeros((1, 2))).astype(np.float32)).all()


def test_only_models_that_predict_counts_are_told_of_logarithms():
    negative = np.full((1, 6), -1.0)
    for observation, advised in (("counts", True), ("log10-cells", True), ("log10", False)):
        environment = HIV(observation=observation).build()
        if advised:
            with pytest.raises(VRLError, match="observation 'log10'"):
                environment.simulate(negative, np.zeros((1, 2)))
        else:
            environment.simulate(negative, np.zeros((1, 2)))
    for bad in ({"reward_scale": 0.0}, {"doses": "contiuous"}, {"days": 0}):
        with pytest.raises(VRLError):
            HIV(**bad)
