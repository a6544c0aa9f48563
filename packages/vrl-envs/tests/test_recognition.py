"""What `vrl data convert PATH` says of files that no dataset can take: damage, pickles, folders."""

import json
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

import vrl_envs.plugin
from tiny_d4rl import write_tables
from tiny_formats import write_lompo, write_tensors
from tiny_lerobot import write_v3
from tiny_minari import write_images
from tiny_vd4rl import table, write_hdf5
from vrl_core.commands.data import main
from vrl_core.commands.data_sources import _recognised
from vrl_core.errors import VRLError
from vrl_core.registry import Registry
from vrl_envs.readers.d4rl_config import D4RL
from vrl_envs.readers.minari_config import Minari

REGISTRY = Registry(installed=False, modules=(vrl_envs.plugin,))


PICKLE = b"(dS'action'\n(lF0.5\nasS'info'\n(ds."
"""A dictionary of a list of a number, `action`, and an empty dictionary, `info`."""


class Explosive:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return (Path.touch, (self.file,))


def refusal(path: Path) -> str:
    with pytest.raises(VRLError) as error:
        main(["convert", str(path), str(path.parent / "store")], REGISTRY)
    assert not (path.parent / "store").exists()
    return str(error.value)


def overwrite(path: Path, start: int, content: bytes) -> None:
    whole = bytearray(path.read_bytes())
    whole[start : start + len(content)] = content
    path.write_bytes(whole)


def damaged_d4rl(folder: Path) -> Path:
    path = write_tables(folder / "mine.hdf5")
    overwrite(path, 8, bytes(40))
    return path


def damaged_table(folder: Path) -> Path:
    path = write_hdf5(folder / "unnamed.hdf5", table([4]))
    path.write_bytes(path.read_bytes()[:-900])
    return path


def damaged_npz(folder: Path) -> Path:
    path = write_lompo(folder, episodes=1)[0]
    path.write_bytes(path.read_bytes()[:200])
    return path


def damaged_tensors(folder: Path) -> Path:
    path = write_tensors(folder / "chunk.safetensors")
    path.write_bytes(path.read_bytes()[:-8])
    return path


def damaged_parquet(folder: Path) -> Path:
    path = folder / "train-00000.parquet"
    path.write_bytes(b"PAR1" + bytes(40))
    return path


def damaged_info(folder: Path) -> Path:
    path = write_v3(folder) / "meta/info.json"
    path.write_text("")
    return path


def damaged_metadata(folder: Path) -> Path:
    path = folder / "data/metadata.json"
    path.parent.mkdir()
    path.write_text('{"total_ep')
    return path


@pytest.mark.parametrize(
    "write",
    [
        damaged_d4rl,
        damaged_table,
        damaged_npz,
        damaged_tensors,
        damaged_parquet,
        damaged_info,
        damaged_metadata,
    ],
)
@pytest.mark.parametrize("whole_folder", [False, True])
def test_a_damaged_file_is_named(tmp_path, write, whole_folder):
    folder = tmp_path / "files"
    folder.mkdir()
    file = write(folder)
    said = refusal(folder if whole_folder or file.suffix == ".json" else file)
    assert f"{file} cannot be read: " in said
    assert "Fetch it again." in said


def test_damaged_metadata_are_told_by_their_format(tmp_path):
    info = write_v3(tmp_path / "push") / "meta/info.json"
    info.write_text(info.read_text()[:-30])
    assert "LeRobot dataset" in refusal(tmp_path / "push")
    minari = write_images(tmp_path / "toy/door-v0")
    (minari / "data/main_data.hdf5").unlink()
    assert "main_data.hdf5 cannot be read" in refusal(minari)


