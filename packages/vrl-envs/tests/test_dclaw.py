"""The environment `dclaw`: reward, motion, seeds, random dynamics, images, and what it refuses."""

import os
from pathlib import Path

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import vrl_envs.plugin
from tiny_dclaw import write_model
from vrl_core.config import from_data, to_data
from vrl_core.errors import VRLError
from vrl_core.evaluate import RandomPolicy, evaluate
from vrl_core.registry import Registry
from vrl_core.testing import check_environment
from vrl_envs.dclaw.assets import readable_model
from vrl_envs.dclaw.config import CAMERAS, TASKS, DClaw
from vrl_envs.dclaw.environment import DClawEnvironment, screw_reward
from vrl_envs.dclaw.model import ACTION_SCALE, RESET_POSE, limited_target
from vrl_envs.drawing import rendering

import mujoco  # isort: skip


@pytest.fixture(scope="module")
def assets(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("robel"))


@pytest.fixture
def robel() -> Path:
    folder = Path(os.environ.get("VRL_TEST_DATA", "")) / "dclaw"
    if not (folder / "robel-scenes").is_dir():
        pytest.skip("ROBEL's own model is not here: VRL_TEST_DATA names no folder with dclaw")
    return folder


def environment(assets, task="screw_fixed", **settings) -> DClawEnvironment:
    return DClawEnvironment(
        DClaw(**{"task": task, "observation": "state", "assets": assets, **settings})
    )


def rollout(env, seed, steps=5):
    """Observations, field by field, and rewards of an episode of uniform actions."""
    rng = np.random.default_rng(0)
    observation, _ = env.reset(seed=seed)
    seen, rewards = [observation], []
    for _ in range(steps):
        observation, reward, *_ = env.step(rng.uniform(-1, 1, 9))
        seen.append(observation)
        rewards.append(reward)
    if isinstance(observation, dict):
        return [np.stack([part[name] for part in seen]) for name in observation] + [rewards]
    return [np.stack(seen), rewards]


def same(one, other) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("error", "moved", "fast", "expected"),
    [
        (0.0, (0, 0), (0, 0), 60.0),
        (-0.09, (0, 0), (0, 0), -0.45 + 10 + 50),
        (0.2, (0.3, 0.4), (0, 0), -1.0 - 0.5 + 10),
        (-0.25, (0, 0), (0.49, -0.499), -1.25),
        (1.0, (0, 0), (-0.6, 0.8), -5.0 - 1.0),
        (1.0, (0, 0), (0.5, 0.4), -5.0 - 0.5),
    ],
)
def test_reward_is_robels(error, moved, fast, expected):
    positions, velocities = RESET_POSE.copy(), np.zeros(9)
    positions[[1, 5]] += moved
    velocities[[0, 8]] = fast
    assert screw_reward(error, positions, velocities) == pytest.approx(expected)


def test_actions_are_positions_within_reach_at_two_thirds_of_pi_a_second():
    reach = 2 * np.pi / 3 * 0.1
    action = np.array([1, -1, 1, 0.1, -1, 2 / 3, -0.1, -0.9, 0.5])
    expected = np.where(np.arange(9) == 0, reach, action * ACTION_SCALE)
    expected[2] = np.pi / 3 + reach
    expected[8] = np.pi / 3 - reach
    np.testing.assert_allclose(limited_target(action, RESET_POSE), expected)


def test_an_episode_starts_at_rest_and_follows_the_mark(assets):
    env = environment(assets, horizon=3)
    first, info = env.reset(seed=0)
    np.testing.assert_allclose(first[:9], RESET_POSE, rtol=1e-6)
    assert (first[9:].tolist(), info) == ([1, 0] + [0] * 10, {})
    action = np.linspace(-1.5, 0.5, 9)
    second, reward, *ends, info = env.step(action)
    np.testing.assert_allclose(second[11:20], np.clip(action, -1, 1), rtol=1e-6)
    positions, valve = second[:9].astype(float), np.arctan2(second[10], second[9])
    assert second[20] == pytest.approx(0.05 - valve, abs=1e-6)  # the mark moved first
    assert info == {"success": True, "points": pytest.approx(1 - abs(second[20]) / np.pi)}
    velocities = env.simulation.data.qvel[env.simulation.velocities[:-1]]
    assert reward == pytest.approx(screw_reward(float(second[20]), positions, velocities), rel=1e-5)
    assert ends == [False, False]
    assert [env.step(action)[2:4] for _ in range(2)] == [(False, False), (False, True)]
    assert env.simulation.data.time == pytest.approx(0.3)


