"""The dataset `kitchen`: skills that work, play, noise, and episodes pure in their index."""

import numpy as np
import pytest

import vrl_envs.plugin
from vrl_core.config import from_data
from vrl_core.errors import VRLError
from vrl_core.ingest import write_store
from vrl_core.registry import Registry
from vrl_core.testing import check_dataset
from vrl_envs.collection import episode_streams
from vrl_envs.kitchen import dataset as kitchen_dataset
from vrl_envs.kitchen.arm import OPEN, Arm, Pose
from vrl_envs.kitchen.config import KitchenDataset
from vrl_envs.kitchen.dataset import draw_objects
from vrl_envs.kitchen.policy import ScriptedCook, hand_rotation, point_ahead, rotation_around
from vrl_envs.kitchen.tasks import TASKS

HORIZON = 75
"""Steps in which the scripted policy opens the microwave or flicks the switch."""


def states(task="kitchen_microwave", **settings):
    return KitchenDataset(**{"task": task, "observation": "state", "horizon": HORIZON, **settings})


@pytest.fixture(scope="module")
def dataset():
    """One kitchen for all tests: it takes a second to load."""
    opened = states(episodes=4).build()
    yield opened
    opened.close()


def configured(dataset, **settings):
    """The loaded dataset with other settings."""
    dataset.config = states(**{"episodes": 4, **settings})
    env, settings = dataset.environment, dataset.config.environment()
    env.config, env.objects, env.horizon = settings, settings.object_names(), settings.horizon
    return dataset


@pytest.mark.parametrize(
    ("name", "steps"),
    [("kettle", 100), ("bottom_burner", 110), ("slide_cabinet", 110), ("light_switch", 80)],
)
def test_the_policy_brings_an_object_in_place(dataset, name, steps):
    env = configured(dataset, objects=name, horizon=steps).environment
    env.reset(seed=1)
    cook = ScriptedCook(env.inner.model, env.inner.data, (name,), np.random.default_rng(1))
    for _ in range(steps):
        action = cook.act()
        assert np.abs(action).max() <= 1
        _, reward, *_ = env.step(action)
    assert reward == 1


def test_the_arm_goes_where_it_should_and_stays_there_against_its_weight(dataset):
    env = configured(dataset).environment
    env.reset(seed=0)
    arm = Arm(env.inner.model, env.inner.data)
    aside = np.array([0.05, 0.1, -0.05])
    target = Pose(arm.pose().position + aside, hand_rotation((0, 1, 0), (1, 0, 0)))
    for _ in range(40):
        env.step(arm.towards(target, OPEN))
    held = arm.pose()
    assert np.abs(held.position - target.position).max() < 5e-3
    assert np.abs(held.rotation - target.rotation).max() < 0.05
    for _ in range(10):
        env.step(arm.towards(held, OPEN))
    assert np.abs(arm.pose().position - held.position).max() < 5e-3


def test_directions_and_ways():
    hand = hand_rotation((0.0, 2.0, 0.0), (1.0, 1.0, 0.0))
    np.testing.assert_allclose(hand @ [0, 0, 1], [0, 1, 0])
    np.testing.assert_allclose(hand @ [0, 1, 0], [1, 0, 0])
    assert np.linalg.det(hand) == pytest.approx(1)
    turned = rotation_around(np.array([0.0, 0.0, 1.0]), np.pi / 2) @ [1, 0, 0]
    np.testing.assert_allclose(turned, [0, 1, 0], atol=1e-12)
    start, end = np.zeros(3), np.array([1.0, 0.0, 0.0])
    np.testing.assert_allclose(point_ahead(start, end, np.array([0.5, 0.3, 0])), [0.56, 0, 0])
    np.testing.assert_allclose(point_ahead(start, end, np.array([0.99, 0, 0])), end)


def test_demonstrations_succeed_and_tell_what_was_done(dataset):
    episode = configured(dataset)[0]
    assert (episode.info["success"], episode.info["completed"]) == (True, 1)
    assert episode.info["objects"] == "microwave"
    assert episode.rewards[-1] == 1
    assert episode.rewards.sum() > 10
    assert episode.observations["state"].shape == (HORIZON + 1, 59)


