"""The dataset `robohive`, on a small package that behaves as RoboHive does."""

import numpy as np
import pytest

import vrl_envs.plugin
from fake_robohive import only_the_fake, write_models, write_package
from tiny_dapg import write_policy
from vrl_core.commands.data_sources import _collector
from vrl_core.config import from_data
from vrl_core.errors import VRLError
from vrl_core.ingest import write_store
from vrl_core.registry import Registry
from vrl_core.testing import check_dataset
from vrl_envs.robohive.config import RoboHiveDataset

HAND_NUMBERS = 18
"""What the small hand shows of the observations that DAPG's expert of the pen was trained on."""


@pytest.fixture(scope="module", autouse=True)
def policies(tmp_path_factory):
    """A process with the small package as RoboHive, and a folder of policies."""
    folder = tmp_path_factory.mktemp("robohive")
    write_package(folder / "site")
    write_models(folder / "home" / "simhive")
    write_policy(folder / "policies" / "adroit_pen.npz", HAND_NUMBERS, 2)
    with pytest.MonkeyPatch.context() as patch, only_the_fake():
        patch.setenv("VRL_HOME", str(folder / "home"))
        patch.syspath_prepend(folder / "site")
        yield folder / "policies"


def states(quality="expert", policies=None, **settings):
    behaviours = None if policies is None else str(policies)
    given = {"task": "pen-v1", "observation": "state", "episodes": 4, **settings}
    return RoboHiveDataset(quality=quality, behaviours=behaviours, **given)


def test_an_episode_depends_on_configuration_and_index_alone(policies):
    check_dataset(states("random", episodes=2), episodes=2, spawn=False)
    check_dataset(states("medium", policies, episodes=2), episodes=2, spawn=False)


def test_experts_act_as_their_policy_and_medium_ones_with_noise(policies):
    expert = states("expert", policies).build()[0]
    np.testing.assert_array_equal(expert.actions, np.full((12, 2), 0.2, np.float32))
    assert expert.info["success"] is True
    noisy = states("medium", policies, medium_noise=0.1).build()[0]
    assert 0.05 < noisy.actions.std() < 0.15
    np.testing.assert_array_equal(noisy.observations["state"][0], expert.observations["state"][0])
    assert states("expert", policies, noise=0.1).build()[0].actions.std() > 0.05


def test_medium_expert_is_half_of_each(policies):
    dataset = states("medexp", policies).build()
    assert [dataset[n].info["behaviour"] for n in range(4)] == ["medium"] * 2 + ["expert"] * 2


def test_random_actions_are_uniform():
    actions = states("random", task="FK1_RelaxFixed-v4", horizon=200).build()[0].actions
    assert actions.std() == pytest.approx(1 / np.sqrt(3), abs=0.05)
    assert actions.shape == (200, 2)


def test_store_leads_back_to_the_environment(tmp_path, policies):
    config = states("expert", policies, observation="both", size=8, cameras="top+vil_camera")
    store = write_store(config, tmp_path / "store", workers=1)
    spec, episode = store.spec, store[0]
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    assert from_data("environments", dict(spec.environment), registry) == config.environment()
    assert (spec.task, spec.behaviour, spec.render_quality) == ("pen-v1", "expert", "fast")
    assert spec.versions["robohive"] == "0.7.0"
    assert episode.observations["image_vil_camera"].shape == (13, 8, 8, 3)
    assert len(np.unique(episode.observations["image"], axis=0)) > 4


def test_a_manifest_names_no_place_of_one_machine(tmp_path):
    models = write_models(tmp_path / "models")
    with only_the_fake():
        spec = states("random", assets=models).build().spec
    assert spec.environment["assets"] is None


def test_what_is_missing_is_explained(tmp_path, policies):
    with pytest.raises(VRLError, match=r"No expert policy of pen-v1 comes with VRL.*adroit_pen"):
        states("expert").build()
    with pytest.raises(VRLError, match=r"no policy of door-v1.*it has adroit_pen\.npz"):
        states("expert", policies, task="door-v1").fingerprint()
    write_policy(tmp_path / "pen-v1.npz", 5, 2)
    with pytest.raises(VRLError, match=r"takes 5 state numbers and gives 2 .*pen-v1 has 18 and 2"):
        states("expert", tmp_path).build()


def test_bad_settings_are_explained():
    with pytest.raises(VRLError, match="Did you mean 'expert'"):
        states("exprt")
    with pytest.raises(VRLError, match="episodes is 1; it must be at least 2"):
        states("medium_expert", episodes=1)
    with pytest.raises(VRLError, match="medium_noise is -1"):
        states("medium", medium_noise=-1)


def test_fingerprint_follows_the_policy(policies):
    fingerprint = states("expert", policies).fingerprint()
    assert fingerprint["versions"]["robohive"] == "0.7.0"
    assert fingerprint != states("expert", policies, noise=0.2).fingerprint()
    write_policy(policies / "adroit_pen.npz", HAND_NUMBERS, 2, bias_2=np.array([0.2, 0.21]))
    try:
        assert fingerprint != states("expert", policies).fingerprint()
    finally:
        write_policy(policies / "adroit_pen.npz", HAND_NUMBERS, 2)


def test_tasks_that_are_not_listed_are_robohives_by_their_prefix():
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    for task in ("robohive:pen_v2d-v1", "robohive:myoHandPoseFixed-v0"):
        assert _collector(["--task", task], registry) is RoboHiveDataset
    with pytest.raises(VRLError, match="shows no images but what a pretrained network"):
        RoboHiveDataset(task="robohive:pen_vr3m18-v1")
