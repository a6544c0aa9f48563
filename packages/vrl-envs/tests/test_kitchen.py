"""The environment `kitchen`: objects, rewards, ends, seeds, pictures, and what it refuses."""

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import vrl_envs.plugin
from vrl_core.config import from_data, to_data
from vrl_core.errors import VRLError
from vrl_core.registry import Registry
from vrl_core.testing import check_environment
from vrl_envs import releases
from vrl_envs.drawing.mesh_detail import coarse_meshes, distinct_triangles, representatives
from vrl_envs.drawing.rendering import SharedRenderer
from vrl_envs.kitchen.config import Kitchen, KitchenDataset
from vrl_envs.kitchen.environment import CAMERAS, MESH_DETAIL, KitchenEnvironment
from vrl_envs.kitchen.tasks import OBJECTS, TASKS

from gymnasium_robotics.envs.franka_kitchen import kitchen_env  # isort: skip

MICROWAVE, SWITCH = 22, (17, 18)
"""Where the joints of two objects stand in the positions."""


@pytest.fixture(scope="module")
def kitchen():
    """One kitchen for all tests: it takes a second to load."""
    env = KitchenEnvironment(Kitchen(size=16, rendering="fast", observation="both", horizon=12))
    yield env
    env.close()


def configured(env, **settings):
    """The loaded kitchen with other settings, without its drawing."""
    changed = Kitchen(**{"observation": "state", "horizon": 12, **settings})
    env.config, env.objects, env.horizon = changed, changed.object_names(), changed.horizon
    env.observation_space = env._space()
    return env


def rollout(env, seed, steps=3):
    states = [env.reset(seed=seed)[0]]
    rng = np.random.default_rng(0)
    return np.stack(states + [env.step(rng.uniform(-1, 1, 9))[0] for _ in range(steps)])


def with_open_microwave(env):
    env.reset(seed=0)
    positions = env.inner.data.qpos.copy()
    positions[MICROWAVE] = -0.75
    env.show(positions)
    return env


def test_objects_are_the_simulators_and_moto_swaps_two_tasks():
    assert set(OBJECTS.values()) == set(kitchen_env.OBS_ELEMENT_GOALS)
    assert (TASKS["kitchen_mixed"], TASKS["kitchen_partial"]) == (
        TASKS["kitchen_moto_partial"],
        TASKS["kitchen_moto_mixed"],
    )
    assert set(TASKS["kitchen_mixed"]) ^ set(TASKS["kitchen_partial"]) == {
        "bottom_burner",
        "slide_cabinet",
    }


def test_images_and_joints_are_observed_together(kitchen):
    seen, _ = kitchen.reset(seed=0)
    assert kitchen.observation_space.contains(seen)
    assert (seen["image"].shape, seen["state"].shape) == ((16, 16, 3), (9,))
    np.testing.assert_array_equal(seen["state"], kitchen.state()[:9].astype(np.float32))
    np.testing.assert_allclose(seen["state"], kitchen.inner.data.qpos[:9], atol=1.1e-3)
    assert len(np.unique(seen["image"].reshape(-1, 3), axis=0)) > 40


def test_a_seed_fixes_states_and_frames_whatever_came_before(kitchen):
    frames = []
    for seed in (3, 4, 3):
        kitchen.reset(seed=seed)
        kitchen.step(np.full(9, 0.5))
        frames.append((kitchen.render(), kitchen.state()))
    np.testing.assert_array_equal(frames[0][0], frames[2][0])
    np.testing.assert_array_equal(frames[0][1], frames[2][1])
    assert (frames[0][1] != frames[1][1]).any()


def test_fast_leaves_out_what_is_small_on_the_arm_alone(kitchen):
    kitchen.reset(seed=0)
    model, data = kitchen.inner.model, kitchen.inner.data
    faces = model.mesh_face.copy()
    fine, coarse = (
        SharedRenderer("detail", model, 64, CAMERAS["central"], "fast", mesh_detail=detail)
        for detail in (0.0, MESH_DETAIL)
    )
    np.testing.assert_array_equal(model.mesh_face, faces)  # the simulator's own are put back
    pictures = [renderer.render(model, data).astype(int) for renderer in (fine, coarse)]
    differing = np.abs(pictures[0] - pictures[1]).max(axis=-1) > 30
    assert 0 < differing.mean() < 0.02
    with coarse_meshes(model, MESH_DETAIL):
        assert model.mesh_facenum.sum() < len(faces) / 4
    fine.close(), coarse.close()


