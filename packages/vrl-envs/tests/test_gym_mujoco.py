"""Gymnasium's tasks: the same as Gymnasium's own, MOPO's rewards by hand, and the simulator."""

import warnings

import gymnasium
import numpy as np
import pytest

from vrl_core.errors import VRLError
from vrl_core.testing import check_environment
from vrl_envs.gym_mujoco.config import TASKS, GymMuJoCo, behaviour_task, body_of


def rollout(environment, steps, seed=3):
    """Observations, actions, rewards and infos of random actions until an end."""
    rng = np.random.default_rng(seed)
    seen, actions, rewards, infos = [environment.reset(seed=seed)[0]], [], [], []
    for _ in range(steps):
        actions.append(rng.uniform(-1, 1, environment.action_space.shape).astype(np.float32))
        observation, reward, terminated, truncated, info = environment.step(actions[-1])
        seen.append(observation)
        rewards.append(reward)
        infos.append(info)
        if terminated or truncated:
            break
    return np.array(seen), np.array(actions), np.array(rewards), infos


@pytest.mark.parametrize("task", ["hopper", "halfcheetah_jump", "ant_angle_60"])
def test_conformance(task):
    check_environment(GymMuJoCo(task=task), steps=5)


@pytest.mark.filterwarnings("ignore:.*out of date.*:DeprecationWarning")
@pytest.mark.parametrize(
    ("task", "name", "version"),
    [("halfcheetah", "HalfCheetah", "v4"), ("walker2d", "Walker2d", "v5"), ("ant", "Ant", "v4")],
)
def test_standard_tasks_are_gymnasiums(task, name, version):
    ours = rollout(GymMuJoCo(task=task, version=version).build(), 12)
    theirs = rollout(gymnasium.make(f"{name}-{version}"), 12)
    np.testing.assert_array_equal(ours[0], theirs[0].astype(np.float32))
    # Gymnasium squares single-precision actions in single precision.
    np.testing.assert_allclose(ours[2], theirs[2], atol=1e-6)


def test_contact_forces_are_a_setting_of_the_ant():
    sizes = {
        (version, forces): GymMuJoCo(task="ant", version=version, contact_forces=forces)
        .build()
        .observation_space.shape[0]
        for version in ("v4", "v5")
        for forces in (False, True)
    }
    assert sizes == {("v4", False): 27, ("v4", True): 111, ("v5", False): 27, ("v5", True): 105}
    with pytest.raises(VRLError, match="a setting of 'ant'"):
        GymMuJoCo(task="hopper", contact_forces=True)


def test_the_jump_pays_for_height_and_capped_speed():
    environment = GymMuJoCo(task="halfcheetah_jump").build()
    environment.reset(seed=0)
    data = environment.inner.data
    for forward in (0.5, 9.0):
        data.qvel[0] = forward
        before = data.qpos[0]
        action = np.full(6, 0.5)
        observation, reward, *_, info = environment.step(action)
        velocity = (data.qpos[0] - before) / 0.05
        assert info["velocity"] == pytest.approx([velocity, 0])
        height = data.qpos[1]  # the model's own is 0
        assert observation[0] == pytest.approx(height, rel=1e-6)
        assert reward == pytest.approx(min(velocity, 3) - 0.1 * 6 * 0.25 + 15 * height)
    assert velocity > 3


@pytest.mark.parametrize(("task", "degrees"), [("ant_angle", 30), ("ant_angle_90", 90)])
def test_the_angle_pays_for_velocity_along_it(task, degrees):
    environment = GymMuJoCo(task=task).build()
    environment.reset(seed=0)
    data = environment.inner.data
    before = data.qpos[:2].copy()
    _, reward, *_ = environment.step(np.full(8, -0.5))
    along = (data.qpos[:2] - before) / 0.05
    angle = np.pi * degrees / 180
    wanted = along[0] * np.cos(angle) + along[1] * np.sin(angle) - 0.5 * 8 * 0.25
    assert reward == pytest.approx(wanted)


