"""Files that lie about their length are named and refused, and left out only on request."""

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest
from safetensors.numpy import load_file, save_file

import vrl_core.plugin
import vrl_envs.plugin
from tiny_formats import FOLDER, MAIN, write_d5rl, write_lompo, write_tensors
from tiny_lerobot import WRIST, write_v2, write_v3
from tiny_minari import write_images
from tiny_ogbench import write_ogbench
from tiny_vd4rl import table, write_hdf5, write_npz
from vrl_core.errors import DamagedDataError, VRLError
from vrl_core.ingest import write_store
from vrl_core.registry import Registry
from vrl_core.store import Store
from vrl_core.store_config import JoinedStores
from vrl_envs.gym_mujoco.relabelling_config import Relabelled
from vrl_envs.readers.d4rl_config import D4RL
from vrl_envs.readers.d5rl_config import D5RL
from vrl_envs.readers.damage import IncompleteDataWarning
from vrl_envs.readers.files_config import FilesConfig
from vrl_envs.readers.lerobot_config import LeRobot
from vrl_envs.readers.lompo_config import LOMPO
from vrl_envs.readers.minari_config import Minari
from vrl_envs.readers.ogbench_config import OGBenchFiles
from vrl_envs.readers.tdmpc2_config import TDMPC2
from vrl_envs.readers.vd4rl_config import VD4RL

EPISODES = 3


@pytest.fixture(autouse=True)
def unsynced(monkeypatch):
    """Waiting for the disk is what these tests would do for most of the time."""
    monkeypatch.setattr("os.fsync", lambda _: None)


OF_NPZ = ("header", "content", "rows")


# Zip archives: a header that says more or fewer rows than follow, and columns that differ.


def change_member(path: Path, names, *, header: int = 0, content: int = 0) -> None:
    """Let columns' headers say so many rows more, or drop as many of their content's."""
    with np.load(path) as file:
        columns = dict(file)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, values in columns.items():
            changes = key in names
            said = {
                "descr": values.dtype.str,
                "fortran_order": False,
                "shape": (len(values) + header * changes, *values.shape[1:]),
            }
            with archive.open(f"{key}.npy", "w") as member:
                np.lib.format.write_array_header_1_0(member, said)
                kept = len(values) - content * changes
                member.write(np.ascontiguousarray(values[:kept]).tobytes())


def lie_in_npz(path: Path, image: str, narrow: str, how: str) -> Path:
    """Change one of a dataset's files."""
    if how == "header":
        with np.load(path) as file:
            names = file.files  # all agree in it
        change_member(path, names, header=2)
    elif how == "content":
        change_member(path, [image], content=1)
    else:
        with np.load(path) as file:
            columns = dict(file)
        columns[narrow] = columns[narrow][:-1]
        np.savez_compressed(path, **columns)
    return path


def vd4rl_npz(root: Path, how: str, folder="main/walker_walk/random/64px") -> tuple:
    paths = write_npz(root / folder, EPISODES)
    return VD4RL(path=str(root / folder)), lie_in_npz(paths[1], "image", "reward", how)


def vd4rl_distracting(root: Path, how: str) -> tuple:
    return vd4rl_npz(root, how, "distracting/walker_walk_random/64px/easy")


def vd4rl_multitask(root: Path, how: str) -> tuple:
    return vd4rl_npz(root, how, "multitask/walker_walk_random/64px")


def lompo(root: Path, how: str) -> tuple:
    narrow = "state" if how == "state" else "reward"
    paths = write_lompo(root, EPISODES)
    return LOMPO(path=str(root)), lie_in_npz(paths[1], "image", narrow, how)


def d5rl(root: Path, how: str) -> tuple:
    narrow = {"rows": "reward_kettle", "joints": "proprio"}.get(how, "action")
    paths = write_d5rl(root / FOLDER, EPISODES)
    return D5RL(path=str(root / FOLDER)), lie_in_npz(paths[1], MAIN, narrow, how)


# Tables of HDF5


def vd4rl_hdf5(root: Path, how: str) -> tuple:
    folder = root / "main/walker_walk/random/84px"
    for shard in range(EPISODES):
        path = write_hdf5(folder / f"{shard}.hdf5", table([4], first_episode=shard))
    path = folder / "1.hdf5"
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-900])
    else:
        with h5py.File(path, "a") as file:
            rows = file[how][:-1]
            del file[how]
            file[how] = rows
    return VD4RL(path=str(folder)), path


