"""Minari's datasets with images: raw and JPEG frames, nested spaces, and its HDF5 and Arrow."""

import json

import numpy as np
import pytest

import vrl_envs.plugin
from tiny_minari import SIZE, as_jpeg, frames, write_images
from vrl_core.commands.data_sources import _recognised
from vrl_core.data_export import export_minari, minari_place
from vrl_core.episodes import FieldSpec
from vrl_core.errors import DamagedDataError, VRLError
from vrl_core.ingest import write_store
from vrl_core.registry import Registry
from vrl_core.testing import check_dataset
from vrl_envs.readers.minari_config import Minari

STEPS = (3, 2)


def box(shape, dtype, low, high):
    import gymnasium

    return gymnasium.spaces.Box(low, high, shape, dtype)


def nested_space():
    import gymnasium

    spaces = gymnasium.spaces
    image = box((SIZE, SIZE, 3), np.uint8, 0, 255)
    cameras = spaces.Dict({"front": image, "small": box((8, 8, 3), np.uint8, 0, 255)})
    return spaces.Dict(
        {
            "cameras": cameras,
            "pair": spaces.Tuple((box((2,), np.float64, -9, 9), spaces.Discrete(5))),
            "mission": spaces.Text(20),
        }
    )


def nested_rows(rows, seed):
    return {
        "cameras": {"front": frames(rows, seed), "small": frames(rows, seed)[:, :8, :8]},
        "pair": (np.arange(2.0 * rows).reshape(rows, 2), np.arange(rows) % 5),
        "mission": ["open the door"] * rows,
    }


def write_with_minari(folder, space, observe, *, data_format="hdf5", jpeg=False):
    """Let Minari write two episodes; the second terminates, both actions within [0, 2]."""
    pytest.importorskip("minari", reason="Minari is not installed")
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage

    data = folder / "data"
    data.mkdir(parents=True)
    storage = MinariStorage.new(
        data,
        observation_space=space,
        action_space=box((2,), np.float32, 0, 2),
        data_format=data_format,
        jpeg_encoding=jpeg,
    )
    for index, steps in enumerate(STEPS):
        last = np.arange(steps) == steps - 1
        buffer = EpisodeBuffer(
            seed=10 + index,
            observations=observe(steps + 1, index),
            actions=np.ones((steps, 2), np.float32),
            rewards=np.arange(steps, dtype=np.float64),
            terminations=last & (index == 1),
            truncations=last & (index == 0),
            infos={"success": (np.arange(steps + 1) == 2 * index).tolist()},
        )
        storage.update_episodes([buffer])
    storage.update_metadata({"dataset_id": "toy/door/human-v0", "minari_version": "0.5.4"})
    return folder


@pytest.mark.parametrize("data_format", ["hdf5", "arrow", "parquet"])
@pytest.mark.parametrize("jpeg", [False, True])
def test_nested_spaces_are_read_as_minari_reads_them(tmp_path, data_format, jpeg):
    if data_format != "hdf5":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    folder = tmp_path / "toy/door/human-v0"
    write_with_minari(folder, nested_space(), nested_rows, data_format=data_format, jpeg=jpeg)
    from minari.dataset.minari_storage import MinariStorage

    config = Minari(path=str(folder))
    dataset = config.build()
    assert dataset.spec.observations == {
        "cameras_front": FieldSpec((SIZE, SIZE, 3), "uint8"),
        "cameras_small": FieldSpec((8, 8, 3), "uint8"),
        "pair_0": FieldSpec((2,), "float32"),
        "pair_1": FieldSpec((), "float32"),
    }
    for index, theirs in enumerate(MinariStorage.read(folder / "data").get_episodes([0, 1])):
        ours, seen = dataset[index], theirs["observations"]
        np.testing.assert_array_equal(ours.observations["cameras_front"], seen["cameras"]["front"])
        np.testing.assert_array_equal(ours.observations["cameras_small"], seen["cameras"]["small"])
        np.testing.assert_array_equal(ours.observations["pair_0"], seen["pair"][0])
        np.testing.assert_array_equal(ours.observations["pair_1"], np.ravel(seen["pair"][1]))
        np.testing.assert_array_equal(ours.rewards, theirs["rewards"])
        np.testing.assert_array_equal(ours.terminations, theirs["terminations"])
        np.testing.assert_array_equal(ours.truncations, theirs["truncations"])
        assert ours.actions.tolist() == [[0, 0]] * STEPS[index]  # 1 is the middle of 0 to 2
        assert ours.info == {
            "episode": f"episode_{index}",
            "seed": 10 + index,
            "success": True,
            "mission": "open the door",
        }
    raw = frames(STEPS[0] + 1, 0)
    assert (dataset[0].observations["cameras_front"] == raw).all() != jpeg
    assert ("JPEG" in dataset.spec.source) == jpeg
    check_dataset(config, episodes=2, spawn=False)
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    assert _recognised(folder, registry) == "minari"


