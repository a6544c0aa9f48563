"""Online training on state tasks: bootstrapping, resuming, and its folder as a dataset."""

import json
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from vrl_core.errors import VRLError
from vrl_core.soft_actor_critic import SoftActorCriticConfig
from vrl_envs.behaviours.action_replay import (
    pack_actions,
    read_action_replay,
    write_action_replay,
)
from vrl_envs.behaviours.card import read_card
from vrl_envs.behaviours.online import OnlineRun, OnlineTraining, keep_policy
from vrl_envs.behaviours.presets import online_preset
from vrl_envs.behaviours.simulated_replay import SimulatedReplay
from vrl_envs.behaviours.state_replay import (
    StateReplay,
    read_state_replay,
    write_state_replay,
)
from vrl_envs.behaviours.state_shipping import ship_state_policy, ship_state_replay
from vrl_envs.behaviours.train import TrainBehaviour, train
from vrl_envs.behaviours.transition_replay import TransitionReplay
from vrl_envs.gym_mujoco.config import GymMuJoCo, GymMuJoCoDataset
from vrl_envs.hiv.config import HIV, HIVDataset

TINY = OnlineTraining(
    task="hiv",
    environment=HIV(days=10, reward_scale=1e-4),
    steps=50,
    random_steps=20,
    updates_per_step=0.5,
    batch_size=8,
    evaluate_every=20,
    evaluation_episodes=1,
    agent=SoftActorCriticConfig(hidden_sizes=(8,)),
)


class FixedRows:
    """Stands in for a generator: draws the rows it was given."""

    def integers(self, upper, size):
        assert (upper, size) == (4, 4)
        return np.arange(4)


def test_transitions_bootstrap_except_from_terminations():
    replay = TransitionReplay(10, 1, 1)
    for first, terminated in ((0.0, True), (5.0, False)):
        states = np.array([[first], [first + 1], [first + 2]], np.float32)
        replay.add(
            StateReplay(
                observations=states,
                actions=states[:-1],
                rewards=states[1:, 0],
                velocities=np.zeros((2, 2), np.float32),
                lengths=np.array([2]),
                terminated=np.array([terminated]),
            )
        )
    batch = replay.batch(FixedRows(), 4, 0.9)
    assert batch.observation[:, 0].tolist() == [0, 1, 5, 6]
    assert batch.next_observation[:, 0].tolist() == [1, 2, 6, 7]
    assert batch.reward.tolist() == [1, 2, 6, 7]
    np.testing.assert_allclose(batch.discount, [0.9, 0, 0.9, 0.9])


def test_a_resumed_run_equals_one_without_a_stop(tmp_path):
    whole = OnlineRun(TINY, tmp_path / "whole")
    list(whole.run())
    list(OnlineRun(replace(TINY, steps=30), tmp_path / "stopped").run())
    torch.manual_seed(456)  # a fresh process has another generator state
    resumed = OnlineRun(TINY, tmp_path / "stopped")
    assert resumed.replay.steps == 30
    list(resumed.run())
    assert (resumed.updates, whole.updates) == (15, 15)
    for name, value in whole.agent.state_dict().items():
        assert value.equal(resumed.agent.state_dict()[name]), name
    one, two = (read_state_replay(run.replay_file)[0] for run in (whole, resumed))
    for name, values in vars(one).items():
        np.testing.assert_array_equal(values, getattr(two, name))


def test_a_runs_folder_is_a_folder_of_behaviours(tmp_path):
    run = OnlineRun(TINY, tmp_path)
    records = list(run.run())
    settings = {"behaviours": str(tmp_path), "days": 10, "reward_scale": 1e-4}
    mixed = HIVDataset(quality="mixed", **settings).build()
    assert len(mixed) == 5
    for episode, record in zip(mixed, records, strict=True):
        assert episode.undiscounted_return == pytest.approx(record["return"], rel=1e-6)
    expert = HIVDataset(quality="expert", episodes=1, **settings).build()[0]
    assert np.isfinite(expert.rewards).all()
    keep_policy(tmp_path / "steps/step_00000040.safetensors", tmp_path, "hiv", "medium")
    medium = HIVDataset(quality="medium", episodes=1, **settings).build()[0]
    assert (medium.actions != expert.actions).any()