@pytest.mark.parametrize("suffix", [".pkl", ".pickle", ".pt", ".npy", ".npz"])
def test_pickles_are_refused_with_a_way_out(tmp_path, suffix):
    """They would run a program if loaded, and the lines printed turn them into plain arrays."""
    folder = tmp_path / "buffers"
    folder.mkdir()
    file = folder / f"episode{suffix}"
    episode = {"image": np.zeros((3, 4, 4, 3), np.uint8), "info": Explosive(tmp_path / "ran")}
    if suffix == ".npy":
        np.save(file, np.array(episode, object), allow_pickle=True)
    elif suffix == ".npz":
        np.savez(file, **{name: np.array(each) for name, each in episode.items()})
    elif suffix == ".pt":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("episode/data.pkl", PICKLE)
    else:
        file.write_bytes(PICKLE)
    for path in (folder, file):
        said = refusal(path)
        assert "Loading a pickle runs the program in it, so none is loaded here" in said
        assert file.name in said
        assert "numpy.savez_compressed" in said
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["buffer", "buffer.data"])
def test_a_pickle_is_known_by_its_content(tmp_path, name):
    """Any other file of that name is not called one."""
    file = tmp_path / name
    file.write_bytes(b"\x80\x02" + PICKLE)
    for path in (tmp_path, file):
        said = refusal(path)
        assert f"1 pickles, such as {name}" in said
    [*_, lines] = said.partition(":\n")
    exec("\n".join(line.removeprefix("  ") for line in lines.splitlines()), {})
    with np.load(tmp_path / "buffer.npz") as found:
        assert found.files == ["action"]
    for content in (b"", b"\x80", b"\x80\x04 no end", b"text."):
        file.write_bytes(content)
        assert "is of no format known here" in refusal(file)
        assert "Loading a pickle" not in refusal(file)


def test_the_lines_that_turn_pickles_into_arrays_do(tmp_path):
    (tmp_path / "a.pkl").write_bytes(PICKLE)
    np.save(tmp_path / "b.npy", np.array({"action": [0.5], "info": {}}), allow_pickle=True)
    for suffix in (".pkl", ".npy"):
        [*_, lines] = refusal(next(tmp_path.glob(f"*{suffix}"))).partition(":\n")
        exec("\n".join(line.removeprefix("  ") for line in lines.splitlines()), {})
    for name in ("a.npz", "b.npz"):
        with np.load(tmp_path / name) as found:
            assert found.files == ["action"]
            assert found["action"].tolist() == [0.5]


def write_d4rl(folder: Path) -> Path:
    folder.mkdir()
    return write_tables(folder / "halfcheetah_medium-v2.hdf5")


@pytest.mark.parametrize(
    ("write", "name"), [(write_images, "minari"), (write_v3, "lerobot"), (write_d4rl, "d4rl")]
)
def test_a_folder_above_a_dataset_is_told_which_path_to_give(tmp_path, write, name):
    path = write(tmp_path / "one")
    said = refusal(tmp_path)
    assert f"Below it lies a dataset: {path} ({name})." in said
    assert said.endswith(f"Give its path: vrl data convert {path} STORE")
    assert _recognised(path, REGISTRY) == name


def test_a_folder_above_several_datasets_lists_them(tmp_path):
    first, second = write_d4rl(tmp_path / "a"), write_images(tmp_path / "b c/door-v0")
    damaged_d4rl(tmp_path / "a")
    said = refusal(tmp_path)
    assert f"Below it lie 2 datasets: {first} (d4rl); {second} (minari)" in said
    assert f"Give the path of one: vrl data convert {first} STORE\n" in said
    assert f"{tmp_path}/a/mine.hdf5 cannot be read" in said
    assert f"convert '{second}' STORE" in refusal(tmp_path / "b c")


@pytest.mark.parametrize("write", [write_images, write_v3])
def test_a_part_of_a_dataset_is_told_the_folder_to_give(tmp_path, write):
    folder = write(tmp_path / "door-v0")
    for part in (folder / "data", folder / "meta/info.json", *(folder / "data").rglob("*.hdf5")):
        if part.exists():
            assert f"It is a part of the dataset {folder}. Give that folder." in refusal(part)


def test_data_of_no_format_is_not_called_damaged(tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["weights"] = np.zeros(3)
    np.savez(tmp_path / "b.npz", weights=np.zeros(3))
    np.save(tmp_path / "c.npy", np.zeros(3))
    (tmp_path / "d.json").write_text("{")
    said = refusal(tmp_path)
    assert "is of no format known here: it holds 4 files" in said
    assert "Name the dataset: vrl data convert DATASET" in said
    assert "cannot be read" not in said


def test_metadata_without_what_is_needed_are_named(tmp_path):
    folder = write_images(tmp_path / "door-v0", observation_space=json.dumps({"type": "Box"}))
    with pytest.raises(VRLError, match=r"metadata\.json cannot be read: 'dtype'|'shape'"):
        Minari(path=str(folder)).build()
    assert D4RL.unreadable(tmp_path) is None