@pytest.mark.parametrize("data_format", ["hdf5", "arrow"])
@pytest.mark.parametrize("jpeg", [False, True])
def test_what_is_exported_comes_back(tmp_path, monkeypatch, data_format, jpeg):
    if data_format != "hdf5":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")

    def observe(rows, index):
        return {"image": frames(rows, index, smooth=jpeg), "state": np.ones((rows, 2), np.float32)}

    import gymnasium

    space = {"image": box((SIZE, SIZE, 3), np.uint8, 0, 255), "state": box((2,), np.float32, -9, 9)}
    first = write_with_minari(tmp_path / "a/one-v0", gymnasium.spaces.Dict(space), observe)
    store = write_store(Minari(path=str(first)), tmp_path / "store", workers=1)
    place = minari_place(store.spec, tmp_path / "root", "toy/again-v0")
    folder = export_minari(store, place, data_format=data_format, jpeg=jpeg)
    again = Minari(path=str(folder)).build()
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "root"))
    import minari

    for index, theirs in enumerate(minari.load_dataset("toy/again-v0").iterate_episodes()):
        ours = again[index]
        np.testing.assert_array_equal(ours.observations["image"], theirs.observations["image"])
        differences = np.abs(
            ours.observations["image"].astype(int) - store[index].observations["image"]
        )
        assert differences.max() <= (8 if jpeg else 0)
        np.testing.assert_array_equal(ours.observations["state"], theirs.observations["state"])
        assert ours.info == dict(store[index].info)
        np.testing.assert_array_equal(ours.terminations, store[index].terminations)
    assert again.spec.source.startswith(store.spec.source)
    assert ("JPEG" in again.spec.source) == jpeg


def write_by_hand(folder, stored, **changes):
    return Minari(path=str(write_images(folder, stored, **changes)))


def test_what_is_stored_tells_whether_frames_are_jpegs(tmp_path):
    """Older metadata do not say; where all JPEGs are of one length, Minari stores a table."""
    raw = frames(3)
    plain = write_by_hand(tmp_path / "plain", raw).build()
    np.testing.assert_array_equal(plain[0].observations["image"], raw)
    assert "JPEG" not in plain.spec.source
    same = np.repeat(frames(1, smooth=True), 3, axis=0)
    for name, stored in (("list", as_jpeg(raw)), ("table", np.stack(as_jpeg(same)))):
        jpeg = write_by_hand(tmp_path / name, stored).build()
        assert jpeg[0].observations["image"].shape == (3, SIZE, SIZE, 3)
        assert "JPEG" in jpeg.spec.source
    assert np.abs(jpeg[0].observations["image"].astype(int) - same).max() < 9
    assert jpeg[0].truncations.tolist() == [False, True]


@pytest.mark.parametrize(
    ("stored", "changes", "error", "message"),
    [
        (frames(3)[:, :16], {"jpeg_encoding": False}, DamagedDataError, "image of shape"),
        ([np.zeros(n, np.uint8) for n in (9, 8, 9)], {}, DamagedDataError, "cannot be read"),
        (as_jpeg(frames(3)[:, :16]), {}, DamagedDataError, "frame 0 of image has shape"),
        (frames(2), {}, DamagedDataError, "one observation more"),
        (frames(3), {"data_format": "zarr"}, VRLError, "stored as 'zarr'; read are hdf5, arrow"),
        (
            frames(3),
            {"observation_space": json.dumps({"type": "Graph"})},
            VRLError,
            "observations of Graph",
        ),
        (frames(3), {"observation_space": json.dumps({"type": "Text"})}, VRLError, "texts alone"),
    ],
)
def test_what_cannot_be_read_is_explained(tmp_path, stored, changes, error, message):
    config = write_by_hand(tmp_path / "bad", stored, **changes)
    with pytest.raises(error, match=message):
        config.build()[0]


def test_without_pyarrow_the_way_to_it_is_named(tmp_path, monkeypatch):
    import sys

    config = write_by_hand(tmp_path / "arrow", frames(3), data_format="arrow")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.dataset", None)
    with pytest.raises(VRLError, match=r"pip install 'vrl-envs\[minari\]'"):
        config.build()
