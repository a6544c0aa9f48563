"""LOMPO's files: alignment, padding, what is optional, what is left out, and damaged ones."""

import numpy as np
import pytest

import vrl_envs.plugin
from tiny_formats import write_lompo
from tiny_vd4rl import STEPS
from vrl_core.commands.data_sources import _recognised
from vrl_core.episodes import FieldSpec
from vrl_core.errors import DamagedDataError, VRLError
from vrl_core.ingest import write_store
from vrl_core.registry import Registry
from vrl_core.testing import check_dataset
from vrl_envs.readers.damage import IncompleteDataWarning
from vrl_envs.readers.lompo_config import LOMPO


def test_the_action_that_led_to_a_frame_becomes_the_one_taken_before_it(tmp_path):
    write_lompo(tmp_path / "door_open")
    config = LOMPO(path=str(tmp_path / "door_open"), quality="medium_replay")
    dataset = config.build()
    assert len(dataset) == 2
    episode = dataset[1]
    assert episode.observations["image"][:, 0, 0, :2].tolist() == [[t, 1] for t in range(5)]
    np.testing.assert_allclose(episode.actions[:, 0], [0.01, 0.02, 0.03, 0.04], rtol=1e-6)
    assert episode.rewards.tolist() == [11, 12, 13, 14]
    assert episode.truncations.tolist() == [False, False, False, True]
    assert not episode.terminations.any()
    assert [dataset[index].info["success"] for index in range(2)] == [False, True]
    assert (dataset.spec.task, dataset.spec.behaviour) == ("door_open", "mixed")
    assert dataset.spec.observations == {"image": FieldSpec((4, 4, 3), "uint8")}
    check_dataset(config, spawn=False)


def test_images_of_any_size_and_the_state_on_request(tmp_path):
    write_lompo(tmp_path, size=128)
    dataset = LOMPO(path=str(tmp_path), proprioception=True).build()
    assert dataset.spec.observations == {
        "image": FieldSpec((128, 128, 3), "uint8"),
        "state": FieldSpec((3,), "float32"),
    }
    assert dataset[1].observations["state"][:, 0].tolist() == [100, 101, 102, 103, 104]


def test_padding_is_cut_off(tmp_path):
    mask = np.array([1, 1, 1, 0, 0], np.float32)[:, None]
    write_lompo(tmp_path, mask=mask)
    episode = LOMPO(path=str(tmp_path)).build()[0]
    assert episode.rewards.tolist() == [1, 2]
    assert episode.observations["image"][:, 0, 0, 0].tolist() == [0, 1, 2]
    assert episode.truncations.tolist() == [False, True]


def test_a_mask_that_hides_a_middle_row_is_refused(tmp_path):
    write_lompo(tmp_path, mask=np.array([1, 0, 1, 1, 1]))
    with pytest.raises(DamagedDataError, match="its steps do not join"):
        LOMPO(path=str(tmp_path)).build()


def test_terminal_or_a_discount_of_zero_ends_an_episode(tmp_path):
    write_lompo(tmp_path / "a", terminal=np.arange(STEPS + 1) == STEPS)
    write_lompo(tmp_path / "b", discount=np.array([0.0, 1, 1, 1, 0]))  # row 0 says nothing
    for folder in "ab":
        episode = LOMPO(path=str(tmp_path / folder)).build()[0]
        assert episode.terminations.tolist() == [False, False, False, True]
        assert not episode.truncations.any()


def test_image_action_and_reward_suffice_and_more_is_ignored(tmp_path):
    absent = dict.fromkeys(("state", "success", "image_128", "discount"))
    write_lompo(tmp_path, **absent, notes=np.zeros(2))
    dataset = LOMPO(path=str(tmp_path)).build()
    assert dataset[0].rewards.tolist() == [1, 2, 3, 4]
    assert "success" not in dataset[0].info
    write_lompo(tmp_path / "x", action=None)
    with pytest.raises(VRLError, match="lacks action"):
        LOMPO(path=str(tmp_path / "x")).build()


@pytest.mark.parametrize("state", [None, np.zeros((STEPS + 1, 2))])
def test_files_that_differ_in_their_state_are_refused(tmp_path, state):
    write_lompo(tmp_path / "a")
    write_lompo(tmp_path / "b", state=state)
    assert len(LOMPO(path=str(tmp_path)).build()) == 4  # the state is not asked for
    with pytest.raises(VRLError, match="has state rows of shape"):
        LOMPO(path=str(tmp_path), proprioception=True).build()


