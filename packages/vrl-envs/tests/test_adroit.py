"""The environment `adroit`: seeds, proprioception, rewards, ends, cameras, and what it refuses."""

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import vrl_envs.plugin
from vrl_core.config import from_data, to_data
from vrl_core.errors import VRLError
from vrl_core.registry import Registry
from vrl_core.testing import check_environment
from vrl_envs import releases as releases_module
from vrl_envs.adroit.config import Adroit, AdroitDataset
from vrl_envs.adroit.environment import AdroitEnvironment
from vrl_envs.adroit.tasks import ADROIT_TASKS, BLANK_CAMERAS, cameras_of

from dm_control.mujoco import Physics, wrapper  # isort: skip

TASKS = sorted(ADROIT_TASKS)


def environment(task="adroit_pen", **settings) -> AdroitEnvironment:
    return AdroitEnvironment(Adroit(**{"task": task, "observation": "state", **settings}))


@pytest.fixture(scope="module")
def environments():
    """One environment of each task, on states."""
    return {task: environment(task) for task in TASKS}


def rollout(env, seed, steps=5):
    found = [env.reset(seed=seed)[0]]
    rng = np.random.default_rng(0)
    return [*found, *(env.step(rng.uniform(-1, 1, env.task.action_size))[0] for _ in range(steps))]


@pytest.mark.parametrize("task", TASKS)
def test_what_is_known_of_a_task_is_the_librarys(environments, task):
    env = environments[task]
    inner, facts = env.inner, env.task
    assert inner.observation_space.shape == (facts.observation_size,)
    assert inner.action_space.shape == (facts.action_size,)
    assert (inner.model.nq, inner.model.nv) == (facts.joints, facts.joints)
    cameras = {inner.model.camera(number).name for number in range(inner.model.ncam)}
    blank = set(BLANK_CAMERAS) if task == "adroit_pen" else set()
    assert cameras == set(cameras_of(task)) | blank


@pytest.mark.parametrize("task", TASKS)
def test_proprioception_is_the_joints_of_hand_and_arm_alone(environments, task):
    env = environments[task]
    state = rollout(env, 0)[-1]
    facts, model = env.task, env.inner.model
    joints = range(facts.first_joint, facts.first_joint + facts.proprioception)
    np.testing.assert_array_equal(
        state[: facts.proprioception], env.inner.data.qpos[joints.start : joints.stop].astype("f4")
    )
    moved = {int(model.actuator(number).trnid[0]) for number in range(model.nu)}
    assert set(joints) | set(range(facts.first_joint)) == moved  # all that have an actuator


@pytest.mark.parametrize("task", TASKS)
def test_a_seed_fixes_the_episode_whatever_came_before(environments, task):
    env = environments[task]
    first, other = rollout(env, 3), rollout(env, 4)
    # A recorded scene may move what no reset draws.
    moved = env.simulator_state()
    layout = {name: moved[name] + 0.05 for name in env.task.layout}
    env.place(moved["qpos"], moved["qvel"], layout)
    np.testing.assert_array_equal(rollout(env, 3), first)
    np.testing.assert_array_equal(rollout(environment(task), 3), first)
    assert (other[0] != first[0]).any()


def test_a_seed_fixes_the_frames():
    images = []
    for before in (0, 3):
        env = environment(observation="both", size=32, rendering="fast")
        rollout(env, 7, before)
        images.append(np.stack([each["image"] for each in rollout(env, 3)]))
        env.close()
    np.testing.assert_array_equal(*images)
    assert len(np.unique(images[0], axis=0)) > 1


def test_unseeded_episodes_differ(environments):
    env = environment()
    states = [env.reset()[0] for _ in range(2)] + [environment().reset()[0]]
    assert len({state.tobytes() for state in states}) == 3


@pytest.mark.parametrize("task", TASKS)
def test_a_placed_state_goes_on_as_the_episode_did(environments, task):
    env = environments[task]
    rollout(env, 5)
    recorded = env.simulator_state()
    layout = {name: recorded[name] for name in env.task.layout}
    action = np.full(env.task.action_size, 0.3)
    expected = env.step(action)[0]
    env.place(recorded["qpos"], recorded["qvel"], layout)
    again = env.step(action)[0]
    # The solver's warm start is no part of a recorded state.
    np.testing.assert_allclose(again, expected, atol=2e-2)
    positions = np.concatenate([again[each] - expected[each] for each in env.task.positions])
    assert np.abs(positions).max() < 1e-3