def test_a_hopeless_task_is_an_error(dataset, monkeypatch):
    monkeypatch.setattr(kitchen_dataset, "ATTEMPTS", 2)
    with pytest.raises(VRLError, match=r"failed 2 times to bring microwave.*longer horizon"):
        configured(dataset, horizon=3)[0]


def test_medium_is_the_expert_with_more_noise(dataset):
    short = {"horizon": 6, "quality": "medium"}
    noiseless = configured(dataset, medium_noise=0, **short)[0].actions
    noisy = configured(dataset, **short)[0]
    assert 0.1 < np.abs(noisy.actions - noiseless).mean() < 1
    assert noisy.info["success"] is False


def test_play_draws_four_objects_and_may_leave_the_whole_task_out(dataset):
    drawn = [draw_objects(np.random.default_rng(seed)) for seed in range(200)]
    assert {len(set(names)) for names in drawn} == {4}
    assert all("hinge_cabinet" not in names[:-1] for names in drawn)
    assert len({names[0] for names in drawn}) == 6
    task = set(TASKS["kitchen_mixed"])
    assert any(task == set(names) for names in drawn)
    streams = [episode_streams(0, index)[1] for index in range(60)]
    partly = configured(dataset, task="kitchen_mixed", quality="play", whole_task=False)
    assert not any(task == set(partly._objects("play", choices)) for choices in streams)
    episode = configured(dataset, task="kitchen_mixed", quality="play", horizon=2)[1]
    assert len(episode.info["objects"].split("+")) == 4
    assert episode.info["behaviour"] == "play"


def test_an_episode_depends_on_configuration_and_index_alone():
    check_dataset(
        states("kitchen_mixed", quality="play", horizon=4, episodes=2), episodes=1, spawn=False
    )


def test_default_numbers_of_episodes():
    sizes = {name: states(quality=name).length() for name in ("expert", "play", "random")}
    assert sizes == {"expert": 100, "play": 563, "random": 100}


def test_store_leads_back_to_the_environment_and_knows_successes(tmp_path):
    config = KitchenDataset(
        task="kitchen_light_switch", episodes=1, size=8, horizon=HORIZON, observation="both"
    )
    store = write_store(config, tmp_path / "store", workers=1)
    spec, episode = store.spec, store[0]
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    assert from_data("environments", dict(spec.environment), registry) == config.environment()
    assert (spec.task, spec.behaviour, spec.render_quality) == (
        "kitchen_light_switch",
        "expert",
        "fast",
    )
    assert spec.versions["gymnasium-robotics"] == "1.4.2"
    assert episode.observations["image"].shape == (HORIZON + 1, 8, 8, 3)
    assert episode.observations["state"].shape == (HORIZON + 1, 9)
    assert episode.info["success"] is True
    assert len(np.unique(episode.observations["image"], axis=0)) > 20


def test_variants_are_other_objects():
    assert KitchenDataset().variant() == ""
    assert KitchenDataset(objects="kettle+light_switch").variant() == "kettle-lightswitch"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"quality": "exprt"}, "Did you mean 'expert'"),
        ({"quality": "medium_expert", "episodes": 1}, "must be at least 2"),
        ({"noise": -1}, "noise is -1"),
        ({"quality": "demonstrations"}, "--demonstrations"),
        ({"demonstrations": "a.hdf5"}, "--quality demonstrations"),
        ({"action_repeat": 2}, "acts at every simulator step"),
        (
            {"quality": "demonstrations", "demonstrations": "a", "observation": "state"},
            "no velocities.*convert",
        ),
    ],
)
def test_bad_settings_are_explained(settings, message):
    with pytest.raises(VRLError, match=message):
        KitchenDataset(**settings)


def test_fingerprint_names_the_simulator():
    fingerprint = states().fingerprint()
    assert fingerprint["versions"]["gymnasium-robotics"] == "1.4.2"
    assert fingerprint != states(noise=0.2).fingerprint()