def minari(root: Path, how: str) -> tuple:
    folder = write_images(root / "toy/door-v0", episodes=EPISODES)
    with h5py.File(folder / "data/main_data.hdf5", "a") as file:
        group = file["episode_1"]
        if how == "total_steps":
            group.attrs["total_steps"] = 9
        elif how in group:
            rows = group[how][:-1]
            del group[how]
            group[how] = rows
    return Minari(path=str(folder)), "episode_1"


def minari_arrow(root: Path, how: str) -> tuple:
    data_format = "arrow" if how == "arrow" else "parquet"
    pixels = pyarrow.FixedSizeListArray.from_arrays(np.zeros(3 * 3072, np.uint8), 3072)
    folder = root / "toy/door-v0"
    shutil.copytree(write_images(root / "other", episodes=1), folder)
    metadata = json.loads((folder / "data/metadata.json").read_text())
    metadata |= {"data_format": data_format, "jpeg_encoding": False}
    (folder / "data/metadata.json").write_text(json.dumps(metadata))
    for episode in range(EPISODES):
        place = folder / f"data/{episode}"
        place.mkdir()
        columns = {name: np.zeros(3) for name in ("rewards", "terminations", "truncations")}
        columns["actions"] = pyarrow.FixedSizeListArray.from_arrays(np.zeros(6, np.float32), 2)
        rows = pyarrow.table({"observations": pixels, **columns})
        if data_format == "arrow":
            with pyarrow.ipc.new_file(str(place / "part-0.arrow"), rows.schema) as writer:
                writer.write_table(rows)
        else:
            parquet.write_table(rows, place / "part-0.parquet")
        steps = 9 if episode == 1 and how in ("arrow", "parquet") else 2
        (place / "metadata.json").write_text(json.dumps({"total_steps": steps}))
    path = folder / "data/1/part-0.parquet"
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    elif how in ("no table", "empty"):
        path.unlink()
    if how in ("no metadata", "empty"):
        (path.parent / "metadata.json").unlink()
    return Minari(path=str(folder)), "episode_1" if how in ("arrow", "parquet") else "data/1"


# LeRobot: lengths in its lists, tables and videos


def lerobot(root: Path, how: str) -> tuple:
    version, what = how.split()
    folder = (write_v3 if version == "3.0" else write_v2)(root / "push")
    info = json.loads((folder / "meta/info.json").read_text())
    if version == "2.0":
        info["codebase_version"] = "v2.0"
        (folder / "meta/info.json").write_text(json.dumps(info))
    named = "file-001" if version == "3.0" else "episode_000002"
    chunk = "chunk-000" if version == "3.0" else "chunk-001"
    path = folder / f"data/{chunk}/{named}.parquet"
    if what == "table":
        parquet.write_table(parquet.read_table(path)[:-1], path)
    elif what == "list":
        change_list(folder, version)
    else:
        place = f"{WRIST}/{chunk}" if version == "3.0" else f"{chunk}/{WRIST}"
        path = folder / "videos" / place / f"{named}.mp4"
        shorter = path.with_name("file-000.mp4" if version == "3.0" else "episode_000001.mp4")
        if version != "3.0":
            shorter = folder / f"videos/chunk-000/{WRIST}/episode_000001.mp4"
            shutil.copy(shorter, path)
        else:
            write_short_video(path)
    return LeRobot(path=str(folder)), path


def write_short_video(path: Path) -> None:
    from tiny_lerobot import frame, write_video

    write_video(path, [frame(2, row, 200) for row in range(3)])


def change_list(folder: Path, version: str) -> None:
    """Say that episode 2 has 6 rows, of which there are 5."""
    if version != "3.0":
        path = folder / "meta/episodes.jsonl"
        path.write_text(path.read_text().replace('"length": 5', '"length": 6'))
        return
    for path in (folder / "meta/episodes").rglob("*.parquet"):
        rows = parquet.read_table(path).to_pylist()
        for row in rows:
            row["length"] += row["episode_index"] == 2
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def tensors(root: Path, how: str) -> tuple:
    for file in range(EPISODES):
        path = write_tensors(root / f"{file}.safetensors", tasks=(1,))
    path = root / "1.safetensors"
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-8])
    else:
        found = load_file(path)
        shorter = found[how][:, :-1] if how != "episodes" else found["reward"][:0]
        save_file(found | {how if how != "episodes" else "reward": shorter.copy()}, path)
    return TDMPC2(path=str(root)), path