def test_rewards_are_the_librarys_or_dapgs_or_sparse():
    action = np.full(28, 0.2)
    rewards = {}
    for name in ("dense", "d4rl", "sparse"):
        env = environment("adroit_door", reward=name)
        env.reset(seed=0)
        rewards[name] = env.step(action)[1]
    data, model = env.inner.data, env.inner.model
    palm, handle = (data.site_xpos[model.site(name).id] for name in ("S_grasp", "S_handle"))
    reach = np.linalg.norm(palm - handle)
    hinge = data.qpos[-2]
    # DAPG's reward of a closed door
    paid = -0.1 * reach - 0.1 * (hinge - 1.57) ** 2 - 1e-5 * (data.qvel**2).sum()
    assert rewards["d4rl"] == pytest.approx(paid)
    assert rewards["dense"] == pytest.approx(paid + 0.2 * reach)
    assert rewards["sparse"] == -0.1


@pytest.mark.parametrize(
    ("task", "palm", "thing"),
    [("adroit_hammer", "S_grasp", "Object"), ("adroit_relocate", "S_grasp", "Object")],
)
def test_d4rls_reward_differs_by_the_way_to_the_object(task, palm, thing):
    rewards = []
    for name in ("dense", "d4rl"):
        env = environment(task, reward=name)
        env.reset(seed=0)
        rewards.append(env.step(np.zeros(env.task.action_size))[1])
    data, model = env.inner.data, env.inner.model
    way = np.linalg.norm(data.site_xpos[model.site(palm).id] - data.xpos[model.body(thing).id])
    assert rewards[0] - rewards[1] == pytest.approx(0.2 * way)


def test_a_fallen_pen_ends_the_episode_if_asked_to():
    fallen = {}
    for ends in (False, True):
        env = environment(terminate_when_dropped=ends)
        env.reset(seed=0)
        state = env.simulator_state()
        assert env.step(np.zeros(24))[2:4] == (False, False)
        state["qpos"][24] += 0.19  # the pen's first joint points down
        env.place(state["qpos"], state["qvel"], {"desired_orien": state["desired_orien"]})
        fallen[ends] = env.step(np.zeros(24))
    assert fallen[True][2:4] == (True, False)
    assert fallen[False][2:4] == (False, False)
    assert fallen[True][1] == fallen[False][1] < -4


def test_success_is_a_goal_that_was_there_for_more_than_the_papers_steps(environments, monkeypatch):
    for task, needed in (("adroit_pen", 20), ("adroit_door", 25)):
        env = environments[task]
        env.reset(seed=0)
        inner, calls = env.inner.step, []

        def step(action, inner=inner, calls=calls):
            state, reward, *ends, _ = inner(action)
            calls.append(action)
            return state, reward, *ends, {"success": len(calls) != 3}

        monkeypatch.setattr(env.inner, "step", step)
        told = [env.step(np.zeros(env.task.action_size))[4] for _ in range(needed + 2)]
        assert [each["goal"] for each in told[:4]] == [True, True, False, True]
        assert [each["success"] for each in told] == [False] * (needed + 1) + [True]
        monkeypatch.undo()


def test_the_horizon_truncates_and_cuts_the_last_repeat():
    env = environment(horizon=5, action_repeat=2)
    env.reset(seed=0)
    whole = environment(horizon=5)
    whole.reset(seed=0)
    action = np.full(24, 0.1)
    steps = [env.step(action) for _ in range(3)]
    assert [step[2:4] for step in steps] == [(False, False), (False, False), (False, True)]
    single = [whole.step(action) for _ in range(5)]
    assert steps[0][1] == pytest.approx(single[0][1] + single[1][1])
    np.testing.assert_array_equal(steps[-1][0], single[-1][0])
    assert single[-1][2:4] == (False, True)


