"""MOPO whole: its batches, its rollouts, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vrl_core.episodes import DataSpec, FieldSpec
from vrl_core.errors import VRLError
from vrl_core.replay import Replay
from vrl_core.soft_actor_critic import StateBatch
from vrl_core.testing import tiny_data
from vrl_worldmodel.mopo import MOPO
from vrl_worldmodel.mopo_config import DynamicsConfig, MBPOConfig, MOPOConfig
from vrl_worldmodel.penalty_config import MaxStd, TrueError

CPU = torch.device("cpu")
STATE = 3
SOURCES = ("paper", "code")
SMALL = {
    "dynamics": DynamicsConfig(
        members=3, elites=2, hidden_layers=(8,), weight_decay=(1e-5, 1e-5), batch_size=16
    ),
    "hidden_layers": (8,),
    "termination": "never",
    "rollouts": 10,
    "rollout_length": 2,
    "retained_rollouts": 5,
}


def make_spec(**settings: object) -> DataSpec:
    states = {"state": FieldSpec((STATE,), "float32")}
    return DataSpec(**{"task": "tiny", "observations": states, "action_size": 2} | settings)


def build(config: type[MOPOConfig] = MOPOConfig, spec: DataSpec | None = None, **settings) -> MOPO:
    torch.manual_seed(0)
    return config(**SMALL | settings).build(spec or make_spec(), CPU)


@pytest.fixture
def replay(tmp_path) -> Replay:
    store = tiny_data(tmp_path / "store", episodes=3, steps=12, image_size=None, state_size=STATE)
    return Replay(store, CPU)


def ready(learner: MOPO, replay: Replay) -> MOPO:
    """Take a few updates of the dynamics, and make the first rollouts."""
    learner.trainer.prepare(replay, 0)
    for update in range(3):
        learner.trainer.refresh(update)
        learner.trainer.update()
    learner.prepare_policy(replay, 1)
    learner.imagine(0)
    return learner


def test_a_batch_has_the_published_share_of_real_transitions(replay, monkeypatch):
    learner = ready(build(), replay)
    seen: list[StateBatch] = []
    monkeypatch.setattr(learner.agent, "update", lambda batch: seen.append(batch) or {})
    _, policy = learner.phases
    batch = replay.batch(policy.batches, 0, 0)
    policy.update(batch)
    assert (learner.real_count, learner.imagined_count) == (12, 244)  # int(256 * 0.05)
    assert len(seen[0].reward) == 256
    real = batch.observations["state"]
    assert torch.equal(seen[0].observation[:12], real[:, 0])
    assert torch.equal(seen[0].next_observation[:12], real[:, 1])
    assert torch.equal(seen[0].reward[:12], batch.reward[:, 0])  # not penalised
    imagined = {tuple(row) for row in learner.pool.rows[:, :STATE].tolist()}
    assert {tuple(row) for row in seen[0].observation[12:].tolist()} <= imagined


def test_rollouts_begin_in_states_of_the_data_that_a_step_begins_in(replay):
    learner = ready(build(rollout_length=1, rollouts=200), replay)
    assert len(learner.pool) == 200
    starts = learner.pool.rows[:200, :2]  # tiny data: episode and step
    assert {tuple(pair) for pair in starts.tolist()} == {
        (float(episode), float(step)) for episode in range(3) for step in range(12)
    }


def test_the_pool_keeps_the_newest_five_rollouts(replay):
    learner = ready(build(), replay)
    assert learner.pool.rows.shape[0] == 10 * 2 * 5
    for number in range(1, 5):
        learner.imagine(number)
    oldest = learner.pool.rows[:20].clone()
    assert len(learner.pool) == 100
    learner.imagine(5)
    assert len(learner.pool) == 100
    assert not torch.equal(learner.pool.rows[:20], oldest)


def test_what_diverged_is_named_with_the_update(replay):
    learner = ready(build(), replay)
    with torch.no_grad():
        learner.agent.actor.network[-1].bias[:] = torch.nan
    with pytest.raises(VRLError, match=r"Before update 8 of the policy: The policy has diverged"):
        learner.imagine(7)
    learner = ready(build(), replay)
    with torch.no_grad():
        learner.trainer.model.mean_head.bias[2] = torch.inf
    with pytest.raises(VRLError, match=r"Before update 8 .*Member 2 of the dynamics has diverged"):
        learner.imagine(7)


def test_the_dynamics_rest_while_the_policy_learns(replay):
    learner = ready(build(), replay)
    before = {name: value.clone() for name, value in learner.trainer.model.state_dict().items()}
    actor = [value.clone() for value in learner.agent.actor.parameters()]
    _, policy = learner.phases
    for number in range(2):
        policy.update(replay.batch(policy.batches, 0, number))
    after = learner.trainer.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not all(
        torch.equal(*pair) for pair in zip(actor, learner.agent.actor.parameters(), strict=True)
    )


def test_penalty_weight_and_length_are_the_published_ones_unless_given():
    spec = make_spec(task="walker2d", behaviour="medium-expert")
    published = {"rollout_length": "paper", "termination": "task"}
    mopo, mbpo = (build(config, spec, **published) for config in (MOPOConfig, MBPOConfig))
    assert (mopo.rollout_length, mopo.model.weight) == (1, 2.0)
    assert mbpo.rollout_length == 1
    cheetah = make_spec(task="halfcheetah", behaviour="medium_expert")
    weights = [build(spec=cheetah, published=of, **published).model.weight for of in SOURCES]
    assert weights == [1.0, 5.0]
    given = build(spec=spec, penalty=MaxStd(weight=3.0), rollout_length=4)
    assert (given.rollout_length, given.model.weight) == (4, 3.0)


def test_mbpo_penalises_nothing(replay):
    learner = ready(build(MBPOConfig), replay)
    assert not learner.pool.rows[: len(learner.pool), -2].any()
    assert bool(ready(build(), replay).pool.rows[:20, -2].all())


def test_actions_of_rollouts_are_uniform_where_the_paper_has_them_so():
    jump = make_spec(task="halfcheetah_jump")
    assert build(spec=jump).uniform
    assert not build(spec=jump, rollout_actions="policy").uniform
    assert not build().uniform
    assert not build(MBPOConfig, jump).uniform  # where it would be MOPO without a penalty
    torch.manual_seed(0)
    actions = build(rollout_actions="uniform").explore(torch.zeros(5_000, STATE))
    quarters = torch.histc(actions, bins=4, min=-1, max=1) / actions.numel()
    torch.testing.assert_close(quarters, torch.full((4,), 0.25), atol=0.02, rtol=0)


def test_on_real_data_alone_there_are_no_dynamics(replay):
    learner = build(real_share=1.0)
    (policy,) = learner.phases
    assert (policy.name, policy.refresh) == ("policy", None)


def test_a_task_without_a_termination_rule_is_refused_before_training():
    with pytest.raises(VRLError, match="termination"):
        build(termination="task")


def test_an_oracle_is_refused_before_training_where_there_is_no_simulator():
    with pytest.raises(VRLError, match="names no environment"):
        build(penalty=TrueError())


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"image": FieldSpec((8, 8, 3), "uint8")}, r"'image': \(\(8, 8, 3\), 'uint8'\)"),
        ({"state": FieldSpec((3,), "float64")}, "float64"),
        ({"state": FieldSpec((2, 2), "float32")}, r"\(2, 2\)"),
    ],
)
def test_data_without_a_state_vector_is_refused(field, said):
    with pytest.raises(VRLError, match=said):
        build(spec=make_spec(observations=field))


def test_states_of_another_size_are_refused_by_the_policy():
    policy = build().policy()
    with pytest.raises(VRLError, match="trained on states of 3 numbers"):
        policy.act({"state": np.zeros((2, 4), np.float32)}, policy.start(2))
    action, _ = policy.act({"state": np.zeros((2, 3))}, policy.start(2))
    assert (action.shape, action.dtype) == ((2, 2), np.float32)
