"""OGBench's files, written here in its format: steps and rewards are those of its own loader."""

import tracemalloc

import numpy as np
import pytest

import vrl_envs.plugin
from tiny_ogbench import write_ogbench
from vrl_core.commands.data_sources import _recognised
from vrl_core.config import from_data
from vrl_core.errors import DamagedDataError, VRLError
from vrl_core.ingest import write_store
from vrl_core.registry import Registry
from vrl_core.testing import check_dataset
from vrl_envs import releases
from vrl_envs.readers.ogbench_config import OGBenchFiles
from vrl_envs.readers.streamed_npz import StreamedNpz

pytest.importorskip("ogbench", reason="OGBench is not installed")

NAME = "visual-antmaze-medium-navigate-v0"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("ogbench") / f"{NAME}.npz"
    write_ogbench(path)
    return path


def ours(path, **settings):
    return OGBenchFiles(path=str(path), task="antmaze_medium_task1", **settings)


def steps_of(dataset, name):
    """Return a column of all steps, one episode behind the other."""
    episodes = [dataset[index] for index in range(len(dataset))]
    if name == "next_observations":
        return np.concatenate([episode.observations["image"][1:] for episode in episodes])
    if name == "observations":
        return np.concatenate([episode.observations["image"][:-1] for episode in episodes])
    return np.concatenate([getattr(episode, name) for episode in episodes])


def test_steps_and_rewards_are_those_of_ogbenchs_own_loader(file):
    import gymnasium
    import ogbench.utils
    from ogbench.relabel_utils import relabel_dataset

    theirs = ogbench.utils.load_dataset(str(file), ob_dtype=np.uint8, add_info=True)
    name = "antmaze-medium-singletask-task1-v0"
    relabel_dataset(name, gymnasium.make(name), theirs)
    dataset = ours(file).build()
    for column in ("observations", "next_observations", "actions", "rewards"):
        np.testing.assert_array_equal(steps_of(dataset, column), theirs[column])
    ended = theirs["masks"] == 0
    np.testing.assert_array_equal(steps_of(dataset, "terminations"), ended)
    np.testing.assert_array_equal(
        steps_of(dataset, "truncations"), (theirs["terminals"] == 1) & ~ended
    )


def test_an_episode_ends_with_the_step_taken_in_a_solved_state(file):
    dataset = ours(file).build()
    episodes = [dataset[index] for index in range(len(dataset))]
    assert [len(episode) for episode in episodes] == [2, 1, 2, 2, 2]
    assert [episode.info["row"] for episode in episodes] == [0, 2, 4, 7, 9]
    assert [bool(episode.terminations[-1]) for episode in episodes] == [True, False] + [
        True
    ] * 2 + [False]
    assert episodes[0].rewards.tolist() == [-1, 0]
    assert episodes[0].info["success"] is True
    np.testing.assert_array_equal(
        episodes[0].observations["image"][-1], episodes[1].observations["image"][0]
    )


def test_recordings_stay_whole_on_request(file):
    dataset = ours(file, ends="recording").build()
    first, second = dataset[0], dataset[1]
    assert [len(dataset[index]) for index in range(len(dataset))] == [3, 2, 4]
    assert first.rewards.tolist() == [-1, 0, -1]
    assert not first.terminations.any()
    assert second.truncations.tolist() == [False, True]
    assert second.info == {"file": f"{NAME}.npz", "row": 4, "success": True}


def test_buttons_decide_where_there_are_any(tmp_path):
    path = tmp_path / "puzzle-3x3-play-v0.npz"
    columns = write_ogbench(path, images=0, joints=23, buttons=9)
    dataset = OGBenchFiles(path=str(path), task="puzzle_3x3_task1").build()
    target = dataset._rewards.inner._target_button_states
    wanted = (columns["button_states"][:3] == target).sum(axis=1) - 9
    assert steps_of(dataset, "rewards")[:3].tolist() == wanted.tolist()
    assert dataset.spec.observations.keys() == {"state"}