@pytest.mark.parametrize("task", ["halfcheetah", "hopper", "ant_angle", "halfcheetah_jump"])
def test_simulating_equals_stepping(task):
    environment = GymMuJoCo(task=task).build()
    seen, actions, rewards, _ = rollout(environment, 8)
    following, rewarded = environment.simulate(seen[:-1], actions)
    assert (following.dtype, rewarded.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose(following, seen[1:], atol=1e-3)
    np.testing.assert_allclose(rewarded, rewards, atol=1e-4)
    order = np.arange(len(actions))[::-1]
    again, _ = environment.simulate(seen[:-1][order], actions[order])
    np.testing.assert_array_equal(again[order], following)  # no trace of the rows before


def test_the_ants_simulated_reward_is_of_a_whole_step():
    environment = GymMuJoCo(task="ant").build()
    seen, actions, _, _ = rollout(environment, 5)
    _, rewarded = environment.simulate(seen[:-1], actions)
    environment.set_observation(seen[3])
    velocity = environment._advance(actions[3])[3][0]
    assert rewarded[3] == pytest.approx(velocity + 1 - 0.5 * np.square(actions[3]).sum(), rel=1e-5)


def test_episodes_end_as_gymnasiums_do():
    hopper = GymMuJoCo(task="hopper").build()
    hopper.reset(seed=0)
    terminated = steps = 0
    while not terminated:
        _, _, terminated, truncated, _ = hopper.step(np.ones(3))
        steps += 1
    assert (steps < 200, truncated) == (True, False)
    cheetah = GymMuJoCo().build()
    cheetah.reset(seed=0)
    ends = [cheetah.step(np.zeros(6))[2:4] for _ in range(1000)]
    assert set(ends[:-1]) == {(False, False)}
    assert ends[-1] == (False, True)


def test_scores_are_d4rls():
    hopper = GymMuJoCo(task="hopper")
    assert hopper.published_score(-20.272305) == pytest.approx(0)
    assert hopper.published_score(3234.3) == pytest.approx(100)
    assert GymMuJoCo(task="halfcheetah").references().expert == 12135.0
    assert GymMuJoCo(task="ant_angle").published_score(1.0) is None


def test_tasks_know_their_body_and_behaviour():
    assert {body_of(task) for task in TASKS} == {"halfcheetah", "hopper", "walker2d", "ant"}
    assert behaviour_task("halfcheetah_jump") == "halfcheetah_capped"
    assert behaviour_task("ant_angle_45") == "ant_forward"
    assert behaviour_task("hopper") == "hopper"


def test_states_at_the_clip_of_velocities_are_warned_of_once():
    environment = GymMuJoCo(task="hopper").build()
    environment.reset(seed=0)
    states = np.zeros((3, 11))
    states[:, 0] = 1.25
    states[1, 7] = -10.0
    with pytest.warns(UserWarning, match="1 of 3 states of hopper"):
        environment.simulate(states, np.zeros((3, 3)))
    cheetah = GymMuJoCo(task="halfcheetah").build()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        environment.simulate(states, np.zeros((3, 3)))
        cheetah.simulate(np.full((1, 17), 0.1) + 11 * (np.arange(17) == 9), np.zeros((1, 6)))


def test_bad_input_is_explained():
    with pytest.raises(VRLError, match="Did you mean 'halfcheetah'"):
        GymMuJoCo(task="halfchetah")
    environment = GymMuJoCo(task="hopper").build()
    environment.reset(seed=0)
    with pytest.raises(VRLError, match="not a batch of hopper's"):
        environment.simulate(np.zeros((2, 12)), np.zeros((2, 3)))
    for action in (np.array([0.0, np.nan, 0.0]), np.zeros(2)):
        with pytest.raises(VRLError, match="none of hopper's, which are 3 finite numbers"):
            environment.step(action)
    states = np.zeros((2, 11))
    states[1, 0] = np.inf
    with pytest.raises(VRLError, match="state of row 1 is not finite"):
        environment.simulate(states, np.zeros((2, 3)))
    with pytest.raises(VRLError, match="hopper diverged"):
        environment.simulate(np.full((1, 11), 1e12), np.zeros((1, 3)))
