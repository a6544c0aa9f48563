"""What the dynamics learn from: pairs inside episodes, a shared hold-out, bootstrap sets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vrl_core.errors import VRLError
from vrl_core.replay import Replay
from vrl_core.testing import tiny_data
from vrl_worldmodel.dynamics_data import epoch_order, read_dynamics_data, step_rows, told_steps
from vrl_worldmodel.mopo_config import DynamicsConfig

CPU = torch.device("cpu")
STEPS, EPISODES = 10, 4


@pytest.fixture
def replay(tmp_path) -> Replay:
    store = tiny_data(
        tmp_path / "store", episodes=EPISODES, steps=STEPS, image_size=None, state_size=3
    )
    return Replay(store, CPU)


def test_the_last_row_of_an_episode_begins_no_step():
    rows = step_rows([(0, 2), (3, 1), (5, 3)], CPU)
    assert rows.tolist() == [0, 1, 3, 5, 6, 7]


def test_a_target_is_the_change_of_the_state_and_the_steps_reward(replay):
    data = read_dynamics_data(replay, DynamicsConfig(), seed=0)
    inputs = torch.cat((data.inputs, data.holdout_inputs))
    targets = torch.cat((data.targets, data.holdout_targets))
    # Tiny data: states begin with episode and step, actions with -1 + 2 t / steps, rewards are
    # t / steps. No pair leads from one episode into the next.
    step = inputs[:, 1]
    torch.testing.assert_close(targets[:, 0], torch.zeros(len(targets)))
    torch.testing.assert_close(targets[:, 1], torch.ones(len(targets)))
    torch.testing.assert_close(targets[:, 3], step / STEPS)
    torch.testing.assert_close(inputs[:, 3], -1 + 2 * step / STEPS)


@pytest.mark.parametrize(
    ("share", "most", "held_out"), [(0.2, 1000, 8), (0.2, 5, 5), (0.0, 1000, 1)]
)
def test_held_out_are_so_many_and_no_others(replay, share, most, held_out):
    config = DynamicsConfig(holdout_share=share, holdout_most=most)
    data = read_dynamics_data(replay, config, seed=3)
    assert (len(data.holdout_inputs), len(data)) == (held_out, EPISODES * STEPS - held_out)
    both = torch.cat((data.holdout_inputs, data.inputs))[:, :2]
    assert len({tuple(pair) for pair in both.tolist()}) == EPISODES * STEPS


def test_the_seed_decides_what_is_held_out(replay):
    config = DynamicsConfig()
    first, again, other = (read_dynamics_data(replay, config, seed) for seed in (1, 1, 2))
    assert torch.equal(first.holdout_inputs, again.holdout_inputs)
    assert not torch.equal(first.holdout_inputs, other.holdout_inputs)


def test_every_member_sees_its_own_bootstrap_set_in_a_new_order_each_epoch():
    first, second = (epoch_order(50, 3, seed=7, epoch=epoch, device=CPU) for epoch in (0, 1))
    assert not torch.equal(first, second)
    assert torch.equal(first.sort(1).values, second.sort(1).values)
    sets = [set(row.tolist()) for row in first]
    assert all(25 <= len(one) <= 40 for one in sets)  # (1 - 1/e) of 50 is 32
    assert sets[0] != sets[1] != sets[2]
    assert torch.equal(first, epoch_order(50, 3, seed=7, epoch=0, device=CPU))


def test_too_few_transitions_are_refused(tmp_path):
    store = tiny_data(tmp_path / "one", episodes=1, steps=1, image_size=None, state_size=2)
    with pytest.raises(VRLError, match="the data has 1"):
        read_dynamics_data(Replay(store, CPU), DynamicsConfig(), seed=0)


def test_terminations_that_repeat_their_state_are_not_learnt_from(replay, monkeypatch):
    """Steps 2 and 7 of every episode end it, but only step 7 also stands still."""
    read = replay.read
    ended = (torch.arange(replay.rows) % (STEPS + 1) == 2) | (
        torch.arange(replay.rows) % (STEPS + 1) == 7
    )

    def repeating(name: str, start: int, stop: int) -> torch.Tensor:
        values = read(name, start, stop).clone()
        if name == "observation.state":
            values[8 :: STEPS + 1] = values[7 :: STEPS + 1]
            values[6 :: STEPS + 1] = values[5 :: STEPS + 1]  # stands still and goes on
        return ended[start:stop] if name == "termination" else values

    monkeypatch.setattr(replay, "read", repeating)
    rows = told_steps(replay, replay.read("observation.state", 0, replay.rows))
    steps = (rows % (STEPS + 1)).tolist()
    assert steps == [0, 1, 2, 3, 4, 5, 6, 8, 9] * EPISODES
    data = read_dynamics_data(replay, DynamicsConfig(), seed=0)
    assert len(data) + len(data.holdout_inputs) == 9 * EPISODES


@pytest.mark.parametrize("field", ["observation.state", "action", "reward"])
def test_numbers_that_are_not_finite_are_refused_with_their_row(replay, field, monkeypatch):
    read = replay.read

    def broken(name: str, start: int, stop: int) -> torch.Tensor:
        values = read(name, start, stop).clone()
        if name == field:
            values[5] = np.nan
        return values

    monkeypatch.setattr(replay, "read", broken)
    with pytest.raises(VRLError, match=f"Row 5 of the field {field}"):
        read_dynamics_data(replay, DynamicsConfig(), seed=0)
