"""The environment `ogbench`: names, seeds, rewards, ends, images, and what it refuses."""

import numpy as np
import pytest

import vrl_envs.plugin
from vrl_core.config import from_data, to_data
from vrl_core.errors import VRLError
from vrl_core.registry import Registry
from vrl_core.testing import check_environment
from vrl_envs import releases
from vrl_envs.ogbench import tasks as ogbench_tasks
from vrl_envs.ogbench.config import OGBench, OGBenchDataset
from vrl_envs.ogbench.tasks import ENVIRONMENTS, TASKS, canonical_task, default_horizon, identifier

pytest.importorskip("ogbench", reason="OGBench is not installed")
from vrl_envs.ogbench.environment import OGBenchEnvironment  # isort: skip

import gymnasium  # isort: skip


def environment(task="pointmaze_medium_task1", **settings) -> OGBenchEnvironment:
    return OGBenchEnvironment(OGBench(**{"task": task, "observation": "state", **settings}))


def rollout(env, seed, steps=6):
    seen = [env.reset(seed=seed)[0]]
    rng = np.random.default_rng(0)
    for _ in range(steps):
        seen.append(env.step(rng.uniform(-1, 1, env.action_space.shape))[0])
    return np.stack(seen)


def test_names_horizons_and_versions_are_ogbenchs():
    assert len(TASKS) == 120
    for task in TASKS:
        spec = gymnasium.registry[identifier(task, images=False)]
        assert spec.max_episode_steps == default_horizon(task)
        has_images = identifier(task, images=True) in gymnasium.registry
        assert has_images == ENVIRONMENTS[ogbench_tasks.environment_of(task)].images


@pytest.mark.parametrize("name", ["pointmaze_medium", "antsoccer_arena", "puzzle_3x3"])
def test_the_default_task_is_ogbenchs(name):
    inner = gymnasium.make(f"{name.replace('_', '-')}-singletask-v0", disable_env_checker=True)
    assert canonical_task(name) == f"{name}_task{inner.unwrapped._reward_task_id}"


def test_ogbenchs_own_names_are_understood():
    assert canonical_task("visual-cube-single-play-singletask-task1-v0") == "cube_single_task1"
    assert canonical_task("puzzle-4x4-noisy-v0") == "puzzle_4x4_task4"
    assert OGBench(task="scene-singletask-task3-v0").task == "scene_task3"
    assert (OGBench().horizon, OGBench().size) == (200, 64)


@pytest.mark.parametrize("task", ["antmaze_teleport_task1", "scene_task2"])
def test_a_seed_fixes_the_episode_whatever_came_before(task):
    env = environment(task)
    first, other = rollout(env, 3), rollout(env, 4)
    np.random.seed(5)  # OGBench draws from the global generator
    before = np.random.get_state()[1]
    np.testing.assert_array_equal(rollout(env, 3), first)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    np.testing.assert_array_equal(rollout(environment(task), 3), first)
    assert (other[0] != first[0]).any()


def test_unseeded_episodes_differ():
    env = environment()
    states = [env.reset()[0] for _ in range(2)] + [environment().reset()[0]]
    assert len({state.tobytes() for state in states}) == 3


def test_the_step_taken_in_a_solved_state_has_the_reward_and_ends():
    env = environment()
    env.reset(seed=0)
    assert env.step(np.zeros(2))[1:] == (-1.0, False, False, {"success": False})
    env.inner.set_xy(env.inner.cur_goal_xy)
    assert env.step(np.zeros(2))[1:] == (0.0, True, False, {"success": True})


def test_the_arms_reward_counts_what_is_out_of_place():
    env = environment("cube_double_task2")
    env.reset(seed=0)
    inner = env.inner
    assert env.step(np.zeros(5))[1] == -2
    inner._data.joint("object_joint_0").qpos[:3] = inner._data.mocap_pos[0]
    assert env.step(np.zeros(5))[1:3] == (-1, False)
    inner._data.joint("object_joint_0").qpos[:3] = inner._data.mocap_pos[0]
    inner._data.joint("object_joint_1").qpos[:3] = inner._data.mocap_pos[1]
    env.step(np.zeros(5))  # OGBench looks for success where a step ends, and ends with the next
    assert env.step(np.zeros(5))[1:] == (0, True, False, {"success": True})


def test_the_horizon_truncates():
    env = environment(horizon=2)
    env.reset(seed=0)
    assert [env.step(np.zeros(2))[2:4] for _ in range(2)] == [(False, False), (False, True)]