def test_errors_wrap_and_the_target_does_not(assets):
    env = environment(assets)
    env.reset(seed=0)
    env.wanted, env.rate = np.pi - 0.01, 0.5
    error = env.step(np.zeros(9))[0][20]
    assert env.wanted == pytest.approx(np.pi + 0.04)
    assert error == pytest.approx(-np.pi + 0.04, abs=0.02)


def test_random_tasks_start_on_the_mark_at_any_angle(assets):
    env = environment(assets, "screw_random")
    starts = []
    for seed in range(20):
        first, _ = env.reset(seed=seed)
        assert np.arctan2(first[10], first[9]) == pytest.approx(env.wanted, abs=1e-6)
        assert first[20] == pytest.approx(0, abs=1e-9)
        starts.append((env.wanted, env.rate))
    lowest, highest = np.min(starts, 0), np.max(starts, 0)
    assert lowest[0] < -2 < 2 < highest[0] <= np.pi
    assert -0.75 <= lowest[1] < -0.4 < 0.4 < highest[1] <= 0.75
    fixed = environment(assets)
    fixed.reset(seed=1)
    assert (fixed.wanted, fixed.rate) == (0, 0.5)


@pytest.mark.parametrize("task", TASKS)
def test_a_seed_fixes_states_and_frames_whatever_came_before(assets, task):
    env = environment(assets, task, observation="both", size=16, rendering="fast")
    first = rollout(env, 3)
    other = rollout(env, 4)
    assert same(rollout(env, 3), first)
    again = environment(assets, task, observation="both", size=16, rendering="fast")
    assert same(rollout(again, 3), first)
    np.testing.assert_array_equal(first[1], rollout(environment(assets, task), 3)[0][:, :9])
    assert same(first, other) is (task == "screw_fixed")
    env.close(), again.close()


def test_unseeded_episodes_differ(assets):
    env = environment(assets, "screw_random")
    states = [env.reset()[0] for _ in range(2)]
    states.append(environment(assets, "screw_random").reset()[0])
    assert len({state.tobytes() for state in states}) == 3


def test_random_dynamics_change_the_model_within_robels_ranges(assets):
    env = environment(assets, "screw_random_dynamics")
    model, joints = env.simulation.model, env.simulation.velocities
    place = model.body("mount").pos.copy()
    drawn = []
    for seed in (1, 2, 1):
        env.reset(seed=seed)
        stiffness = model.actuator_gainprm[:, 0]
        assert (stiffness == -model.actuator_biasprm[:, 1]).all()
        assert len(set(stiffness)) == 1
        assert (np.abs(model.body("mount").pos - place) <= 0.01).all()
        values = (model.dof_damping[joints], model.dof_frictionloss[joints], stiffness,
                  *model.geom_friction.T, model.geom("mount").rgba[:3])  # fmt: skip
        drawn.append(np.concatenate(values))
        bounds = ((0.005, 0.1), (0.001, 0.005), (1, 3), (0.8, 1.2), (0.003, 0.007),
                  (0.00005, 0.00015), (0.2, 0.9))  # fmt: skip
        for value, (low, high) in zip(values, bounds, strict=True):
            assert low <= value.min() <= value.max() <= high
    assert (drawn[0] != drawn[1]).all()
    np.testing.assert_array_equal(drawn[0], drawn[2])


def test_random_dynamics_are_read_with_noise(assets):
    env = environment(assets, "screw_random_dynamics")
    readings = np.stack([env.reset(seed=seed)[0] for seed in range(100)])
    claw = np.abs(readings[:, :9] - RESET_POSE).max(0) / (0.05 * ACTION_SCALE)
    assert (claw < 1).all()
    assert (claw > 0.8).all()
    assert 0.1 < np.abs(readings[:, 20]).max() < 0.05 * np.pi
    moved = [rollout(env, seed)[0][-1] for seed in (1, 2)]
    assert (moved[0] != moved[1]).any()


