"""What imitating demonstrations costs a soft actor-critic, and how that falls."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from test_adroit_demonstrators import TINY
from vrl_core.soft_actor_critic import SoftActorCritic, SoftActorCriticConfig, StateBatch
from vrl_envs.behaviours.online import OnlineRun
from vrl_envs.behaviours.taught_agent import TaughtSoftActorCritic

CONFIG = SoftActorCriticConfig(hidden_sizes=(4,))


def agent(weight: float) -> TaughtSoftActorCritic:
    torch.manual_seed(0)
    return TaughtSoftActorCritic(CONFIG, 3, 2, imitation_weight=weight)


def batch(rows: int) -> StateBatch:
    rng = np.random.default_rng(1)
    shapes = ((rows, 3), (rows, 2), (rows,), (rows,), (rows, 3))
    return StateBatch(*(torch.from_numpy(rng.uniform(-1, 1, s).astype("f4")) for s in shapes))


def test_the_cost_is_the_distance_in_units_of_the_value(monkeypatch):
    taught = agent(2.0)
    mean = torch.atanh(torch.tensor([[0.5, 0.0], [-0.5, 0.5]]))
    monkeypatch.setattr(taught.actor, "distribution", lambda _: (mean, torch.ones(2, 2)))
    values = torch.tensor([[3.0, -4.0], [1.0, -6.0]])  # of the two critics, for two rows
    monkeypatch.setattr(taught, "values", lambda *_: values)
    shown = torch.tensor([[0.5, 1.0], [0.5, 0.5]])
    # Squared distances 0, 1, 1, 0; least values 1 and -6, whose sizes are 3.5 in the mean.
    assert taught.imitation_loss(torch.zeros(2, 3), shown).item() == pytest.approx(2 * 3.5 * 0.5)


def test_only_the_second_half_is_imitated_and_only_by_the_policy():
    found, taught = batch(5), agent(2.0)
    torch.manual_seed(2)
    loss, log_density = taught.actor_loss(found)
    torch.manual_seed(2)
    plain, same = SoftActorCritic.actor_loss(taught, found)
    extra = taught.imitation_loss(found.observation[3:], found.action[3:])
    assert loss.item() == pytest.approx((plain + extra).item())
    assert same.equal(log_density)
    extra.backward()
    assert all(each.grad is None for each in taught.critic.parameters())
    assert all(each.grad is not None for each in taught.actor.parameters())


def test_an_agent_that_no_longer_imitates_is_the_plain_one():
    found, taught = batch(6), agent(0.0)
    torch.manual_seed(0)
    plain = SoftActorCritic(CONFIG, 3, 2)
    for each in (taught, plain):
        torch.manual_seed(3)
        each.update(found)
    for name, value in plain.state_dict().items():
        assert value.equal(taught.state_dict()[name]), name


def test_the_weight_falls_to_nothing(tmp_path):
    settings = {"imitation_weight": 4.0, "imitation_steps": 40}
    run = OnlineRun(replace(TINY, **settings), tmp_path)
    weights = []
    for _ in run.run():
        weights.append(run.agent.imitation_weight)
    assert weights == [4.0, 4.0, 1.0, 0.0, 0.0]  # nothing is learnt in the first 20 steps


def test_noise_changes_what_is_shown_and_not_from_run_to_run(tmp_path):
    noisy = replace(TINY, demonstration_noise=0.1, imitation_weight=1.0)
    plain = OnlineRun(TINY, tmp_path / "plain").shown
    one, two = (OnlineRun(noisy, tmp_path / name).shown for name in "ab")
    np.testing.assert_array_equal(one.actions, two.actions)
    deviation = (one.actions - plain.actions)[:1]
    assert 0.02 < np.abs(deviation).mean() < 0.2
    assert (one.actions[0] != one.actions[10]).any()
