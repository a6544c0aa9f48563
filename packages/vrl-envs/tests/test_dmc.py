"""The environment `dmc`: seeds, rewards, ends of episodes, actions and observations."""

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import vrl_envs.plugin
from vrl_core.config import from_data, to_data
from vrl_core.errors import VRLError
from vrl_core.registry import Registry
from vrl_core.testing import check_environment, check_plugin
from vrl_envs.dmc.config import DMC
from vrl_envs.dmc.environment import DMCEnvironment, control_bounds
from vrl_envs.dmc.tasks import TASKS

from dm_control import suite  # isort: skip


def environment(task="walker_walk", **settings) -> DMCEnvironment:
    return DMCEnvironment(DMC(**{"task": task, "observation": "state", **settings}))


def rollout(env, seed, steps=20):
    observation, _ = env.reset(seed=seed)
    rng = np.random.default_rng(0)
    observations, rewards = [observation], []
    for _ in range(steps):
        observation, reward, *_ = env.step(rng.uniform(-1, 1, env.action_size))
        observations.append(observation)
        rewards.append(reward)
    return np.stack(observations), np.array(rewards)


def test_static_task_names_are_the_suites():
    assert set(TASKS.values()) == set(suite.ALL_TASKS)


def test_a_seed_fixes_the_episode_of_a_model_drawn_at_random():
    """Tasks whose models are fixed: `test_determinism`."""
    task = "lqr_lqr_2_1"
    env = environment(task)
    first = rollout(env, 3)
    rollout(env, 4)
    for again in (rollout(env, 3), rollout(environment(task), 3)):
        np.testing.assert_array_equal(first[0], again[0])
        np.testing.assert_array_equal(first[1], again[1])
    assert np.abs(rollout(env, 4)[0] - first[0]).max() > 0


def test_unseeded_environments_differ():
    first, second = (environment().reset()[0] for _ in range(2))
    assert (first != second).any()


def test_rewards_are_the_suites_summed_over_the_repeat():
    env = environment("cheetah_run", action_repeat=3)
    env.reset(seed=0)
    plain = suite.load("cheetah", "run", task_kwargs={"random": 0})
    plain.task.random.seed(0)
    plain.reset()
    for action in (np.full(6, 0.5), np.full(6, -0.5), np.full(6, 0.9)):
        expected = sum(plain.step(action).reward for _ in range(3))
        assert env.step(action.astype(np.float32))[1] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("task", "steps"), [("cartpole_balance", 500), ("lqr_lqr_2_1", 500)])
def test_the_time_limit_truncates_and_does_not_terminate(task, steps):
    env = environment(task)
    env.reset(seed=0)
    action = np.full(env.action_size, 0.3)
    ends = [env.step(action)[2:4] for _ in range(steps)]
    assert ends == [(False, False)] * (steps - 1) + [(False, True)]


def test_actions_span_the_tasks_controls():
    low, high = control_bounds(suite.load("quadruped", "walk").action_spec())
    assert low[:3].tolist() == pytest.approx([-1, -1, -0.8])
    assert high[:3].tolist() == pytest.approx([1, 1.1, 0.8])
    env = environment("quadruped_walk")
    env.reset(seed=0)
    env.step(np.array([-1, 0, 1] * 4, np.float32))
    applied = env._physics.control()[:3]
    assert applied == pytest.approx([-1, 0.05, 0.8])  # the middle of [-1, 1.1] is 0.05
    unbounded = control_bounds(suite.load("lqr", "lqr_2_1").action_spec())
    assert (unbounded[0].tolist(), unbounded[1].tolist()) == ([-1], [1])


def test_both_observations_are_the_single_ones():
    settings = {"size": 16, "rendering": "fast"}
    both = environment(observation="both", **settings)
    pixels = environment(observation="pixels", **settings)
    state = environment(observation="state")
    seen, _ = both.reset(seed=5)
    assert both.observation_space.contains(seen)
    np.testing.assert_array_equal(seen["image"], pixels.reset(seed=5)[0])
    np.testing.assert_array_equal(seen["state"], state.reset(seed=5)[0])
    np.testing.assert_array_equal(pixels.render(), seen["image"])
    assert both.metadata["render_fps"] == pytest.approx(20)  # control step 0.025 s, twice
    for env in (both, pixels, state):
        env.close()


def test_states_are_in_dm_controls_order():
    env = environment()
    observation, _ = env.reset(seed=0)
    physics = env._physics
    np.testing.assert_allclose(observation[:14], physics.orientations(), rtol=1e-6)
    assert observation[14] == pytest.approx(physics.torso_height())
    np.testing.assert_allclose(observation[15:], physics.velocity(), rtol=1e-6)


def test_gymnasiums_own_check_passes():
    env = environment(observation="both", size=16, rendering="fast")
    check_env(env, skip_render_check=True)
    env.close()


def test_conformance():
    check_environment(DMC(task="cheetah_run", size=16, rendering="fast"), steps=5)
    check_plugin(vrl_envs.plugin)


def test_configuration_survives_a_file():
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    config = DMC(task="cheetah_run", size=84, rendering="fast")
    data = to_data(config, registry)
    assert data["name"] == "dmc"
    assert from_data("environments", data, registry) == config
    assert set(registry.names("datasets")) >= {"dmc", "v-d4rl"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "walker_wlak"}, "Did you mean 'walker_walk'"),
        ({"rendering": "slow"}, "Known: fast, reference"),
        ({"size": 0}, "size is 0"),
        ({"action_repeat": 0}, "action_repeat is 0"),
    ],
)
def test_bad_settings_are_explained(settings, message):
    with pytest.raises(VRLError, match=message):
        DMC(**settings)


def test_a_seed_out_of_range_is_explained():
    with pytest.raises(VRLError, match="too large"):
        environment().reset(seed=2**32)
