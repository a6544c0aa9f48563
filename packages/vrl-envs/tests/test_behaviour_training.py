"""Behaviour training: n-step transitions by hand, and a resumed run equals one without a stop."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vrl_core.errors import VRLError
from vrl_core.soft_actor_critic import SoftActorCriticConfig
from vrl_envs.behaviours.training import (
    BehaviourRun,
    BehaviourTraining,
    EpisodeReplay,
    StateEpisode,
    StateTask,
    run_episode,
)

TINY = BehaviourTraining(
    task="cheetah_run",
    steps=1500,
    random_steps=500,
    updates_per_step=0.02,
    batch_size=8,
    return_steps=3,
    evaluate_every=1000,
    evaluation_episodes=1,
    agent=SoftActorCriticConfig(hidden_sizes=(8,)),
)


STEPS = 500


class FixedIndices:
    """Stands in for a generator: draws the indices it was given."""

    def __init__(self, indices):
        self.indices = np.asarray(indices)

    def integers(self, upper, size):
        assert upper == STEPS
        assert size == len(self.indices)
        return self.indices


def counting_replay():
    """One episode whose observation at step t is t, and whose reward of step t is t."""
    replay = EpisodeReplay(1, STEPS, observation=1, position=1, action=1)
    steps = np.arange(STEPS + 1, dtype=np.float32)
    replay.add(StateEpisode(steps[:, None], steps[:, None], steps[:-1, None], steps[:-1]))
    return replay


def test_transitions_by_hand():
    batch = counting_replay().batch(FixedIndices([0, 10, 498]), 3, 3, 0.5)
    assert batch.observation[:, 0].tolist() == [0, 10, 498]
    assert batch.action[:, 0].tolist() == [0, 10, 498]
    assert batch.next_observation[:, 0].tolist() == [3, 13, 500]
    # 10 + 11/2 + 12/4; the last window holds two steps, cut off by the time limit
    assert batch.reward.tolist() == [1.0, 18.5, 498 + 249.5]
    assert batch.discount.tolist() == [0.125, 0.125, 0.25]


def test_same_seed_same_episode_and_other_seed_another():
    task = StateTask("walker_walk")
    act = lambda observation: np.full(task.action_size, 0.1)  # noqa: E731
    first, again, other = (run_episode(task, seed, act) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.observations, again.observations)
    np.testing.assert_array_equal(first.rewards, again.rewards)
    assert np.abs(first.observations - other.observations).max() > 0


def test_rewards_are_summed_over_the_action_repeat():
    task = StateTask("cheetah_run")
    episode = run_episode(task, 0, lambda observation: np.zeros(task.action_size))
    assert episode.rewards.shape == (STEPS,)
    assert task.physics.data.time == pytest.approx(10.0)  # 1000 simulator steps of 0.01 s


def test_a_run_can_start_from_anothers_networks(tmp_path):
    first = BehaviourRun(replace(TINY, steps=1000), tmp_path / "first")
    list(first.run())
    second = replace(TINY, seed=9, start_from=str(tmp_path / "first"))
    started = BehaviourRun(second, tmp_path / "second")
    assert started.steps == 0
    for name, value in first.agent.state_dict().items():
        assert value.equal(started.agent.state_dict()[name]), name


def test_quadrupeds_are_loaded_as_the_environment_loads_them():
    assert StateTask("quadruped_walk").observation_size == 78


def test_starting_from_nothing_is_explained(tmp_path):
    config = replace(TINY, start_from=str(tmp_path / "missing"))
    with pytest.raises(VRLError, match="Train that one first"):
        BehaviourRun(config, tmp_path / "run")


def test_a_folder_keeps_to_its_settings_but_for_the_steps(tmp_path):
    list(BehaviourRun(replace(TINY, steps=500), tmp_path).run())
    with pytest.raises(VRLError, match="with task 'cheetah_run', and 'walker_walk' was asked for"):
        BehaviourRun(replace(TINY, task="walker_walk"), tmp_path)
    assert BehaviourRun(TINY, tmp_path).steps == 500
    with pytest.raises(VRLError, match="return_steps is 0; it must be at least 1"):
        replace(TINY, return_steps=0)


def test_a_resumed_run_equals_one_without_a_stop(tmp_path):
    torch.manual_seed(123)
    whole = BehaviourRun(TINY, tmp_path / "whole")
    list(whole.run())
    list(BehaviourRun(replace(TINY, steps=1000), tmp_path / "stopped").run())
    torch.manual_seed(456)  # a fresh process has another generator state
    resumed = BehaviourRun(TINY, tmp_path / "stopped")
    assert resumed.steps == 1000
    list(resumed.run())
    for name, value in whole.agent.state_dict().items():
        assert value.equal(resumed.agent.state_dict()[name]), name
    for name, value in whole.replay.state().items():
        assert value.equal(resumed.replay.state()[name]), name
