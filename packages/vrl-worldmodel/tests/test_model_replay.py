"""The pool of imagined transitions: whole rows, the newest, uniformly drawn."""

from __future__ import annotations

import pytest
import torch

from vrl_core.errors import VRLError
from vrl_core.protocols import SequenceBatch
from vrl_worldmodel.model_replay import ImaginedSteps, TransitionPool, joined, real_transitions


def make_steps(first: int, count: int) -> ImaginedSteps:
    """Steps in which everything says which number they have."""
    number = torch.arange(first, first + count, dtype=torch.float32)
    return ImaginedSteps(
        state=torch.stack((number, number + 0.1), -1),
        action=-number[:, None],
        next_state=torch.stack((number + 1, number + 1.1), -1),
        reward=number * 10,
        penalty=number * 100,
        terminated=number % 2 == 1,
    )


def make_pool(capacity: int) -> TransitionPool:
    return TransitionPool(capacity, state_size=2, action_size=1, device=torch.device("cpu"))


def test_a_drawn_transition_is_whole_and_ends_where_it_terminated():
    torch.manual_seed(0)
    pool = make_pool(10)
    pool.add(make_steps(0, 4))
    batch, penalty = pool.draw(200, discount=0.9)
    number = batch.observation[:, 0]
    assert set(number.tolist()) == {0.0, 1.0, 2.0, 3.0}
    torch.testing.assert_close(batch.observation[:, 1], number + 0.1)
    torch.testing.assert_close(batch.action[:, 0], -number)
    torch.testing.assert_close(batch.next_observation[:, 0], number + 1)
    torch.testing.assert_close(batch.reward, number * 10)
    torch.testing.assert_close(penalty, number * 100)
    torch.testing.assert_close(batch.discount, torch.where(number % 2 == 1, 0.0, 0.9))


def test_the_newest_take_the_place_of_the_oldest():
    torch.manual_seed(0)
    pool = make_pool(5)
    pool.add(make_steps(0, 4))
    pool.add(make_steps(4, 3))
    assert len(pool) == 5
    assert sorted(pool.rows[:, 0].tolist()) == [2.0, 3.0, 4.0, 5.0, 6.0]
    pool.add(make_steps(10, 9))
    assert sorted(pool.rows[:, 0].tolist()) == [14.0, 15.0, 16.0, 17.0, 18.0]
    assert set(pool.draw(300, 1.0)[0].observation[:, 0].tolist()) == {14.0, 15.0, 16.0, 17.0, 18.0}


def test_a_checkpoint_holds_what_was_written_and_the_ring_goes_on():
    pool, copy = make_pool(6), make_pool(6)
    pool.add(make_steps(0, 4))
    state = pool.state_dict()
    assert state["rows"].shape == (4, 8)
    copy.load_state_dict(state)
    for each in (pool, copy):
        each.add(make_steps(4, 5))
    assert torch.equal(pool.rows, copy.rows)
    assert len(copy) == 6


def test_a_pool_of_another_size_is_refused():
    pool = make_pool(6)
    pool.add(make_steps(0, 4))
    with pytest.raises(VRLError, match="at most 3 of 8"):
        make_pool(3).load_state_dict(pool.state_dict())
    wider = TransitionPool(6, state_size=3, action_size=1, device=torch.device("cpu"))
    with pytest.raises(VRLError, match="at most 6 of 10"):
        wider.load_state_dict(pool.state_dict())


def test_real_transitions_end_by_termination_alone():
    batch = SequenceBatch(
        observations={"state": torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]])},
        action=torch.tensor([[[0.5]], [[0.6]]]),
        reward=torch.tensor([[7.0], [8.0]]),
        termination=torch.tensor([[False], [True]]),
        is_first=torch.zeros(2, 2, dtype=torch.bool),
        rows=torch.zeros(2, 2, dtype=torch.int64),
    )
    real = real_transitions(batch, discount=0.9)
    torch.testing.assert_close(real.observation, torch.tensor([[1.0], [3.0]]))
    torch.testing.assert_close(real.next_observation, torch.tensor([[2.0], [4.0]]))
    torch.testing.assert_close(real.action, torch.tensor([[0.5], [0.6]]))
    torch.testing.assert_close(real.reward, torch.tensor([7.0, 8.0]))
    torch.testing.assert_close(real.discount, torch.tensor([0.9, 0.0]))
    both = joined([real, real])
    assert both.reward.tolist() == [7.0, 8.0, 7.0, 8.0]