CASES = [
    *((vd4rl_npz, how) for how in OF_NPZ),
    *((vd4rl_distracting, how) for how in OF_NPZ),
    *((vd4rl_multitask, how) for how in OF_NPZ),
    *((lompo, how) for how in (*OF_NPZ, "state")),
    *((d5rl, how) for how in (*OF_NPZ, "joints")),
    *((vd4rl_hdf5, how) for how in ("reward", "action", "step_type", "discount", "cut")),
    *((minari, how) for how in ("observations", "actions", "rewards", "terminations")),
    (minari, "total_steps"),
    *(
        (minari_arrow, how)
        for how in ("arrow", "parquet", "cut", "no table", "no metadata", "empty")
    ),
    *(
        (lerobot, f"{v} {what}")
        for v in ("3.0", "2.1", "2.0")
        for what in ("table", "list", "video")
    ),
    *((tensors, how) for how in ("obs", "action", "reward", "task", "episodes", "cut")),
]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("write", "how"), CASES, ids=[f"{w.__name__} {how}" for w, how in CASES])
def test_what_lies_is_named_refused_and_left_out_on_request(tmp_path, write, how):
    config, place = write(tmp_path / "files", how)
    named = place.name if isinstance(place, Path) else place
    with pytest.raises(DamagedDataError, match=named) as error:
        write_store(config, tmp_path / "store", workers=1)
    assert "--dataset.skip-damaged" in str(error.value)
    assert not (tmp_path / "store").exists()
    assert isinstance(config, FilesConfig)
    with pytest.warns(UserWarning, match=f"left out 1 .*{named}"):
        store = write_store(replace(config, skip_damaged=True), tmp_path / "other", workers=1)
    assert len(store) == EPISODES - 1
    assert not list(store.verify())


@pytest.mark.parametrize(
    ("said", "message"),
    [({"total_episodes": 4}, "4 total_episodes"), ({"total_steps": 7}, "7 total_steps")],
)
def test_a_minari_dataset_of_fewer_than_its_metadata_count(tmp_path, said, message):
    folder = write_images(tmp_path / "toy/door-v0", episodes=EPISODES, **said)
    with pytest.raises(
        DamagedDataError, match=rf"metadata\.json says {message}; there are 3 total_ep"
    ):
        Minari(path=str(folder)).build()
    with pytest.warns(UserWarning, match=message):
        assert len(Minari(path=str(folder), skip_damaged=True).build()) == EPISODES


@pytest.mark.filterwarnings("ignore::vrl_envs.readers.damage.IncompleteDataWarning")
@pytest.mark.parametrize("total_steps", [{}, {"total_steps": 6}])
def test_minaris_lost_and_damaged_episodes_are_counted_when_it_is_opened(tmp_path, total_steps):
    folder = write_images(
        tmp_path / "toy/door-v0", episodes=EPISODES, total_episodes=EPISODES, **total_steps
    )
    path = folder / "data/main_data.hdf5"
    with h5py.File(path, "a") as file:
        del file["episode_0/observations"]
        file["episode_0/observations"] = np.dtype("f4")  # the first tells how frames are stored
    config = Minari(path=str(folder), skip_damaged=True)
    with pytest.warns(
        IncompleteDataWarning, match="left out 1 damaged episodes.*episode_0"
    ) as told:
        config.build()
    assert len(told) == 1
    with pytest.warns(UserWarning, match="left out 1 of 3 episodes"):
        assert len(write_store(config, tmp_path / "store", workers=1)) == 2
    with h5py.File(path, "a") as file:
        del file["episode_1"]
    with pytest.warns(IncompleteDataWarning, match="first that is missing is episode_1"):
        config.build()
    with h5py.File(path, "a") as file:
        del file["episode_2"]
    with pytest.raises(DamagedDataError, match="All 1 episodes are damaged"):
        config.build()


@pytest.mark.parametrize("write", [write_v2, write_v3])
@pytest.mark.parametrize("name", ["total_episodes", "total_frames"])
def test_a_lerobot_dataset_of_fewer_than_its_metadata_count(tmp_path, write, name):
    folder = write(tmp_path / "push")
    path = folder / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: 99}))
    with pytest.raises(DamagedDataError, match=rf"info\.json says 99 {name}"):
        LeRobot(path=str(folder)).build()
    with pytest.warns(UserWarning, match=f"99 {name}"):
        assert len(LeRobot(path=str(folder), skip_damaged=True).build()) == EPISODES


