"""TD-MPC2's tensors: alignment, filler, tasks, padding, pickles, and bad files."""

import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

import vrl_envs.plugin
from tiny_formats import TENSOR_ROWS, write_tensors
from vrl_core.commands.data_sources import _recognised
from vrl_core.episodes import FieldSpec
from vrl_core.errors import DamagedDataError, VRLError
from vrl_core.ingest import write_store
from vrl_core.registry import Registry
from vrl_core.testing import check_dataset
from vrl_envs.readers.damage import IncompleteDataWarning
from vrl_envs.readers.tdmpc2_config import TDMPC2
from vrl_envs.readers.tdmpc2_tasks import TASKS


def test_the_action_that_led_to_a_state_becomes_the_one_taken_before_it(tmp_path):
    write_tensors(tmp_path / "chunk_0.safetensors")
    write_tensors(tmp_path / "chunk_1.safetensors", tasks=(1,))
    config = TDMPC2(path=str(tmp_path), task="walker-walk")
    dataset = config.build()
    assert len(dataset) == 3
    episode = dataset[1]
    assert episode.observations["state"][:, 0].tolist() == [20, 21, 22, 23]
    np.testing.assert_allclose(episode.actions[:, 0], [0.1, 0.2, 0.3], rtol=1e-6)
    np.testing.assert_allclose(episode.rewards, [2.1, 2.2, 2.3], rtol=1e-6)
    assert episode.truncations.tolist() == [False, False, True]
    assert not episode.terminations.any()
    assert dataset[2].info == {"file": "chunk_1.safetensors", "episode": 0}
    assert (dataset.spec.task, dataset.spec.behaviour) == ("walker_walk", "mixed")
    check_dataset(config, spawn=False)


def test_a_task_is_chosen_by_name_or_number(tmp_path):
    path = str(write_tensors(tmp_path / "a.safetensors"))
    assert (TASKS[1], TASKS[41], len(TASKS)) == ("walker_walk", "mw_door_open", 80)
    for task in ("mw_door_open", "mw-door-open", "41"):
        dataset = TDMPC2(path=path, task=task).build()
        assert (len(dataset), dataset.spec.task) == (1, "mw_door_open")
        assert dataset[0].observations["state"][0, 0] == 10
    with pytest.raises(VRLError, match=r"hold 2 tasks.*walker_walk, mw_door_open"):
        TDMPC2(path=path).build()
    with pytest.raises(VRLError, match="Did you mean 'walker_walk'"):
        TDMPC2(path=path, task="walker_wakl").build()


def test_files_of_one_task_need_no_name(tmp_path):
    one = str(write_tensors(tmp_path / "a.safetensors", tasks=(7, 7)))
    assert TDMPC2(path=one).build().spec.task == "pendulum_swingup"
    task = np.array([3, 3, 3])
    short = str(write_tensors(tmp_path / "b.safetensors", task=task))
    assert TDMPC2(path=short).build().spec.task == "cheetah_run"


def test_files_that_do_not_tell_their_task_need_its_name(tmp_path):
    path = write_tensors(tmp_path / "a.safetensors", task=None)
    with pytest.raises(VRLError, match=r"a\.safetensors has no tensor 'task'.*--dataset\.task"):
        TDMPC2(path=str(path)).build()
    for task in ("mw-door-open", "41"):
        dataset = TDMPC2(path=str(path), task=task).build()
        assert (len(dataset), dataset.spec.task) == (3, "mw_door_open")
        assert dataset[2].observations["state"][0, 0] == 20
    with pytest.raises(VRLError, match="Did you mean 'walker_walk'"):
        TDMPC2(path=str(path), task="walker_wakl").build()
    write_tensors(tmp_path / "b.safetensors")
    with pytest.raises(VRLError, match=r"a\.safetensors has no tensor 'task', and others"):
        TDMPC2(path=str(tmp_path), task="walker_walk").build()


