"""D5RL's kitchen files: alignment, cameras, rewards of elements, joints, pickles, and bad ones."""

import numpy as np
import pytest

import vrl_envs.plugin
from tiny_formats import FOLDER, MAIN, WRIST, picture, write_d5rl
from tiny_vd4rl import STEPS
from vrl_core.commands.data_sources import _recognised
from vrl_core.episodes import FieldSpec
from vrl_core.errors import DamagedDataError, VRLError
from vrl_core.registry import Registry
from vrl_core.testing import check_dataset
from vrl_envs.readers.d5rl_config import D5RL
from vrl_envs.readers.damage import IncompleteDataWarning


def test_steps_are_aligned_and_the_tasks_elements_summed(tmp_path):
    write_d5rl(tmp_path / FOLDER)
    config = D5RL(path=str(tmp_path / FOLDER))
    dataset = config.build()
    episode = dataset[1]
    assert episode.rewards.tolist() == [0, 1, 1, 2]  # not the hinge's, and nothing for the reset
    np.testing.assert_allclose(episode.actions[:, 0], [0.01, 0.02, 0.03, 0.04], rtol=1e-6)
    assert episode.observations["state"][:, 0].tolist() == [10, 11, 12, 13, 14]
    assert episode.observations["image"][:, 0, 0, :2].tolist() == [[t, 12] for t in range(5)]
    assert episode.observations["image_wrist"][:, 0, 0, :2].tolist() == [[t, 99] for t in range(5)]
    assert episode.truncations.tolist() == [False, False, False, True]
    assert episode.info["folder"] == FOLDER
    assert dataset.spec.task == "kitchen_microwave_kettle_switch"
    assert dataset.spec.source == f"D5RL, camera {MAIN}"
    check_dataset(config, spawn=False)


def test_a_tree_of_folders_is_one_dataset_of_the_task_named(tmp_path):
    write_d5rl(tmp_path / "demos/friday_microwave_hinge")
    write_d5rl(tmp_path / "demos/monday_kettle", episodes=1)
    with pytest.raises(VRLError, match=r"does not say which.*rewards of hinge, kettle, microwave"):
        D5RL(path=str(tmp_path)).build()
    dataset = D5RL(path=str(tmp_path), task="hinge_kettle").build()
    assert len(dataset) == 3
    assert dataset[2].rewards.tolist() == [1, 1, 1, 2]
    with pytest.raises(VRLError, match="Did you mean 'kettle'"):
        D5RL(path=str(tmp_path), task="hinge_ketle").build()
    with pytest.raises(VRLError, match="names an element twice"):
        D5RL(path=str(tmp_path), task="hinge_hinge").build()


def test_the_main_camera_is_chosen(tmp_path):
    write_d5rl(tmp_path / FOLDER, image=picture(1, STEPS + 1))
    path = str(tmp_path / FOLDER)

    def reds(config):
        observations = config.build()[0].observations
        return {
            name: int(images[0, 0, 0, 1])
            for name, images in observations.items()
            if name != "state"
        }

    assert reds(D5RL(path=path)) == {"image": 1, "image_12": 12, "image_wrist": 99}
    assert reds(D5RL(path=path, camera="wrist")) == {"image": 99, "image_12": 12, "image_image": 1}
    assert reds(D5RL(path=path, cameras="main")) == {"image": 1}
    with pytest.raises(VRLError, match=r"no camera in .* named 'wrst'. Did you mean 'wrist'"):
        D5RL(path=path, camera="wrst").build()


def test_joints_have_two_names_and_may_be_left_out(tmp_path):
    joints = np.full((STEPS + 1, 9), 3.0)
    write_d5rl(tmp_path / FOLDER, proprio=None, robot_qp=joints)
    path = str(tmp_path / FOLDER)
    assert D5RL(path=path).build()[0].observations["state"][0, 0] == 3
    spec = D5RL(path=path, proprioception=False).build().spec
    assert spec.observations["image"] == FieldSpec((4, 4, 3), "uint8")
    assert "state" not in spec.observations


def test_files_without_what_others_have_are_named(tmp_path):
    write_d5rl(tmp_path / FOLDER)
    (other,) = write_d5rl(tmp_path / FOLDER / "more", episodes=1, **{WRIST: None})
    with pytest.raises(VRLError, match=rf"{other.name} has {WRIST} rows of shape None"):
        D5RL(path=str(tmp_path / FOLDER)).build()
    write_d5rl(tmp_path / "b", **{MAIN: None, WRIST: None})
    with pytest.raises(VRLError, match="has no camera"):
        D5RL(path=str(tmp_path / "b"), task="kettle").build()
    write_d5rl(tmp_path / "c", **{MAIN: picture(12, STEPS)})
    with pytest.raises(DamagedDataError, match=rf"{MAIN} 4"):
        D5RL(path=str(tmp_path / "c"), task="kettle").build()


def test_damaged_files_are_left_out_on_request(tmp_path):
    bad, _ = write_d5rl(tmp_path / FOLDER)
    bad.write_bytes(bad.read_bytes()[:80])
    with pytest.raises(DamagedDataError, match=rf"{bad.name} cannot be read"):
        D5RL(path=str(tmp_path / FOLDER)).build()
    with pytest.warns(IncompleteDataWarning, match=rf"left out 1 damaged files: .*{bad.name}"):
        dataset = D5RL(path=str(tmp_path / FOLDER), skip_damaged=True).build()
    assert dataset[0].observations["state"][0, 0] == 10


def test_pickles_are_refused_with_a_way_out(tmp_path):
    folder = tmp_path / "d5rl/expert_demos"
    folder.mkdir(parents=True)
    (folder / "demo.pkl").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    with pytest.raises(VRLError, match=r"1 pickles and no \.npz") as error:
        D5RL(path=str(folder), task="kettle").build()
    assert "savez_compressed" in str(error.value)
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    assert _recognised(folder, registry) == "d5rl"
    # A pickle beside .npz files is left out, and said so.
    write_d5rl(folder)
    with pytest.warns(IncompleteDataWarning, match="left out 1 pickles"):
        assert len(D5RL(path=str(folder), task="kettle").build()) == 2
    assert _recognised(folder, registry) == "d5rl"
