"""The environment `desk`: its arm, its drawer, seeds, frames, rewards, and what it refuses."""

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import vrl_envs.plugin
from vrl_core.config import from_data, to_data
from vrl_core.errors import VRLError
from vrl_core.registry import Registry
from vrl_core.testing import check_environment
from vrl_envs.desk.arm import DOWNWARDS, HOME, JOINTS
from vrl_envs.desk.behaviour import closing_action
from vrl_envs.desk.config import Desk
from vrl_envs.desk.environment import (
    CLOSED,
    CLUTTER_DISTANCE,
    FIRST_OPENINGS,
    FIRST_TIPS,
    STEP,
    WORKSPACE,
    DeskEnvironment,
    clutter_places,
)

import mujoco  # isort: skip

STILL = np.zeros(3, np.float32)
PANDA = (
    # a, d, alpha of Craig's convention, then the joint's limits; Franka Emika, "Control Parameters"
    (0.0, 0.333, 0.0, -2.8973, 2.8973),
    (0.0, 0.0, -np.pi / 2, -1.7628, 1.7628),
    (0.0, 0.316, np.pi / 2, -2.8973, 2.8973),
    (0.0825, 0.0, np.pi / 2, -3.0718, -0.0698),
    (-0.0825, 0.384, -np.pi / 2, -2.8973, 2.8973),
    (0.0, 0.0, np.pi / 2, -0.0175, 3.7525),
    (0.088, 0.0, np.pi / 2, -2.8973, 2.8973),
)
FLANGE, FINGERS = 0.107, 0.1034


def environment(**settings) -> DeskEnvironment:
    return DeskEnvironment(Desk(**{"observation": "state", **settings}))


def turn(angle: float, axis: int) -> np.ndarray:
    matrix = np.eye(4)
    one, two = [index for index in range(3) if index != axis]
    matrix[[one, two], [one, two]] = np.cos(angle)
    sign = -1 if axis == 1 else 1
    matrix[two, one], matrix[one, two] = sign * np.sin(angle), -sign * np.sin(angle)
    return matrix