def test_shipped_behaviours_give_the_runs_episodes_again(tmp_path):
    run_folder, shipped = tmp_path / "run", tmp_path / "shipped"
    list(OnlineRun(TINY, run_folder).run())
    card = ship_state_replay(run_folder, destination=shipped)
    assert (card.training_steps, card.returns.episodes) == (50, 5)
    policy = ship_state_policy(run_folder, 40, "medium", 2, destination=shipped)
    assert (policy.observation_size, policy.returns.episodes) == (6, 2)
    assert read_card(shipped / "policies/hiv/medium.json") == policy
    settings = {"quality": "mixed", "days": 10, "reward_scale": 1e-6}
    recorded = HIVDataset(behaviours=str(run_folder), **settings).build()
    simulated = HIVDataset(behaviours=str(shipped), **settings).build()
    assert isinstance(simulated, SimulatedReplay)
    assert len(recorded) == len(simulated) == 5
    for one, other in zip(recorded, simulated, strict=True):
        np.testing.assert_array_equal(one.observations["state"], other.observations["state"])
        np.testing.assert_array_equal(one.actions, other.actions)
        np.testing.assert_allclose(one.rewards, other.rewards, rtol=1e-6)
        np.testing.assert_array_equal(one.truncations, other.truncations)
        assert one.info["replay_episode"] == other.info["replay_episode"]
    card = ship_state_replay(run_folder, one_of=2, destination=tmp_path / "half")
    assert (card.extra, card.training_steps, card.returns.episodes) == ({"one_of": 2}, 50, 2)
    half = HIVDataset(behaviours=str(tmp_path / "half"), **settings).build()
    for one, other in zip((simulated[1], simulated[3]), half, strict=True):
        np.testing.assert_array_equal(one.observations["state"], other.observations["state"])
    with pytest.raises(VRLError, match="Ask for at most 5"):
        HIVDataset(behaviours=str(shipped), episodes=6, **settings).build()
    with pytest.raises(VRLError, match="recorded with days 10, not 400"):
        HIVDataset(behaviours=str(shipped), quality="mixed").build()


def test_a_terminated_episode_is_simulated_with_its_termination(tmp_path):
    hopper = replace(TINY, task="hopper", environment=GymMuJoCo(task="hopper"), steps=40)
    list(OnlineRun(hopper, tmp_path / "run").run())
    ship_state_replay(tmp_path / "run", destination=tmp_path / "shipped")
    settings = {"task": "hopper", "quality": "mixed"}
    folders = (str(tmp_path / "run"), str(tmp_path / "shipped"))
    recorded, simulated = (GymMuJoCoDataset(behaviours=f, **settings).build() for f in folders)
    for one, other in zip(recorded, simulated, strict=True):
        np.testing.assert_array_equal(one.observations["state"], other.observations["state"])
        np.testing.assert_array_equal(one.rewards, other.rewards)
        assert one.terminations[-1]
        np.testing.assert_array_equal(one.terminations, other.terminations)


def test_replays_that_cannot_be_simulated_are_not_shipped(tmp_path):
    list(OnlineRun(TINY, tmp_path).run())
    file = tmp_path / "replays/hiv.safetensors"
    replay, settings = read_state_replay(file)
    for changed, said in (
        ({"actions": replay.actions * np.float32(1 / 3)}, "no half-precision"),
        ({"rewards": replay.rewards + 1}, "Episode 0 of the replay is another"),
    ):
        write_state_replay(file, replace(replay, **changed), settings)
        with pytest.raises(VRLError, match=said):
            ship_state_replay(tmp_path, destination=tmp_path / "shipped")
    packed = pack_actions(replay, np.arange(5))
    damaged = tmp_path / "damaged.safetensors"
    write_action_replay(damaged, replace(packed, actions=packed.actions[1:]), settings)
    with pytest.raises(VRLError, match="is damaged: 49 actions and 5 seeds for 5 episodes of 50"):
        read_action_replay(damaged)