def test_images_are_mujocos():
    env = environment(observation="both", size=24, camera="view_1")
    seen = env.reset(seed=0)[0]
    assert env.observation_space.contains(seen)
    np.testing.assert_array_equal(seen["state"], env.state()[:24].astype(np.float32))
    physics = Physics.from_model(wrapper.MjModel(env.inner.model))
    physics.data.qpos[:] = env.inner.data.qpos
    physics.forward()
    np.testing.assert_array_equal(seen["image"], physics.render(24, 24, camera_id="view_1"))
    env.close()


def test_conformance(environments):
    check_environment(Adroit(size=8, rendering="fast"), steps=3)
    check_env(environments["adroit_hammer"], skip_render_check=True)


def test_configuration_survives_a_file():
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    config = Adroit(task="adroit_relocate", camera="fixed", reward="d4rl")
    data = to_data(config, registry)
    assert (data["name"], data["size"], data["observation"]) == ("adroit", 128, "both")
    assert from_data("environments", data, registry) == config


def test_scores_are_d4rls_for_episodes_as_d4rls():
    assert Adroit().references() is None  # twice as long, and a fallen pen costs on
    theirs = Adroit(horizon=100, terminate_when_dropped=True)
    assert theirs.published_score(3076.8331017826877) == pytest.approx(100)
    assert Adroit(task="adroit_door", reward="d4rl").published_score(-56.512833) == 0
    assert Adroit(task="adroit_door", reward="sparse").published_score(0.0) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "adroit_pan"}, "Did you mean 'adroit_pen'"),
        ({"camera": "view_3"}, r"sees nothing but its underside\. Choose one of vil_camera"),
        ({"task": "adroit_door", "camera": "view_1"}, "camera of adroit_door"),
        ({"camera": "fixed+view_5"}, "Camera view_5 stands below"),
        ({"camera": "fixed+fixed"}, "have one twice"),
        ({"camera": "vil_cam"}, "Did you mean 'vil_camera'"),
        ({"reward": "shaped"}, "Known: d4rl, dense, sparse"),
        ({"size": 0}, "size is 0"),
        ({"horizon": 0}, "horizon is 0"),
        ({"task": "adroit_door", "terminate_when_dropped": True}, "adroit_door has no pen"),
    ],
)
def test_bad_settings_are_explained(settings, message):
    with pytest.raises(VRLError, match=message):
        Adroit(**settings)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (
            {"gymnasium-robotics": None},
            r"Gymnasium Robotics is not installed.*'vrl-envs\[robotics\]'",
        ),
        (
            {"gymnasium-robotics": "1.4.3"},
            r"with gymnasium-robotics 1\.4\.2, .*here are gymnasium-robotics 1\.4\.3",
        ),
        ({"mujoco": "3.17.0"}, r"mujoco 3\.17\.0.*'vrl-envs\[robotics\]'"),
    ],
)
@pytest.mark.parametrize("config", [Adroit(), AdroitDataset()])
def test_missing_and_other_releases_are_refused(monkeypatch, config, found, message):
    releases = {**releases_module.ROBOTICS.supported, **found}
    monkeypatch.setattr(releases_module, "installed", releases.get)
    with pytest.raises(VRLError, match=message):
        config.build()


def test_states_need_no_drawing(monkeypatch):
    def cannot_draw(*_):
        raise AssertionError("nothing should be drawn")

    monkeypatch.setattr("vrl_envs.simulated.SharedRenderer", cannot_draw)
    rollout(environment(), 0, 1)


def test_a_ball_is_where_d4rl_says_and_reset_puts_it_back(environments):
    env = environments["adroit_relocate"]
    env.reset(seed=0)
    state = env.simulator_state()
    state["qpos"][30:33] = (0.05, -0.1, 0.02)  # since it began
    layout = {"obj_pos": np.array([0.1, 0.05, 0.055]), "target_pos": np.array([0.1, 0.1, 0.3])}
    env.place(state["qpos"], state["qvel"], layout)
    body, site = (env.inner.data.body("Object").xpos, env.inner.data.site("target").xpos)
    np.testing.assert_allclose(body, layout["obj_pos"], atol=1e-12)
    np.testing.assert_allclose(site, layout["target_pos"], atol=1e-12)
    env.reset(seed=0)
    assert env.inner.data.body("Object").xpos[2] == pytest.approx(0.035)
