"""Scripts that act out hammer and ball, and agents that learn from what they show."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vrl_core.errors import VRLError
from vrl_core.soft_actor_critic import SoftActorCriticConfig
from vrl_envs.adroit.config import Adroit
from vrl_envs.adroit.demonstrators import Demonstrator, demonstrator
from vrl_envs.adroit.tasks import DEMONSTRATED
from vrl_envs.behaviours.action_replay import episode_seed
from vrl_envs.behaviours.online import OnlineRun, OnlineTraining
from vrl_envs.behaviours.presets import online_preset
from vrl_envs.behaviours.state_replay import read_state_replay
from vrl_envs.dclaw.config import DClaw

TINY = OnlineTraining(
    task="adroit_relocate",
    environment=Adroit(task="adroit_relocate", observation="state", reward="d4rl", horizon=10),
    steps=50,
    random_steps=20,
    updates_per_step=0.5,
    batch_size=9,
    evaluate_every=20,
    evaluation_episodes=1,
    normalise=True,
    demonstrations=3,
    agent=SoftActorCriticConfig(hidden_sizes=(8,)),
)


def teacher_of(task: str) -> Demonstrator:
    environment = Adroit(task=task, observation="state", reward="d4rl").build()
    return demonstrator(environment)


def shown(teacher: Demonstrator, seed: int, steps: int = 200) -> tuple[np.ndarray, float, bool]:
    """Return what is seen of an episode, its return, and whether it succeeded."""
    teacher.environment.reset(seed=seed)
    teacher.begin()
    states, total, success = [], 0.0, False
    for _ in range(steps):
        state, reward, _, _, info = teacher.environment.step(teacher.action())
        states.append(state)
        total, success = total + reward, info["success"]
    return np.stack(states), total, success


@pytest.mark.parametrize(("task", "least"), [("adroit_hammer", 14_000), ("adroit_relocate", 2_000)])
def test_most_episodes_succeed_with_nearly_an_experts_return(task, least):
    teacher = teacher_of(task)
    episodes = [shown(teacher, seed) for seed in range(4)]
    assert sum(success and total > least for _, total, success in episodes) >= 3
    again, *_ = shown(teacher, 0)
    np.testing.assert_array_equal(again, episodes[0][0])


def test_the_nail_is_driven_in_by_a_hammer_that_is_held():
    teacher = teacher_of("adroit_hammer")
    shown(teacher, 0, steps=100)
    data = teacher.data
    nail, goal = data.site("S_target").xpos, data.site("nail_goal").xpos
    assert np.linalg.norm(nail - goal) < 0.01
    assert data.body("Object").xpos[2] > 0.06
    assert np.linalg.norm(data.body("Object").xpos - data.site("S_grasp").xpos) < 0.1


def test_a_lost_ball_is_fetched_again():
    teacher = teacher_of("adroit_relocate")
    shown(teacher, 0, steps=90)
    data = teacher.data
    assert data.body("Object").xpos[2] > 0.06  # it is being carried
    data.qpos[30:33] = (0.0, 0.1, 0.0)  # and is taken away
    data.qvel[30:36] = 0
    for _ in range(200):
        teacher.environment.step(teacher.action())
    away = data.body("Object").xpos - data.site("target").xpos
    assert np.linalg.norm(away) < 0.1


def test_the_arm_comes_to_where_it_is_driven():
    teacher = teacher_of("adroit_relocate")
    teacher.environment.reset(seed=0)
    wanted = np.array([0.1, 0.05, 0.2, -0.1, 0.1, 0.0])  # the model holds back the last most
    hand = np.zeros(24)
    for _ in range(60):
        controls = np.concatenate((teacher.drive(wanted, 18.0), hand))
        inner = teacher.environment.inner
        teacher.environment.step(np.clip((controls - inner.act_mean) / inner.act_rng, -1, 1))
    np.testing.assert_allclose(teacher.data.qpos[:6], wanted, atol=0.02)


@pytest.mark.parametrize("task", ["adroit_pen", "adroit_door"])
def test_tasks_that_nobody_demonstrates(task, tmp_path):
    assert online_preset(task, "mixed").demonstrations == 0
    environment = Adroit(task=task, observation="state", horizon=10)
    with pytest.raises(VRLError, match=f"Nobody demonstrates {task} here.*adroit_hammer"):
        OnlineRun(replace(TINY, task=task, environment=environment), tmp_path)


def test_environments_that_nobody_demonstrates(tmp_path):
    screw = DClaw(task="screw_fixed", observation="state")
    with pytest.raises(VRLError, match="Nobody demonstrates DClawEnvironment here"):
        OnlineRun(replace(TINY, task="screw_fixed", environment=screw), tmp_path)
    with pytest.raises(VRLError, match="demonstrations is -1"):
        replace(TINY, demonstrations=-1)


@pytest.mark.parametrize("task", DEMONSTRATED)
def test_the_presets_have_demonstrations(task):
    assert online_preset(task, "mixed").demonstrations == 100


def test_half_of_a_batch_is_what_was_shown(tmp_path):
    run = OnlineRun(TINY, tmp_path)
    assert len(run.shown.episodes) == 3
    teacher = demonstrator(run.environment)
    states, *_ = shown(teacher, episode_seed(0, 1), steps=10)
    np.testing.assert_allclose(run.shown.episodes[1].observations[1:], states, atol=2e-3)
    run.collect()
    batch = run.batch()
    assert len(batch.reward) == 9
    for part, replay in ((slice(5), run.replay), (slice(5, 9), run.shown)):
        rows = replay.observations[: replay.steps]
        for state, action in zip(batch.observation[part], batch.action[part], strict=True):
            (row,) = np.flatnonzero((rows == state.numpy()).all(1))
            np.testing.assert_array_equal(replay.actions[row], action.numpy())


def test_what_was_shown_is_scaled_with_and_not_kept_in_the_replay(tmp_path):
    run = OnlineRun(TINY, tmp_path)
    observations = np.concatenate([each.observations for each in run.shown.episodes])
    np.testing.assert_allclose(run.scale.mean, observations.mean(0), rtol=1e-4, atol=1e-5)
    list(run.run())
    replay, _ = read_state_replay(run.replay_file)
    assert replay.lengths.tolist() == [10] * 5


def test_a_resumed_run_is_shown_the_same(tmp_path):
    whole = OnlineRun(TINY, tmp_path / "whole")
    list(whole.run())
    list(OnlineRun(replace(TINY, steps=30), tmp_path / "stopped").run())
    torch.manual_seed(456)
    resumed = OnlineRun(TINY, tmp_path / "stopped")
    list(resumed.run())
    assert resumed.updates == whole.updates == 15
    for name, value in whole.agent.state_dict().items():
        assert value.equal(resumed.agent.state_dict()[name]), name