def test_the_command_keeps_a_step_as_a_behaviour(tmp_path):
    steps = tmp_path / "steps"
    steps.mkdir()
    (steps / "step_00000040.safetensors").write_bytes(b"policy")
    keep = TrainBehaviour(output=tmp_path, task="hiv", keep=(40, "medium"))
    train(keep)
    assert (tmp_path / "policies/hiv/medium.safetensors").read_bytes() == b"policy"
    with pytest.raises(VRLError, match="There are those of steps: 40"):
        train(replace(keep, keep=(41, "medium")))
    with pytest.raises(VRLError, match="Did you mean 'medium'"):
        train(replace(keep, keep=(40, "medum")))
    with pytest.raises(VRLError, match=r"--keep is for halfcheetah, .*, humanoid_run\. For walker"):
        train(replace(keep, task="walker_walk"))


def test_a_folder_keeps_to_its_settings_but_for_the_steps(tmp_path):
    list(OnlineRun(replace(TINY, steps=30), tmp_path).run())
    before = (tmp_path / "training.json").read_text()
    for changes, said in (
        ({"seed": 3}, "with seed 0, and 3 was asked for"),
        ({"environment": HIV(days=11)}, "'days': 10"),
    ):
        with pytest.raises(VRLError, match=said):
            OnlineRun(replace(TINY, **changes), tmp_path)
    assert (tmp_path / "training.json").read_text() == before
    assert OnlineRun(TINY, tmp_path).replay.steps == 30


def test_metrics_of_steps_that_are_taken_again_are_forgotten(tmp_path):
    list(OnlineRun(replace(TINY, steps=30), tmp_path).run())
    with (tmp_path / "metrics.jsonl").open("a") as log:  # after the last save came a kill
        log.write('{"steps": 40}\n{"steps": 50')
    list(OnlineRun(TINY, tmp_path).run())
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["steps"] for line in lines] == [10, 20, 30, 40, 50]


def test_a_run_that_is_asked_to_stop_saves_first(tmp_path):
    records = OnlineRun(TINY, tmp_path).run()
    assert [next(records)["steps"] for _ in range(2)] == [10, 20]
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        next(records)
    assert OnlineRun(TINY, tmp_path).replay.steps == 20


@pytest.mark.parametrize(
    "changes", [{"steps": -5}, {"seed": -1}, {"batch_size": 0}, {"evaluation_episodes": 0}]
)
def test_numbers_of_which_no_training_comes(changes):
    ((name, value),) = changes.items()
    with pytest.raises(VRLError, match=f"{name} is {value}; it must be at least"):
        replace(TINY, **changes)


def test_velocities_are_kept_for_relabelling(tmp_path):
    config = replace(TINY, task="ant_forward", environment=GymMuJoCo(task="ant_forward"), steps=5)
    run = OnlineRun(config, tmp_path)
    run.collect()
    run.save()
    settings = {"quality": "mixed", "behaviours": str(tmp_path)}
    angled = GymMuJoCoDataset(task="ant_angle_90", **settings).build()[0]
    velocities = run.replay.episodes[0].velocities
    control = 0.5 * np.square(angled.actions).sum(-1)
    np.testing.assert_allclose(angled.rewards, velocities[:, 1] - control, atol=1e-5)
    forward = GymMuJoCoDataset(task="ant_forward", **settings).build()[0]
    np.testing.assert_allclose(forward.rewards, run.replay.episodes[0].rewards, atol=1e-5)


def test_presets_are_the_papers_buffers():
    assert online_preset("hiv", "mixed").steps == 200_000
    assert online_preset("halfcheetah_capped", "mixed").steps == 1_000_000
    assert online_preset("hopper", "expert").steps == 1_000_000
    for task, name in (("hiv", "medum"), ("halfchetah", "mixed")):
        with pytest.raises(VRLError, match="Known"):
            online_preset(task, name)


def test_the_command_trains_state_tasks(tmp_path):
    with pytest.raises(VRLError, match=r"has no resume\.safetensors"):
        train(
            TrainBehaviour(output=tmp_path / "run", task="hiv", preset="mixed", start_from=tmp_path)
        )
    for task, nearest in (("hvi", "hiv"), ("halfcheeta", "halfcheetah")):
        with pytest.raises(VRLError, match=f"Did you mean '{nearest}'"):
            train(TrainBehaviour(output=tmp_path, task=task))
    train(TrainBehaviour(output=tmp_path, task="hiv", preset="mixed", steps=1, seed=3))
    replay, environment = read_state_replay(tmp_path / "replays/hiv.safetensors")
    assert (len(replay), int(replay.lengths[0])) == (1, 400)
    assert environment["reward_scale"] == pytest.approx(1e-4)