def test_images_show_the_wanted_angle_from_every_camera(assets):
    for camera in CAMERAS:
        env = environment(assets, observation="pixels", size=32, camera=camera, rendering="fast")
        image, _ = env.reset(seed=0)
        assert env.observation_space.contains(image)
        assert image.std() > 5
        env.simulation.turn_mark(np.pi / 2)
        env.forget_frames()
        assert (env.render() != image).any()
        env.close()


def test_images_are_of_the_state_and_not_of_the_substep_before(assets):
    env = environment(assets, observation="both", size=24, rendering="fast")
    env.reset(seed=0)
    for _ in range(2):
        seen = env.step(np.ones(9))[0]
    env.simulation.data.qacc_warmstart[:] = 0
    mujoco.mj_forward(env.simulation.model, env.simulation.data)
    env.forget_frames()
    np.testing.assert_array_equal(env.render(), seen["image"])
    assert seen["state"].shape == (9,)
    env.close()


def test_states_need_nothing_that_draws(assets, monkeypatch):
    def broken() -> str:
        raise VRLError("Nothing draws here.")

    monkeypatch.setattr(rendering, "require_backend", broken)
    rollout(environment(assets), 0, 1)
    with pytest.raises(VRLError, match="Nothing draws here"):
        environment(assets, observation="both")


def test_bad_actions_are_refused(assets):
    env = environment(assets)
    env.reset(seed=0)
    for action in (np.zeros(8), np.full(9, np.nan)):
        with pytest.raises(VRLError, match="9 finite numbers"):
            env.step(action)


def test_conformance(assets):
    settings = {"size": 8, "rendering": "fast", "assets": assets}
    check_environment(DClaw(task="screw_random_dynamics", **settings), steps=3)
    check_env(environment(assets, "screw_random"), skip_render_check=True)


def test_evaluation_counts_successes(assets):
    config = DClaw(observation="state", horizon=4, assets=assets)
    found = evaluate(RandomPolicy(9), config, episodes=2, seed=0, workers=0)
    assert found.successes is not None
    assert found.lengths.tolist() == [4] * 2


def test_configuration_survives_a_file(assets):
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    config = DClaw(task="screw_random", camera="targeting", assets=assets)
    data = to_data(config, registry)
    assert (data["name"], data["size"], DClaw().horizon) == ("dclaw", 128, 80)
    assert from_data("environments", data, registry) == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "screw_fix"}, "Did you mean 'screw_fixed'"),
        ({"camera": "target"}, "Did you mean 'targeting'"),
        ({"size": 0}, "size is 0"),
        ({"horizon": 0}, "horizon is 0"),
        ({"observation": "image"}, "Known: both, pixels, state"),
    ],
)
def test_bad_settings_are_explained(settings, message):
    with pytest.raises(VRLError, match=message):
        DClaw(**settings)


def test_robels_own_model_moves_as_in_mujoco_alone(robel):
    env = environment(robel, "screw_random")
    state, _ = env.reset(seed=0)
    with readable_model(robel) as path:
        model = mujoco.MjModel.from_xml_path(str(path))  # with the second, hidden claw
    data, valve = mujoco.MjData(model), model.joint("valve_OBJRx").qposadr[0]
    data.qpos[:9], data.qpos[valve] = RESET_POSE, env.wanted
    assert (model.nq, env.simulation.model.nq, valve) == (19, 10, 18)
    rng, limits = np.random.default_rng(0), np.array([0.48, np.pi / 3, np.pi / 2] * 3)
    for _ in range(10):
        action = rng.uniform(-1, 1, 9)
        data.ctrl[:] = np.clip(limits * action, data.qpos[:9] - 0.20944, data.qpos[:9] + 0.20944)
        mujoco.mj_step(model, data, 40)
        state = env.step(action)[0]
        np.testing.assert_allclose(state[:9], data.qpos[:9], atol=1e-4)
    assert np.arctan2(state[10], state[9]) == pytest.approx(data.qpos[valve], abs=1e-3)
