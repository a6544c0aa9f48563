"""The environment `metaworld`: seeds, first states, rewards, ends, cameras, and what it refuses."""

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import vrl_envs.plugin
from vrl_core.config import from_data, to_data
from vrl_core.errors import VRLError
from vrl_core.evaluate import RandomPolicy, evaluate
from vrl_core.registry import Registry
from vrl_core.testing import check_environment
from vrl_envs import releases
from vrl_envs.metaworld.config import MetaWorld, MetaWorldDataset
from vrl_envs.metaworld.environment import FREE_CAMERAS, MetaWorldEnvironment, load_task
from vrl_envs.metaworld.tasks import CAMERAS, MOTO_TASKS, TASKS, TURNED_CAMERAS

import mujoco  # isort: skip
from dm_control.mujoco import MovableCamera, Physics, wrapper  # isort: skip
from metaworld.env_dict import ALL_V3_ENVIRONMENTS  # isort: skip
from metaworld.policies import ENV_POLICY_MAP, SawyerPlateSlideV3Policy  # isort: skip


def environment(task="drawer_open", **settings) -> MetaWorldEnvironment:
    return MetaWorldEnvironment(MetaWorld(**{"task": task, "observation": "state", **settings}))


def test_static_names_are_metaworlds_and_have_scripted_policies():
    assert set(TASKS.values()) == set(ALL_V3_ENVIRONMENTS) == set(ENV_POLICY_MAP)
    assert len(TASKS) == 51
    assert set(MOTO_TASKS) < set(TASKS)


@pytest.mark.parametrize("task", sorted(TASKS.keys() - MetaWorld.gallery().keys()))
def test_a_seed_is_an_episode_of_the_tasks_that_no_gallery_shows(task):
    """Those of the gallery are in `test_determinism.py`; this is all others."""
    env = environment(task, observation="both", size=16, rendering="fast")
    first, other, again = (episode(env, seed) for seed in (3, 4, 3))
    env.close()
    assert first == again
    assert first != other


def episode(env, seed):
    """Frames and whole states of an episode's start, as bytes."""
    actions, shown = np.random.default_rng(0), b""
    seen, _ = env.reset(seed=seed)
    for _ in range(3):
        shown += seen["image"].tobytes() + env.state().tobytes()
        seen, *_ = env.step(actions.uniform(-1, 1, 4).astype(np.float32))
    return shown + seen["image"].tobytes() + env.state().tobytes()


def test_unseeded_episodes_differ():
    env = environment()
    states = [env.reset()[0] for _ in range(2)] + [environment().reset()[0]]
    assert len({state.tobytes() for state in states}) == 3


def test_the_first_observation_shows_things_where_they_are():
    env = environment()
    for seed in range(2):
        first, _ = env.reset(seed=seed)
        following, *_ = env.step(np.zeros(4))
        np.testing.assert_allclose(first[4:7], following[4:7], atol=1e-3)  # the drawer's handle
        np.testing.assert_array_equal(first[18:36], first[:18])  # nothing came before
        assert np.abs(first[36:]).max() > 0.1  # the goal is seen


def test_sawyer_door_is_lompos():
    config = MetaWorld(task="sawyer_door_open")
    assert (config.size, config.camera, MetaWorld().size) == (128, "sawyer_door", 64)
    env = environment("sawyer_door_open")
    first, other = (env.reset(seed=seed)[0] for seed in (0, 1))
    np.testing.assert_array_equal(first, other)
    np.testing.assert_allclose(env.inner.data.body("door").xpos, [0.0, 1.0, 0.1525])


def test_rewards_are_metaworlds_summed_or_whether_the_task_is_solved():
    policy = SawyerPlateSlideV3Policy()
    sparse, dense = (environment("plate_slide", reward=name) for name in ("sparse", "dense"))
    sparse.reset(seed=0), dense.reset(seed=0)
    inner = load_task("plate_slide")
    inner.seed(0)
    inner.reset()
    mujoco.mj_forward(inner.model, inner.data)  # as the environment does for its first image
    outcomes = []
    for _ in range(32):
        action = np.clip(policy.get_action(dense.state()), -1, 1).astype(np.float32)
        steps = [inner.step(action) for _ in range(2)]
        solved = any(step[4]["success"] for step in steps)
        _, reward, terminated, truncated, info = dense.step(action)
        assert reward == sum(step[1] for step in steps)
        assert (info, terminated, truncated) == ({"success": solved}, False, False)
        assert sparse.step(action)[1] == float(solved)
        outcomes.append(solved)
    assert outcomes[0] is False
    assert outcomes[-1] is True