def shift(x: float, z: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[0, 3], matrix[2, 3] = x, z
    return matrix


def pandas_hand(angles: np.ndarray) -> np.ndarray:
    """The pose of the fingertips by the published parameters, as a 4 x 4 matrix."""
    pose = np.eye(4)
    for angle, (a, d, alpha, *_) in zip(angles, PANDA, strict=True):
        pose = pose @ turn(alpha, 0) @ shift(a, 0) @ turn(angle, 2) @ shift(0, d)
    return pose @ shift(0, FLANGE) @ turn(-np.pi / 4, 2) @ shift(0, FINGERS)


def test_the_arm_has_the_pandas_kinematics_and_limits():
    env = environment()
    model, data = env._model, env._data
    for name, (*_, low, high) in zip(JOINTS, PANDA, strict=True):
        assert model.joint(name).range.tolist() == [low, high]
    rng = np.random.default_rng(0)
    for _ in range(5):
        angles = rng.uniform(*env.arm.limits.T)
        data.qpos[env.arm.positions] = angles
        mujoco.mj_kinematics(model, data)
        expected = pandas_hand(angles)
        np.testing.assert_allclose(env.tip(), expected[:3, 3], atol=1e-6)
        turned = data.site("tip").xmat.reshape(3, 3)
        np.testing.assert_allclose(turned, expected[:3, :3], atol=1e-6)


def test_the_arm_reaches_places_with_its_hand_down_and_its_joints_within_limits():
    env = environment()
    for target in ((0.35, 0.2, 0.15), (0.6, -0.2, 0.4), (0.5, 0.0, 0.3)):
        angles = env.arm.reach(HOME, np.array(target), iterations=40)
        assert (angles >= env.arm.limits[:, 0]).all()
        assert (angles <= env.arm.limits[:, 1]).all()
        pose = pandas_hand(angles)
        np.testing.assert_allclose(pose[:3, 3], target, atol=2e-3)
        np.testing.assert_allclose(pose[:3, :3], DOWNWARDS, atol=2e-2)
    far = env.arm.reach(HOME, np.array([5.0, 0.0, 0.0]), iterations=40)
    assert (far >= env.arm.limits[:, 0]).all()
    assert (far <= env.arm.limits[:, 1]).all()


def test_actions_move_the_hand_along_their_axes_and_no_further_than_a_step():
    env = environment()
    for axis in range(3):
        for sign in (-1, 1):
            env.reset(seed=1)
            before, action = env.tip(), np.zeros(3)
            action[axis] = sign if axis < 2 else -1
            env.step(action)
            moved = env.tip() - before
            assert 0.5 * STEP < moved[axis] * action[axis] < 1.2 * STEP
            assert np.abs(np.delete(moved, axis)).max() < 0.1 * STEP
    env.reset(seed=1)
    large, unit = [(env.reset(seed=1), env.step(s * np.ones(3)))[1][0] for s in (9, 1)]
    np.testing.assert_array_equal(large, unit)


def test_the_hand_stays_within_its_workspace_and_a_still_one_stays_where_it_is():
    env = environment()
    env.reset(seed=0)
    for _ in range(25):
        env.step(np.array([-1.0, 1.0, 1.0]))
    assert (env.tip() >= WORKSPACE[:, 0] - 0.01).all()
    assert (env.tip() <= WORKSPACE[:, 1] + 0.01).all()
    before = env.tip()
    for _ in range(5):
        env.step(STILL)
    np.testing.assert_allclose(env.tip(), before, atol=3e-3)


def test_the_drawer_stays_where_it_is_left():
    env = environment()
    env.reset(seed=0)
    first = env.opening()
    for _ in range(20):
        env.step(STILL)
    assert env.opening() == pytest.approx(first, abs=1e-4)
    # pushed part of the way, then left: the hand goes back up
    while env.opening() > first - 0.05:
        env.step(closing_action(env))
    for _ in range(8):
        env.step(np.array([-1.0, 0.0, 0.0]))
    left = env.opening()
    assert CLOSED < left < first - 0.04
    for _ in range(10):
        env.step(STILL)
    assert env.opening() == pytest.approx(left, abs=1e-3)


def test_pushing_the_handle_closes_the_drawer_which_is_the_reward():
    env = environment()
    env.reset(seed=2)
    outcomes = []
    for _ in range(40):
        _, reward, terminated, truncated, info = env.step(closing_action(env))
        assert (reward, terminated, truncated) == (float(info["success"]), False, False)
        assert info["success"] == (info["opening"] <= CLOSED)
        outcomes.append(info["success"])
    assert outcomes[0] is False
    assert outcomes[-1] is True


def test_episodes_begin_open_above_the_desk_with_clutter_apart():
    env = environment()
    for seed in range(6):
        state, info = env.reset(seed=seed)
        assert info["success"] is False
        assert FIRST_OPENINGS[0] <= info["opening"] <= FIRST_OPENINGS[1]
        np.testing.assert_array_less(FIRST_TIPS[:, 0] - 0.01, state[7:10])
        np.testing.assert_array_less(state[7:10], FIRST_TIPS[:, 1] + 0.01)
    places = clutter_places(np.random.default_rng(0))
    gaps = np.linalg.norm(places[:, None] - places[None], axis=-1)[np.triu_indices(3, 1)]
    assert gaps.min() > CLUTTER_DISTANCE


def rollout(env, seed, steps=6):
    observations, rng = [env.reset(seed=seed)[0]], np.random.default_rng(0)
    for _ in range(steps):
        observations.append(env.step(rng.uniform(-1, 1, 3))[0])
    return observations


def test_a_seed_fixes_states_and_frames_whatever_came_before():
    env = environment(observation="both", size=24, rendering="fast")
    first, other = rollout(env, 3), rollout(env, 4, steps=12)
    again = rollout(env, 3)
    fresh = rollout(environment(observation="both", size=24, rendering="fast"), 3)
    for one, two, three in zip(first, again, fresh, strict=True):
        for name in ("image", "state"):
            np.testing.assert_array_equal(one[name], two[name])
            np.testing.assert_array_equal(one[name], three[name])
    assert (first[0]["image"] != other[0]["image"]).any()
    env.close()
    blind = environment()
    states = [blind.reset()[0] for _ in range(2)] + [environment().reset()[0]]
    assert len({state.tobytes() for state in states}) == 3


def test_the_overhead_camera_shows_how_far_the_drawer_is_open():
    env = environment(observation="pixels", rendering="fast")
    frames = []
    for opening in (0.0, 0.15):
        env.reset(seed=0)
        env._data.qpos[env._drawer.qposadr[0]] = opening
        mujoco.mj_forward(env._model, env._data)
        env.forget_frames()
        frames.append(env.render())
    light = [(frame.min(-1) > 200).sum() for frame in frames]  # the drawer's inside
    assert light[1] > light[0] + 50
    side = environment(camera="side", rendering="fast")
    assert side.render().shape == (64, 64, 3)
    assert (side.render() != env.render()).any()
    side.close()
    env.close()


def test_the_horizon_truncates():
    env = environment(horizon=3)
    env.reset(seed=0)
    assert [env.step(STILL)[2:4] for _ in range(3)] == [(False, False)] * 2 + [(False, True)]


def test_observations_and_conformance():
    env = environment(observation="both", size=8)
    seen, _ = env.reset(seed=0)
    assert env.observation_space.contains(seen)
    np.testing.assert_array_equal(seen["state"], env.state()[:10].astype(np.float32))
    assert (len(env.state()), env.metadata["render_fps"]) == (25, pytest.approx(10))
    env.close()
    check_environment(Desk(size=8, rendering="fast", observation="both"), steps=3)
    check_env(environment(), skip_render_check=True)


def test_states_need_no_way_to_draw(monkeypatch):
    def nothing():
        raise VRLError("MuJoCo cannot draw on this machine.")

    monkeypatch.setattr("vrl_envs.drawing.rendering.require_backend", nothing)
    assert environment().reset(seed=0)[0].shape == (25,)
    with pytest.raises(VRLError, match="cannot draw"):
        environment(observation="pixels")


def test_configuration_survives_a_file():
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    for config in (Desk(camera="side", size=32), Desk(reward="learned", classifier="x/closed")):
        assert from_data("environments", to_data(config, registry), registry) == config
    assert to_data(Desk(), registry)["name"] == "desk"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "drawer_closing"}, "Did you mean 'drawer_closing_stand_in'"),
        ({"camera": "overhed"}, "Did you mean 'overhead'"),
        ({"reward": "sparse"}, "Known: learned, true"),
        ({"reward": "learned"}, "reward is 'learned' and the classifier None"),
        ({"classifier": "closed"}, "reward is 'true' and the classifier closed"),
        ({"size": 0}, "size is 0"),
        ({"horizon": 0}, "horizon is 0"),
    ],
)
def test_bad_settings_are_explained(settings, message):
    with pytest.raises(VRLError, match=message):
        Desk(**settings)