def test_images_of_a_maze_are_ogbenchs_bit_for_bit():
    env = environment("antmaze_medium_task1", observation="both")
    seen, _ = env.reset(seed=1)
    assert env.observation_space.contains(seen)
    np.testing.assert_array_equal(seen["state"], env.state()[2:])
    theirs = gymnasium.make(identifier("antmaze_medium_task1", images=True)).unwrapped
    theirs.reset(seed=1)
    theirs.set_state(env.inner.data.qpos, env.inner.data.qvel)
    np.testing.assert_array_equal(seen["image"], theirs.render())
    theirs.custom_renderer.close()
    env.close()


def test_videos_of_tasks_without_images_are_ogbenchs_own_view():
    env = environment()
    env.reset(seed=1)
    name = identifier("pointmaze_medium_task1", images=False)
    theirs = gymnasium.make(name, width=64, height=64).unwrapped
    theirs.reset(seed=1)
    theirs.set_state(env.inner.data.qpos, env.inner.data.qvel)
    np.testing.assert_array_equal(env.render(), theirs.render())
    theirs.custom_renderer.close()
    env.close()


@pytest.mark.filterwarnings("ignore:.*precision lowered")  # OGBench's own spaces
def test_images_of_the_arm_are_ogbenchs_and_a_seed_fixes_them():
    task = "cube_single_task1"
    env = environment(task, observation="pixels")
    first, _ = env.reset(seed=1)
    assert first.shape == (64, 64, 3)
    theirs = gymnasium.make(identifier(task, images=True), disable_env_checker=True).unwrapped
    theirs._render_height = theirs._render_width = 64
    theirs.get_pixel_observation = lambda: first  # spares two drawings
    theirs.reset(seed=1)
    theirs.set_state(env.inner.data.qpos, env.inner.data.qvel)
    np.testing.assert_array_equal(first, theirs.render())
    theirs._renderer.close()
    env.step(np.ones(5))
    np.testing.assert_array_equal(env.reset(seed=1)[0], first)
    env.close()


def test_a_seed_fixes_frames_whatever_came_before():
    seen = {"observation": "pixels", "rendering": "fast", "size": 32}
    env = environment("antmaze_medium_task1", **seen)
    frames = rollout(env, 1)
    rollout(env, 2, steps=1)
    np.testing.assert_array_equal(rollout(env, 1), frames)
    again = environment("antmaze_medium_task1", **seen)
    np.testing.assert_array_equal(rollout(again, 1), frames)
    assert (frames[0] != frames[-1]).any()
    for each in (env, again):
        each.close()


def test_conformance():
    check_environment(OGBench(task="pointmaze_medium_task2", observation="state"), steps=3)
    config = OGBench(task="antmaze_medium_task1", observation="both", rendering="fast", size=16)
    check_environment(config, steps=3)


def test_configuration_survives_a_file():
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    config = OGBench(task="puzzle_3x3_task5", rendering="fast", horizon=30)
    assert from_data("environments", to_data(config, registry), registry) == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "cube_singel_task1"}, "Did you mean 'cube_single_task1'"),
        ({"task": "cube_single_task6"}, "no OGBench task named 'cube_single_task6'"),
        ({"task": "powderworld-easy-play-v0"}, "discrete actions"),
        ({"task": "pointmaze_medium_task1"}, "no version of pointmaze_medium seen as images"),
        ({"size": 0}, "size is 0"),
        ({"horizon": 0}, "horizon is 0"),
    ],
)
def test_bad_settings_are_explained(settings, message):
    with pytest.raises(VRLError, match=message):
        OGBench(**settings)


def test_without_a_way_to_draw_states_work_and_images_are_refused(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "off")
    assert environment().reset(seed=0)[0].shape == (2,)
    with pytest.raises(VRLError, match="MUJOCO_GL=off switches drawing off"):
        OGBench(task="antmaze_medium_task1").build()


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"ogbench": None}, r"not installed.*pip install 'vrl-envs\[ogbench\]'"),
        ({"ogbench": "1.0.0"}, r"with ogbench 1\.2\.2.*here are ogbench 1\.0\.0"),
    ],
)
@pytest.mark.parametrize("config", [OGBench(), OGBenchDataset()])
def test_missing_and_other_releases_are_refused(monkeypatch, config, found, message):
    there = {**releases.OGBENCH.supported, **found}
    monkeypatch.setattr(releases, "installed", there.get)
    with pytest.raises(VRLError, match=message):
        config.build()