def test_padding_is_cut_off_on_request(tmp_path):
    path = str(write_tensors(tmp_path / "a.safetensors", tasks=(1,)))
    dataset = TDMPC2(path=path, observation_size=2, action_size=1).build()
    assert dataset.spec.observations == {"state": FieldSpec((2,), "float32")}
    assert dataset[0].actions.shape == (3, 1)
    assert TDMPC2(path=path).build().spec.observations["state"] == FieldSpec((3,), "float32")
    with pytest.raises(VRLError, match="obs of 3 numbers; 4 were asked for"):
        TDMPC2(path=path, observation_size=4).build()


def test_nan_behind_the_first_row_is_refused_with_its_place(tmp_path):
    reward = np.zeros((1, TENSOR_ROWS), np.float32)
    reward[0, 2] = np.nan
    path = write_tensors(tmp_path / "a.safetensors", tasks=(1,), reward=reward)
    with pytest.raises(VRLError, match=r"reward of episode 0 is nan at step 1"):
        write_store(TDMPC2(path=str(path)), tmp_path / "store", workers=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reward": None}, "lacks reward; it holds action, obs, task"),
        ({"reward": np.zeros((3, TENSOR_ROWS + 1), np.float32)}, "tensors of the shapes"),
        ({"obs": np.zeros((3, TENSOR_ROWS), np.float32)}, "tensors of the shapes"),
        ({"task": np.arange(3 * TENSOR_ROWS).reshape(3, TENSOR_ROWS)}, "in which the task changes"),
        ({"action": np.full((3, TENSOR_ROWS, 2), 2.0, np.float32)}, "actions of size 2"),
    ],
)
def test_what_cannot_be_read_is_explained(tmp_path, changes, message):
    path = write_tensors(tmp_path / "a.safetensors", tasks=(1, 1, 1), **changes)
    with pytest.raises(VRLError, match=message):
        TDMPC2(path=str(path)).build()[0]


def test_files_of_different_widths_are_not_joined(tmp_path):
    write_tensors(tmp_path / "a.safetensors")
    write_tensors(tmp_path / "b.safetensors", action=np.zeros((3, TENSOR_ROWS, 4), np.float32))
    with pytest.raises(VRLError, match=r"b\.safetensors has action of 4 numbers"):
        TDMPC2(path=str(tmp_path), task="1").build()


def test_damaged_files_are_left_out_on_request(tmp_path):
    bad = write_tensors(tmp_path / "a.safetensors")
    write_tensors(tmp_path / "b.safetensors", tasks=(1,))
    bad.write_bytes(bad.read_bytes()[:-40])
    with pytest.raises(DamagedDataError, match=r"a.safetensors cannot be read.*skip-damaged"):
        TDMPC2(path=str(tmp_path)).build()
    with pytest.warns(IncompleteDataWarning, match="left out 1 damaged files"):
        assert len(TDMPC2(path=str(tmp_path), skip_damaged=True).build()) == 1


def test_pickles_are_refused_with_a_way_out(tmp_path):
    """The class is looked for in the pickle's bytes, which would run a command if loaded."""
    path = tmp_path / "chunk_0.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("chunk_0/data.pkl", b"cos\nsystem\n(S'tensordict'\ntR.")
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    assert _recognised(tmp_path, registry) == "td-mpc2"
    with pytest.raises(VRLError, match=r"1 \.pt files.*pickles") as error:
        TDMPC2(path=str(tmp_path)).build()
    assert "save_file({name: data[name].contiguous()" in str(error.value)
    assert str(tmp_path / "chunk_0.safetensors") in str(error.value)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("chunk_0/data.pkl", b"some network")
    assert not TDMPC2.recognises(tmp_path)
    with pytest.raises(VRLError, match=r"No \.safetensors"):
        TDMPC2(path=str(tmp_path / "nowhere")).build()


def test_the_format_is_recognised_by_its_tensors(tmp_path):
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    write_tensors(tmp_path / "a.safetensors")
    assert _recognised(tmp_path, registry) == "td-mpc2"
    save_file({"weight": np.zeros(3)}, tmp_path / "a.safetensors")
    assert not TDMPC2.recognises(tmp_path)