def test_vertices_of_a_cube_become_the_one_nearest_to_their_middle():
    vertices = np.array([[0.1, 0, 0], [0.4, 0, 0], [0.9, 0, 0], [1.1, 0, 0]])
    np.testing.assert_array_equal(representatives(vertices, 1.0), [1, 1, 1, 3])
    faces = np.array([[0, 1, 2], [0, 0, 2], [2, 0, 1], [1, 2, 3]])
    np.testing.assert_array_equal(distinct_triangles(faces), [0, 3])


def test_states_are_the_simulators_and_noise_is_the_seeds(kitchen):
    env = configured(kitchen)
    first, other = rollout(env, 0), rollout(env, 1)
    np.testing.assert_array_equal(rollout(env, 0), first)
    assert first.shape == (4, 59)
    assert 0 < np.abs(other[0] - first[0])[:9].max() < 2.1e-3  # 0.01 of 0.1 rad, either way
    unseeded = {env.reset()[0].tobytes() for _ in range(2)}
    assert len(unseeded) == 2


def test_presence_pays_at_each_step_and_goes_on(kitchen):
    env = with_open_microwave(configured(kitchen, objects="microwave+kettle"))
    outcomes = [env.step(np.zeros(9)) for _ in range(2)]
    assert [outcome[1] for outcome in outcomes] == [1.0, 1.0]
    assert outcomes[1][4] == {"success": False, "in_place": 1, "completed": 1}
    single = with_open_microwave(configured(kitchen, task="kitchen_microwave", action_repeat=2))
    _, reward, terminated, truncated, info = single.step(np.zeros(9))
    assert (reward, terminated, truncated, info["success"]) == (2.0, False, False, True)


def test_completions_pay_once_and_end(kitchen):
    env = with_open_microwave(
        configured(kitchen, objects="microwave+light_switch", reward="completions")
    )
    outcomes = [env.step(np.zeros(9)) for _ in range(2)]
    assert [outcome[1:3] for outcome in outcomes] == [(1.0, False), (0.0, False)]
    positions = env.inner.data.qpos.copy()
    positions[MICROWAVE], positions[list(SWITCH)] = 0.0, (-0.69, -0.05)
    env.show(positions)  # the door is shut again, but has been open
    _, reward, terminated, truncated, info = env.step(np.zeros(9))
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert info == {"success": False, "in_place": 1, "completed": 2}


def test_the_horizon_truncates_and_cuts_the_last_repeat(kitchen):
    env = configured(kitchen, horizon=3, action_repeat=2)
    env.reset(seed=0)
    assert [env.step(np.zeros(9))[2:4] for _ in range(2)] == [(False, False), (False, True)]


def test_conformance(kitchen):
    check_environment(Kitchen(size=8, rendering="fast"), steps=2)
    check_env(configured(kitchen), skip_render_check=True)


def test_configuration_survives_a_file_with_its_objects():
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    data = to_data(Kitchen(task="kitchen_partial", reward="completions"), registry)
    assert data["objects"] == "microwave+kettle+light_switch+slide_cabinet"
    assert data["end_when_completed"] is True
    assert from_data("environments", data, registry).object_names() == TASKS["kitchen_partial"]


def test_scores_are_d4rls_where_the_reward_is():
    assert Kitchen(reward="completions").references().expert == 4
    assert Kitchen().references() is None
    assert Kitchen(task="kitchen_kettle", reward="completions").references() is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "kitchen_mixd"}, "Did you mean 'kitchen_mixed'"),
        ({"objects": "microwave+ketle"}, "Did you mean 'kettle'"),
        ({"objects": "kettle+kettle"}, "each object counts once"),
        ({"camera": "central+lexi"}, "Did you mean 'lexa'"),
        ({"camera": "centre"}, "Did you mean 'central'"),
        ({"reward": "sparse"}, "Known: completions, presence"),
        ({"horizon": 0}, "horizon is 0"),
        ({"robot_noise_ratio": -1}, "robot_noise_ratio is -1"),
    ],
)
def test_bad_settings_are_explained(settings, message):
    with pytest.raises(VRLError, match=message):
        Kitchen(**settings)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"gymnasium-robotics": None}, r"not installed.*pip install 'vrl-envs\[robotics\]'"),
        (
            {"mujoco": "3.17.0", "dm_control": "1.0.50"},
            r"with gymnasium-robotics 1\.4\.2, mujoco 3\.3\.0.*here.*3\.17\.0, dm_control 1\.0\.50",
        ),
    ],
)
@pytest.mark.parametrize("config", [Kitchen(), KitchenDataset()])
def test_missing_and_unsupported_releases_are_refused(monkeypatch, config, found, message):
    there = {**releases.ROBOTICS.supported, **found}
    monkeypatch.setattr(releases, "installed", there.get)
    with pytest.raises(VRLError, match=message):
        config.build()
