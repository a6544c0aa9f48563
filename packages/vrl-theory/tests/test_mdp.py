import numpy as np
import pytest

from vrl_core.errors import VRLError
from vrl_theory.mdp import (
    FiniteMDP,
    deterministic_policies,
    expected_return,
    occupancy,
    optimal_policy,
    state_values,
    uniform_policy,
)
from vrl_theory.random_mdp import (
    RandomMDPs,
    estimated_model,
    perturbed_model,
    random_policies,
    resampled_models,
)


def two_states(discount=0.5, reward=((0.0, 1.0), (2.0, 0.0))):
    """Action 0 stays, action 1 changes the state."""
    stay, change = np.eye(2), np.eye(2)[::-1]
    return FiniteMDP(
        transition=np.stack([stay, change], axis=1),
        reward=np.array(reward),
        discount=discount,
        initial=np.array([1.0, 0.0]),
    )


def test_values_by_hand():
    mdp = two_states()
    # Change in state 0 (reward 1), then stay in state 1 for 2 a step: 1 + 0.5 * 2 / (1 - 0.5).
    policy = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert state_values(mdp, policy) == pytest.approx([3.0, 4.0])
    assert expected_return(mdp, policy) == pytest.approx(3.0)
    visits = occupancy(mdp, policy)
    assert visits == pytest.approx(np.array([[0.0, 1.0], [1.0, 0.0]]))
    assert optimal_policy(mdp) == pytest.approx(policy)


def test_occupancies_sum_to_one_over_one_minus_discount_and_give_the_return():
    random = np.random.default_rng(0)
    mdp = RandomMDPs(count=20, states=5, actions=3, discount=0.8).draw(random)
    policy = random_policies(mdp, random)
    visits = occupancy(mdp, policy)
    assert visits.sum((-2, -1)) == pytest.approx(np.full(20, 5.0))
    assert (visits * mdp.reward).sum((-2, -1)) == pytest.approx(expected_return(mdp, policy))


def test_values_are_those_of_many_simulated_steps():
    random = np.random.default_rng(1)
    mdp = RandomMDPs(states=4, discount=0.7).draw(random)
    policy = uniform_policy(mdp)
    chain = np.einsum("...sa,...sat->...st", policy, mdp.transition)[0]
    reward = (policy * mdp.reward).sum(-1)[0]
    total, here = 0.0, mdp.initial[0]
    for step in range(200):
        total += 0.7**step * here @ reward
        here = here @ chain
    assert expected_return(mdp, policy)[0] == pytest.approx(total)


def test_the_optimal_policy_is_the_best_of_all_deterministic_ones():
    random = np.random.default_rng(2)
    mdp = RandomMDPs(count=50, states=3, actions=3).draw(random)
    policies = np.broadcast_to(deterministic_policies(3, 3), (50, 27, 3, 3))
    best = expected_return(mdp.spread(), policies).max(-1)
    assert expected_return(mdp, optimal_policy(mdp)) == pytest.approx(best)


def test_a_family_is_solved_as_its_members_are():
    mdp = RandomMDPs(count=3).draw(np.random.default_rng(3))
    alone = FiniteMDP(
        transition=mdp.transition[1],
        reward=mdp.reward[1],
        discount=mdp.discount,
        initial=mdp.initial[1],
    )
    assert state_values(alone, uniform_policy(alone)) == pytest.approx(
        state_values(mdp, uniform_policy(mdp))[1]
    )


