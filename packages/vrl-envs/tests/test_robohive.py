"""The environment `robohive`, on a small package that behaves as RoboHive does."""

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import vrl_envs.plugin
from fake_robohive import only_the_fake, write_models, write_package
from vrl_core.config import from_data, to_data
from vrl_core.errors import VRLError
from vrl_core.evaluate import RandomPolicy, evaluate
from vrl_core.registry import Registry
from vrl_core.testing import check_environment
from vrl_envs.robohive.config import RoboHive, RoboHiveDataset
from vrl_envs.robohive.tasks import KITCHEN_GOALS, TASKS

KITCHEN = "FK1_RelaxFixed-v4"


@pytest.fixture(scope="module", autouse=True)
def robohive(tmp_path_factory):
    """A process in which the small package is the RoboHive that is installed."""
    folder = tmp_path_factory.mktemp("robohive")
    write_package(folder / "site")
    write_models(folder / "home" / "simhive")
    with pytest.MonkeyPatch.context() as patch, only_the_fake():
        patch.setenv("VRL_HOME", str(folder / "home"))
        patch.syspath_prepend(folder / "site")
        yield


def environment(task="pen-v1", **settings):
    return RoboHive(**{"task": task, "observation": "state", **settings}).build()


def rollout(env, seed, steps=6):
    shown = [env.reset(seed=seed)[0]]
    rng = np.random.default_rng(0)
    for _ in range(steps):
        shown.append(env.step(rng.uniform(-1, 1, 2))[0])
    return {name: np.stack([each[name] for each in shown]) for name in shown[0]}


@pytest.mark.parametrize("task", ["pen-v1", KITCHEN])
def test_a_seed_fixes_states_and_frames_whatever_came_before(task):
    settings = {"observation": "both", "size": 16, "rendering": "fast"}
    env, fresh = environment(task, **settings), environment(task, **settings)
    first = rollout(env, 3)
    rollout(env, 4, steps=9)
    again, elsewhere = rollout(env, 3), rollout(fresh, 3)
    for name in ("image", "state"):
        np.testing.assert_array_equal(again[name], first[name])
        np.testing.assert_array_equal(elsewhere[name], first[name])
    assert (rollout(env, 4)["state"] != first["state"]).any()
    env.close(), fresh.close()


def test_unseeded_episodes_differ():
    env = environment()
    states = [env.reset()[0] for _ in range(2)] + [environment().reset()[0]]
    assert len({state.tobytes() for state in states}) == 3


def test_ends_are_robohives_and_the_horizon_truncates():
    env = environment()
    env.reset(seed=0)
    ends = [env.step(np.zeros(2))[2:4] for _ in range(12)]
    assert ends == [(False, False)] * 11 + [(False, True)]
    short = environment(horizon=2)
    short.reset(seed=0)
    assert [short.step(np.zeros(2))[3] for _ in range(2)] == [False, True]
    env.reset(seed=0)
    env.data.qpos[0] = 1.3  # the pen falls
    assert env.step(np.zeros(2))[2:4] == (True, False)


def test_success_is_more_than_five_solved_steps():
    env = environment(reward="solved")
    env.reset(seed=0)
    steps = [env.step(np.zeros(2)) for _ in range(7)]
    assert [step[4]["success"] for step in steps] == [False] * 5 + [True] * 2
    assert all(step[4]["solved"] is True and step[1] == 1.0 for step in steps)
    env.reset(seed=0)
    assert env.step(np.zeros(2))[4]["success"] is False


def test_rewards_are_robohives_own():
    found = {}
    for name in ("dense", "sparse"):
        env = environment(reward=name)
        env.reset(seed=1)
        found[name] = env.step(np.ones(2))[1]
        assert found[name] == (1 if name == "dense" else -1) * env.data.qpos[0]
    assert RoboHive().reward == "dense"


def test_a_simulation_that_diverges_is_an_error():
    env = environment()
    env.reset(seed=0)
    env.step(np.zeros(2))
    with pytest.raises(VRLError, match="pen-v1 diverged in step 1"):
        env.step(np.array([np.nan, 0.0]))


def test_proprioception_is_robohives_or_the_driven_joints():
    hand = environment(observation="both", size=8)
    shown, _ = hand.reset(seed=0)
    np.testing.assert_array_equal(shown["state"], hand.data.qpos[:2].astype(np.float32))
    kitchen = environment(KITCHEN, observation="both", size=8)
    kitchen.reset(seed=0)
    shown, *_ = kitchen.step(np.ones(2))
    felt = np.concatenate([kitchen.data.qpos[:2], kitchen.data.qvel[:2], [0.1]])
    np.testing.assert_array_equal(shown["state"], felt.astype(np.float32))
    hand.close(), kitchen.close()