def test_the_horizon_truncates_and_cuts_the_last_repeat():
    env = environment(horizon=5, action_repeat=2)
    env.reset(seed=0)
    ends = [env.step(np.zeros(4))[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]
    assert env.inner.curr_path_length == 5


def test_evaluation_counts_successes():
    config = MetaWorld(observation="state", horizon=4)
    found = evaluate(RandomPolicy(4), config, episodes=2, seed=0, workers=0)
    assert found.successes is not None
    assert (found.successes.tolist(), found.lengths.tolist()) == ([False] * 2, [2] * 2)


def test_two_cameras_are_two_images_each_as_alone():
    both = environment(observation="pixels", size=16, camera="corner4+topview")
    seen, _ = both.reset(seed=3)
    for field, name in (("image", "corner4"), ("image_topview", "topview")):
        alone = environment(observation="pixels", size=16, camera=name)
        np.testing.assert_array_equal(seen[field], alone.reset(seed=3)[0])


def test_every_camera_is_upright_once_turned():
    data, model = environment().inner.data, environment().inner.model
    for name in set(CAMERAS) - set(FREE_CAMERAS):
        upwards = data.cam_xmat[model.camera(name).id].reshape(3, 3)[2, 1]
        assert upwards < 0 if name in TURNED_CAMERAS else upwards > -1e-9, name


def test_images_are_mujocos_turned_upright():
    corner, door = (
        environment(observation="both", size=16, camera=name) for name in ("corner4", "sawyer_door")
    )
    seen, from_door = corner.reset(seed=0)[0], door.reset(seed=0)[0]
    assert corner.observation_space.contains(seen)
    np.testing.assert_array_equal(seen["state"], corner.state()[:4].astype(np.float32))
    model = corner.inner.model
    physics = Physics.from_model(wrapper.MjModel(model))
    for name in ("qpos", "mocap_pos", "mocap_quat"):
        getattr(physics.data, name)[:] = getattr(corner.inner.data, name)
    physics.forward()
    expected = physics.render(16, 16, camera_id="corner4")
    np.testing.assert_array_equal(seen["image"], expected[::-1, ::-1])
    free = MovableCamera(physics, 16, 16)
    free.set_pose([0.075, 0.75, 0.15], distance=1.05, azimuth=115, elevation=-12.5)  # LOMPO's
    np.testing.assert_array_equal(from_door["image"], free.render())
    for env in (corner, door):
        env.close()


def test_conformance():
    check_environment(MetaWorld(size=8, rendering="fast", observation="both"), steps=3)
    check_env(environment(), skip_render_check=True)


def test_configuration_survives_a_file():
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    config = MetaWorld(task="bin_picking", camera="topview", reward="dense")
    data = to_data(config, registry)
    assert (data["name"], data["size"]) == ("metaworld", 64)
    assert from_data("environments", data, registry) == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "drawer_opne"}, "Did you mean 'drawer_open'"),
        ({"camera": "corner5"}, "Did you mean 'corner"),
        ({"reward": "shaped"}, "Known: dense, sparse"),
        ({"size": 0}, "size is 0"),
        ({"horizon": 501}, "longest is 500"),
        ({"horizon": 0}, "horizon is 0"),
    ],
)
def test_bad_settings_are_explained(settings, message):
    with pytest.raises(VRLError, match=message):
        MetaWorld(**settings)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"metaworld": None}, r"not installed.*pip install 'vrl-envs\[metaworld\]'"),
        (
            {"metaworld": "3.0.0", "mujoco": "4.0.0"},
            r"with metaworld 3\.1\.1, mujoco 3\.3\.0.*here are metaworld 3\.0\.0, mujoco 4\.0\.0",
        ),
        ({"dm_control": "1.0.50"}, r"dm_control 1\.0\.50.*pip install 'vrl-envs\[metaworld\]'"),
    ],
)
@pytest.mark.parametrize("config", [MetaWorld(), MetaWorldDataset()])
def test_missing_and_unsupported_releases_are_refused(monkeypatch, config, found, message):
    there = {**releases.METAWORLD.supported, **found}
    monkeypatch.setattr(releases, "installed", there.get)
    with pytest.raises(VRLError, match=message):
        config.build()