@pytest.mark.parametrize("name", ["actions", "rewards", "timeouts", "next_observations"])
def test_d4rls_tables_must_be_of_one_length(tmp_path, name):
    """A single file: nothing is left when it is left out, so it is refused in any case."""
    path = tmp_path / "halfcheetah_medium-v2.hdf5"
    with h5py.File(path, "w") as file:
        for each in ("observations", "next_observations", "actions", "rewards", "terminals"):
            width = {"observations": (17,), "next_observations": (17,), "actions": (6,)}
            file[each] = np.zeros((8 - (each == name), *width.get(each, ())), np.float32)
        file["timeouts"] = np.arange(8 - (name == "timeouts")) % 4 == 3
    for skips in (False, True):
        with pytest.raises(DamagedDataError, match=rf"{path.name} .*lengths.*{name}': 7"):
            D4RL(path=str(path), skip_damaged=skips).build()


def test_d4rls_rows_that_cannot_be_read_are_left_out_on_request(tmp_path):
    path = tmp_path / "halfcheetah_medium-v2.hdf5"
    options = {"chunks": (4, 17), "compression": "gzip", "shuffle": False}
    with h5py.File(path, "w") as file:
        noise = np.random.default_rng(0).normal(size=(12, 17))
        table = file.create_dataset("observations", data=noise, **options)
        place = table.id.get_chunk_info(1)
        file["actions"], file["rewards"] = np.zeros((12, 6)), np.zeros(12)
        file["terminals"], file["timeouts"] = np.zeros(12, bool), np.arange(12) % 4 == 3
    content = bytearray(path.read_bytes())
    content[place.byte_offset : place.byte_offset + place.size] = bytes(place.size)
    path.write_bytes(content)
    config = D4RL(path=str(path))
    with pytest.raises(DamagedDataError, match=rf"{path.name} .*skip-damaged"):
        write_store(config, tmp_path / "store", workers=1)
    with pytest.warns(UserWarning, match=f"left out 1 of 3 episodes: .*{path.name}"):
        store = write_store(replace(config, skip_damaged=True), tmp_path / "other", workers=1)
    assert [episode.info["first_row"] for episode in store] == [0, 8]


@pytest.mark.parametrize("how", OF_NPZ)
def test_ogbenchs_one_file_is_refused(tmp_path, how):
    pytest.importorskip("ogbench", reason="OGBench is not installed")
    path = tmp_path / "visual-antmaze-medium-navigate-v0.npz"
    write_ogbench(path)
    lie_in_npz(path, "observations", "qpos", how)
    with pytest.raises(DamagedDataError, match=path.name):
        write_store(OGBenchFiles(path=str(path)), tmp_path / "store", workers=1)


@pytest.mark.parametrize("name", ["observation.state", "reward"])
def test_a_store_with_a_shorter_field_is_refused(tmp_path, name):
    """`joined`, `relabelled` and `rewarded` open stores, which know their lengths."""
    path = tmp_path / "halfcheetah_medium-v2.hdf5"
    with h5py.File(path, "w") as file:
        file["observations"], file["actions"] = np.zeros((8, 17)), np.zeros((8, 6))
        file["rewards"], file["terminals"] = np.zeros(8), np.zeros(8, bool)
        file["timeouts"] = np.arange(8) % 4 == 3
    store: Store = write_store(D4RL(path=str(path)), tmp_path / "store", workers=1)
    field = store.path / f"{name}.npy"
    field.write_bytes(field.read_bytes()[:-4])
    for config in (
        JoinedStores(paths=(store.path,)),
        Relabelled(path=str(store.path)),
    ):
        with pytest.raises(VRLError, match=rf"{name}\.npy is truncated"):
            config.build()


def test_every_reader_is_tried_here():
    registry = Registry(installed=False, modules=(vrl_core.plugin, vrl_envs.plugin))
    readers = {
        kind for kind in registry.options("datasets").values() if issubclass(kind, FilesConfig)
    }
    assert readers == {VD4RL, LOMPO, D5RL, Minari, LeRobot, TDMPC2, D4RL}