def test_several_cameras_are_fields_of_their_own():
    env = environment(KITCHEN, observation="pixels", size=16, cameras="top+left_cam+free")
    shown, _ = env.reset(seed=0)
    assert list(shown) == ["image", "image_left_cam", "image_free"]
    assert len({image.tobytes() for image in shown.values()}) == 3
    np.testing.assert_array_equal(env.render(), shown["image"])
    alone = environment(KITCHEN, observation="pixels", size=16, cameras="left_cam")
    np.testing.assert_array_equal(alone.reset(seed=0)[0], shown["image_left_cam"])
    assert alone.observation_space.shape == (16, 16, 3)
    with pytest.raises(VRLError, match=r"no camera of pen-v1 named 'tap'.*'top'.*free.*vil_camera"):
        environment(observation="pixels", cameras="tap")
    env.close(), alone.close()


def test_objects_are_counted_where_they_should_be():
    env = environment("kitchen_mixed", objects="microwave+kettle", objects_start="kettle0:Ty=0.75")
    assert env.config.reward == "objects"
    env.reset(seed=0)
    assert env.data.qpos[2:].tolist() == [-0.2, 0.75]  # the microwave's start is RoboHive's
    assert env.inner.obj_goal.tolist() == [-1.25, 0.78]
    _, reward, _, _, info = env.step(np.zeros(2))
    assert (reward, info["solved"]) == (1.0, False)
    env.data.qpos[2] = -1.1
    assert env.step(np.zeros(2))[1] == 2.0
    with pytest.raises(VRLError, match="kitchen_mixed has no joint knob1_joint"):
        environment("kitchen_mixed", objects="knob1_joint=-1")


def test_presets_are_d4rls_kitchens():
    mixed, partial = (RoboHive(task=f"kitchen_{name}") for name in ("mixed", "partial"))
    assert mixed.robohive_id() == partial.robohive_id() == KITCHEN
    assert mixed.objects == "microwave+kettle+bottom_burner+light_switch"
    assert set(partial.wanted()) == {
        *("micro0joint", "kettle0:Ty", "lightswitch_joint", "slidedoor_joint")
    }
    assert set("+".join(KITCHEN_GOALS).split("+")) >= set(str(mixed.objects).split("+"))


def test_images_of_robohives_own_are_not_asked_for():
    env = environment("pen_v2d-v1", observation="both", size=8)
    assert env.reset(seed=0)[0]["state"].shape == (2,)
    env.close()


def test_conformance_and_silence(capfd):
    check_environment(RoboHive(size=8, rendering="fast", observation="both"), steps=3)
    check_environment(RoboHive(task=KITCHEN, size=8, cameras="top+free"), steps=3)
    check_env(environment(), skip_render_check=True)
    assert capfd.readouterr().out == ""


def test_evaluation_counts_successes():
    config = RoboHive(observation="state", horizon=7)
    found = evaluate(RandomPolicy(2), config, episodes=2, seed=0, workers=0)
    assert found.successes is not None
    assert (found.successes.tolist(), found.lengths.tolist()) == ([True] * 2, [7] * 2)


def test_configuration_survives_a_file():
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    config = RoboHive(task="robohive:kitchen_mixed", cameras="top_cam", reward="dense")
    data = to_data(config, registry)
    assert (data["name"], data["task"]) == ("robohive", "kitchen_mixed")
    assert from_data("environments", data, registry) == config


def test_ids_that_no_list_has_are_looked_up_in_robohive():
    with pytest.raises(VRLError, match=r"no RoboHive task named 'myoHandReach-v9'.*pen-v1"):
        environment("myoHandReach-v9")


def test_collected_names_have_their_prefix():
    assert set(RoboHiveDataset.tasks) == {f"robohive:{task}" for task in TASKS}
    assert len(TASKS) == 79
    assert RoboHiveDataset(task="robohive:door-v1").task == "door-v1"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "pen-v0"}, "Did you mean 'pen-v1'"),
        ({"task": "FK1_MicroOpnFixed-v4"}, "Did you mean 'FK1_MicroOpenFixed-v4'"),
        ({"task": "door_vr3m18-v1"}, "pretrained network.*r3m.*door-v1 is the same task"),
        ({"task": "FK1_nothing_vvc1s-v4"}, "torchvision"),
        ({"task": "pen_v2d-v1", "observation": "state"}, "the time, twice"),
        ({"reward": "shaped"}, "Known: dense, objects, solved, sparse"),
        ({"reward": "objects", "task": KITCHEN}, "name them, such as objects microwave"),
        ({"objects": "microwave"}, "pen-v1 has no objects"),
        ({"task": KITCHEN, "objects": "mircowave"}, "Did you mean 'microwave'.*micro0joint=-1.25"),
        ({"task": KITCHEN, "objects": "micro0joint=open"}, "position is a number"),
        ({"task": KITCHEN, "objects_start": "kettle0:Ty=x"}, "objects_start has 'kettle0:Ty=x'"),
        ({"cameras": "top+top"}, "have one twice"),
        ({"size": 0}, "size is 0"),
        ({"horizon": 0}, "horizon is 0"),
        ({"rendering": "nice"}, "Known: fast, reference"),
    ],
)
def test_bad_settings_are_explained(settings, message):
    with pytest.raises(VRLError, match=message):
        RoboHive(**settings)