def test_an_episode_is_pure_and_a_store_leads_back_to_the_environment(file, tmp_path):
    check_dataset(ours(file), episodes=3, spawn=False)
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    assert _recognised(file, registry) == "ogbench-npz"
    spec = write_store(ours(file), tmp_path / "store", workers=1).spec
    environment = from_data("environments", dict(spec.environment), registry)
    assert (environment.task, environment.size, environment.observation) == (
        "antmaze_medium_task1",
        8,
        "pixels",
    )
    assert (spec.task, spec.behaviour) == ("antmaze_medium_task1", "navigate")
    assert (spec.source, spec.render_quality) == (f"OGBench {NAME}", "reference")


def test_a_folder_gives_the_file_of_its_split(tmp_path):
    write_ogbench(tmp_path / f"{NAME}.npz", lengths=(3, 3))
    write_ogbench(tmp_path / f"{NAME}-val.npz", lengths=(3,))
    lengths = {split: len(ours(tmp_path, split=split).build()) for split in ("train", "val")}
    assert lengths == {"train": 2, "val": 1}
    write_ogbench(tmp_path / "antmaze-medium-stitch-v0.npz", lengths=(3,))
    with pytest.raises(VRLError, match=r"2 files of this split.*Name the file"):
        ours(tmp_path).build()


def test_the_files_name_gives_the_default_task(file):
    assert OGBenchFiles(path=str(file)).build().spec.task == "antmaze_medium_task1"


@pytest.mark.parametrize("compressed", [True, False])
def test_columns_are_streamed(tmp_path, compressed):
    path = tmp_path / "large.npz"
    values = np.zeros((40, 2**20), np.uint8)
    values[:, 0] = np.arange(40)
    (np.savez_compressed if compressed else np.savez)(path, values=values)
    del values
    tracemalloc.start()
    file = StreamedNpz(path)
    assert file.rows("values", 38, 39)[0, 0] == 38
    assert file.rows("values", 2, 4)[:, 0].tolist() == [2, 3]  # going back
    firsts = np.concatenate([rows[:, 0].copy() for _, rows in file.blocks("values")])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert firsts.tolist() == list(range(40))
    assert peak < 20e6  # of 40 MB


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"qpos": None}, VRLError, "lacks qpos.*powderworld"),
        ({"qpos": np.zeros((12, 15))[:7]}, DamagedDataError, "different lengths"),
        ({"qpos": np.zeros((12, 29))}, VRLError, "15 joint positions.*the data has 29"),
        ({"terminals": np.zeros(12)}, DamagedDataError, "ends within a recording"),
        ({"terminals": np.ones(12)}, DamagedDataError, "recording without a step"),
        ({"actions": np.zeros((12, 8), np.int32)}, VRLError, "actions of int32"),
        ({"actions": np.full((12, 8), 2.0)}, VRLError, "actions of size 2"),
        ({"observations": np.zeros((12, 8, 8, 6), np.uint8)}, VRLError, "observations of uint8"),
    ],
)
def test_what_cannot_be_read_is_explained(tmp_path, changes, error, message):
    path = tmp_path / f"{NAME}.npz"
    write_ogbench(path, **changes)
    with pytest.raises(error, match=message):
        ours(path).build()[0]


def test_files_that_are_cut_missing_or_nameless_are_explained(file, tmp_path, monkeypatch):
    (tmp_path / "cut.npz").write_bytes(file.read_bytes()[:1000])
    with pytest.raises(DamagedDataError, match=r"cut\.npz cannot be read"):
        ours(tmp_path / "cut.npz").build()
    with pytest.raises(VRLError, match=r"no \.npz file of this split"):
        ours(tmp_path / "nowhere").build()
    write_ogbench(tmp_path / "mine.npz")
    with pytest.raises(VRLError, match=r"--dataset\.task"):
        OGBenchFiles(path=str(tmp_path / "mine.npz")).build()
    monkeypatch.setattr(releases, "installed", lambda _: None)
    with pytest.raises(VRLError, match=r"pip install 'vrl-envs\[ogbench\]'"):
        ours(file).build()