@pytest.mark.parametrize(
    ("field", "place", "value", "message"),
    [
        ("transition", (1, 0, 1), 0.5, r"T of state 1, action 0 sums to 0.5, not to 1"),
        ("transition", (0, 1, 0), -1.0, r"T of state 0, action 1 holds -1.0 at 0"),
        ("transition", (0, 0, 0), np.nan, r"T of state 0, action 0 holds nan"),
        ("initial", (0,), 0.7, r"mu_0 sums to 0.7, not to 1"),
        ("reward", (1, 1), np.inf, r"reward r of state 1, action 1 is not finite"),
    ],
)
def test_what_is_no_mdp_is_named(field, place, value, message):
    mdp = two_states()
    parts = {name: np.array(getattr(mdp, name)) for name in ("transition", "reward", "initial")}
    parts[field][place] = value
    with pytest.raises(VRLError, match=message):
        FiniteMDP(discount=0.5, **parts)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("transition", [[[1.0, 0.0], [1.0]], [[0.0, 1.0]] * 2], "MDP's transition must .* equally"),
        ("initial", ["one", "two"], "MDP's initial must be real numbers .* type <U3"),
        ("initial", ["1.0", "0.0"], "MDP's initial must be real numbers .* type <U3"),
        ("reward", np.full((2, 2), 1j), "MDP's reward must be real numbers .* type complex128"),
        ("reward", [[None, 1.0], [1.0, 1.0]], "MDP's reward must be real numbers .* type object"),
        ("discount", "high", "MDP's discount must be real numbers .* type <U4"),
        ("discount", None, "MDP's discount must be real numbers .* type object"),
        ("discount", [0.5, 0.9], r"one number in \[0, 1\), not an array of shape \(2,\)"),
    ],
)
def test_what_is_no_array_of_real_numbers_is_named(field, value, message):
    mdp = FiniteMDP.__new__(FiniteMDP)  # under test __init__ checks types, and would be first
    for name, part in (vars(two_states()) | {field: value}).items():
        object.__setattr__(mdp, name, part)
    with pytest.raises(VRLError, match=message):
        mdp.__post_init__()


def test_the_wrong_row_of_a_family_is_named():
    mdp = RandomMDPs(count=4).draw(np.random.default_rng(0))
    transition = np.array(mdp.transition)
    transition[2, 3, 1] *= 0.9
    with pytest.raises(VRLError, match=r"T of state 3, action 1, MDP 2 of the family sums to 0\.9"):
        mdp.with_model(transition)


def test_sizes_and_discounts_that_do_not_fit():
    mdp = two_states()
    with pytest.raises(VRLError, match=r"\(2, 2, 2\) and \(3,\)"):
        FiniteMDP(
            transition=mdp.transition, reward=mdp.reward, discount=0.5, initial=np.full(3, 1 / 3)
        )
    with pytest.raises(VRLError, match="discount must be"):
        two_states(discount=1.0)
    with pytest.raises(VRLError, match="1048576 deterministic policies"):
        deterministic_policies(20, 2)


def test_random_mdps_are_reproducible_and_bounded():
    one, two = (RandomMDPs(count=5).draw(np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(one.transition, two.transition)
    assert np.abs(one.reward).max() <= 1
    with pytest.raises(VRLError, match="states must be at least 1"):
        RandomMDPs(states=0)


def test_models_of_numbers_that_make_none():
    random = np.random.default_rng(0)
    mdp = RandomMDPs().draw(random)
    policy = uniform_policy(mdp)
    with pytest.raises(VRLError, match=r"in \[0, 1\], not 2.0"):
        perturbed_model(mdp, random, amount=2.0)
    with pytest.raises(VRLError, match="samples must be at least 0, not -1"):
        estimated_model(mdp, policy, -1, random)
    with pytest.raises(VRLError, match="prior must be more than 0"):
        estimated_model(mdp, policy, 10, random, prior=0.0)
    with pytest.raises(VRLError, match="models must be at least 1"):
        resampled_models(mdp.transition, np.ones((1, 4, 2)), 0, random)


def test_rounding_grows_with_rewards_and_horizon():
    assert two_states().rounding == pytest.approx(1e-10 * 2 / 0.25)
    assert two_states(discount=0.0).rounding == pytest.approx(2e-10)


def test_estimated_models_approach_the_truth_where_there_is_data():
    random = np.random.default_rng(4)
    mdp = RandomMDPs(count=3).draw(random)
    model, seen = estimated_model(mdp, uniform_policy(mdp), 200_000, random)
    assert seen.sum((-2, -1)) == pytest.approx(np.full(3, 200_000))
    assert np.abs(model - mdp.transition)[seen > 5000].max() < 0.03
    # An action never taken is unknown: uniform.
    never = np.zeros((3, 4, 2)) + np.array([1.0, 0.0])
    model, seen = estimated_model(mdp, never, 100, random)
    assert seen[..., 1].max() == pytest.approx(0)
    assert model[:, :, 1] == pytest.approx(np.full((3, 4, 4), 0.25))