def test_flags_may_be_longer_than_the_data_and_columns_not_shorter(tmp_path):
    write_lompo(tmp_path / "a", success=np.ones(STEPS + 2))
    with pytest.warns(IncompleteDataWarning, match="cut the flags of 2 files"):
        assert LOMPO(path=str(tmp_path / "a")).build()[0].info["success"] is True
    write_lompo(tmp_path / "b", reward=np.zeros(STEPS))
    with pytest.raises(DamagedDataError, match="reward 4"):
        LOMPO(path=str(tmp_path / "b")).build()


def test_actions_outside_the_box_are_refused(tmp_path):
    write_lompo(tmp_path, action=np.full((STEPS + 1, 6), 1.5, np.float32))
    with pytest.raises(VRLError, match=r"actions of size 1\.5.*--dataset\.clip-actions"):
        LOMPO(path=str(tmp_path)).build()[0]
    assert (LOMPO(path=str(tmp_path), clip_actions=True).build()[0].actions == 1).all()


def test_damaged_files_are_named_and_left_out_on_request(tmp_path):
    """One ends early; the other's directory is whole and its images are not."""
    noise = np.random.default_rng(0).integers(0, 256, (STEPS + 1, 64, 64, 3), np.uint8)
    paths = write_lompo(tmp_path, episodes=4, image=noise)
    paths[0].write_bytes(paths[0].read_bytes()[:100])
    content = bytearray(paths[2].read_bytes())
    place = content.index(b"image.npy") + 30_000
    content[place : place + 40] = bytes(40)
    paths[2].write_bytes(content)
    config = LOMPO(path=str(tmp_path))
    with pytest.raises(DamagedDataError, match=rf"{paths[0].name} cannot be read.*skip-damaged"):
        config.build()
    paths[0].rename(tmp_path / "gone")
    with pytest.raises(DamagedDataError, match=rf"{paths[2].name} cannot be read.*skip-damaged"):
        write_store(config, tmp_path / "store", workers=1)
    (tmp_path / "gone").rename(paths[0])
    config = LOMPO(path=str(tmp_path), skip_damaged=True)
    with pytest.warns(UserWarning, match="left out 1 of 3 episodes") as warned:
        store = write_store(config, tmp_path / "other", workers=1)
    assert [episode.rewards[0] for episode in store] == [11, 31]
    said = " ".join(str(each.message) for each in warned)
    assert f"left out 1 damaged files: {paths[0]}" in said
    assert f"left out 1 of 3 episodes: {paths[2]}" in said


def test_pickled_objects_are_never_loaded(tmp_path):
    write_lompo(tmp_path, success=np.array([{}] * (STEPS + 1), dtype=object))
    with pytest.raises(DamagedDataError, match=r"objects in success\..* none is loaded"):
        LOMPO(path=str(tmp_path)).build()


def test_the_format_is_recognised_by_its_columns(tmp_path):
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    write_lompo(tmp_path / "door")
    assert _recognised(tmp_path / "door", registry) == "lompo"
    flags = {"is_first": np.arange(STEPS + 1) == 0}  # as DreamerV2 records such an environment
    write_lompo(tmp_path / "flagged", **flags)
    assert _recognised(tmp_path / "flagged", registry) == "lompo"
    plain = dict.fromkeys(("state", "success", "image_128"))
    write_lompo(tmp_path / "walker", **plain)
    with pytest.raises(VRLError, match=r"may be read by several.*2 \.npz.*lompo.*v-d4rl"):
        _recognised(tmp_path / "walker", registry)
    write_lompo(tmp_path / "walker_walk/expert", **plain)
    assert _recognised(tmp_path / "walker_walk/expert", registry) == "v-d4rl"
    with pytest.raises(VRLError, match=r"No \.npz files"):
        LOMPO(path=str(tmp_path / "empty")).build()


def test_a_robots_logs_have_no_rewards(tmp_path):
    for path in write_lompo(tmp_path, episodes=2):
        with np.load(path) as file:
            columns = {name: file[name] for name in file.files if name != "reward"}
        np.savez_compressed(path, **columns)
    assert _recognised(tmp_path, Registry(installed=False, modules=(vrl_envs.plugin,))) == "lompo"
    with pytest.raises(VRLError, match=r"has no reward.*--dataset\.reward zero"):
        LOMPO(path=str(tmp_path)).build()
    dataset = LOMPO(path=str(tmp_path), reward="zero").build()
    assert (len(dataset), len(dataset[1])) == (2, STEPS)
    assert not dataset[1].rewards.any()
