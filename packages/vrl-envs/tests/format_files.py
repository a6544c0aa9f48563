"""Files of every format that is read, written here, for the benchmarks of conversions.

Each format is a function that writes episodes of so many rows into a folder, the configuration
that reads them, and what its libraries need to read the same bytes by themselves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import format_columns
from format_columns import actions, blocks, frames
from format_lerobot import (
    load_parquet,
    load_video,
    write_lerobot_images,
    write_lerobot_video,
)
from vrl_core.episodes import DataSpec, Episode, FieldSpec
from vrl_core.hooks import DatasetConfig
from vrl_core.store import Store
from vrl_core.store_config import JoinedStores, Rewarded
from vrl_core.store_writer import StoreWriter
from vrl_envs.gym_mujoco.relabelling_config import Relabelled
from vrl_envs.readers.d4rl_config import D4RL
from vrl_envs.readers.d5rl_config import D5RL
from vrl_envs.readers.lompo_config import LOMPO
from vrl_envs.readers.minari_config import Minari
from vrl_envs.readers.ogbench_config import OGBenchFiles
from vrl_envs.readers.tdmpc2_config import TDMPC2
from vrl_envs.readers.vd4rl_config import VD4RL


@dataclass(frozen=True)
class Format:
    """How files of one format are written and read."""

    write: Callable[[Path, Sequence[int], int], DatasetConfig]
    """Writes episodes of so many rows, of frames of a size, and returns what reads them."""
    load: Callable[[Path], Iterator[np.ndarray]]
    """Reads all arrays of a folder by its libraries alone."""
    images: bool = True


def write_members(path: Path, columns: dict[str, Any], images: Sequence[str], size: int) -> None:
    """Write a compressed `.npz` whose columns of images are streamed into it."""
    import zipfile

    path.parent.mkdir(parents=True, exist_ok=True)
    rows = len(columns["action" if "action" in columns else "actions"])
    with zipfile.ZipFile(
        path, "w", zipfile.ZIP_DEFLATED, compresslevel=6 if format_columns.NOISE else 1
    ) as archive:
        for name, values in columns.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(values))  # type: ignore[arg-type]
        for name in images:
            header = {"descr": "|u1", "fortran_order": False, "shape": (rows, size, size, 3)}
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(member, header)  # type: ignore[arg-type]
                for start, count in blocks(rows):
                    member.write(frames(start, count, size).tobytes())


def load_members(folder: Path) -> Iterator[np.ndarray]:
    """Read `.npz` files by NumPy."""
    for path in sorted(folder.rglob("*.npz")):
        with np.load(path) as file:
            for name in file.files:
                yield file[name]


def recorded(rows: int) -> dict[str, Any]:
    """Return the narrow columns that V-D4RL and LOMPO share."""
    acted = actions(rows, 6)
    acted[0] = 0
    return {"action": acted, "reward": np.arange(rows) % 2.0, "discount": np.ones(rows)}


def write_vd4rl_npz(folder: Path, lengths: Sequence[int], size: int) -> DatasetConfig:
    """V-D4RL's 64 px files."""
    folder = folder / f"main/walker_walk/random/{size}px"
    for index, rows in enumerate(lengths):
        row = np.arange(rows)
        flags = {"is_first": row == 0, "is_last": row == rows - 1, "is_terminal": row < 0}
        path = folder / f"20220101T{index:06d}-{'ab' * 16}-{rows}.npz"
        write_members(path, recorded(rows) | flags, ["image"], size)
    return VD4RL(path=str(folder))


def write_lompo(folder: Path, lengths: Sequence[int], size: int) -> DatasetConfig:
    """LOMPO's buffers."""
    for index, rows in enumerate(lengths):
        columns = recorded(rows) | {"success": np.zeros(rows), "state": actions(rows, 13)}
        path = folder / f"door/20210101T{index:06d}-{'cd' * 16}-{rows}.npz"
        write_members(path, columns, ["image"], size)
    return LOMPO(path=str(folder / "door"), proprioception=True)


def write_d5rl(folder: Path, lengths: Sequence[int], size: int) -> DatasetConfig:
    """D5RL's kitchen, of two cameras."""
    for index, rows in enumerate(lengths):
        columns = {"action": actions(rows, 9), "proprio": actions(rows, 9)}
        columns["reward_kettle"] = np.zeros(rows)
        path = folder / f"kettle/20230528T{index:06d}-{'ef' * 16}-{rows}.npz"
        cameras = ["extra_image_12_rgb", "extra_image_wrist_rgb"]
        write_members(path, columns, cameras, size)
    return D5RL(path=str(folder), task="kettle")


def write_ogbench(folder: Path, lengths: Sequence[int], size: int) -> DatasetConfig:
    """OGBench's one file."""
    rows = sum(lengths)
    ends = np.isin(np.arange(rows), np.cumsum(lengths) - 1)
    columns = {
        "actions": actions(rows, 8),
        "terminals": ends.astype(np.float32),
        "qpos": np.random.default_rng(0).normal(size=(rows, 15)),
        "qvel": np.zeros((rows, 14)),
    }
    path = folder / "visual-antmaze-medium-navigate-v0.npz"
    write_members(path, columns, ["observations"], size)
    return OGBenchFiles(path=str(path), ends="recording")


def write_vd4rl_hdf5(folder: Path, lengths: Sequence[int], size: int) -> DatasetConfig:
    """V-D4RL's 84 px tables, in h5py's own chunks."""
    folder = folder / f"main/walker_walk/random/{size}px"
    folder.mkdir(parents=True)
    rows = sum(lengths)
    firsts = np.cumsum([0, *lengths[:-1]])
    steps = np.ones(rows, np.int64)
    steps[firsts], steps[np.cumsum(lengths) - 1] = 0, 2
    with h5py.File(folder / "data.hdf5", "w") as file:
        shape = (rows, 3, size, size)
        # As large as a chunk of rows, so that none is compressed twice.
        images = file.create_dataset("observation", shape, np.uint8, compression="gzip")
        together = images.chunks[0]
        for start in range(0, rows, together):
            count = min(together, rows - start)
            images[start : start + count] = frames(start, count, size).transpose(0, 3, 1, 2)
        for name, values in {**recorded(rows), "step_type": steps}.items():
            file.create_dataset(name, data=values, compression="gzip")
    return VD4RL(path=str(folder))


def load_tables(folder: Path) -> Iterator[np.ndarray]:
    """Read all tables of HDF5 files by h5py, images in whole rows of chunks."""
    for path in sorted(folder.rglob("*.hdf5")):
        found: list[h5py.Dataset] = []
        with h5py.File(path) as file:
            file.visititems(
                lambda _, each, found=found: (
                    found.append(each) if isinstance(each, h5py.Dataset) else None
                )
            )
            for table in found:
                step = table.chunks[0] if table.chunks and len(table.shape) == 4 else len(table)
                for start in range(0, len(table), step):
                    yield table[start : start + step]


def write_d4rl(folder: Path, lengths: Sequence[int], size: int) -> DatasetConfig:
    """D4RL's tables of the ant, compressed as D4RL compresses them."""
    folder.mkdir(parents=True)
    rows = sum(lengths)
    path = folder / "ant_medium-v2.hdf5"
    tables: dict[str, Any] = {
        "actions": actions(rows, 8),
        "rewards": np.zeros(rows, np.float32),
        "terminals": np.zeros(rows, bool),
        "timeouts": np.isin(np.arange(rows), np.cumsum(lengths) - 1),
    }
    with h5py.File(path, "w") as file:
        for name in ("observations", "next_observations"):
            table = file.create_dataset(name, (rows, 111), np.float32, compression="gzip")
            for start in range(0, rows, 2**16):
                count = min(2**16, rows - start)
                high = 99 if format_columns.NOISE else 1
                values = np.random.default_rng(start).integers(0, high, (count, 111))
                table[start : start + count] = values
        for name, values in tables.items():
            file.create_dataset(name, data=values, compression="gzip")
    return D4RL(path=str(path))


def box(shape: tuple[int, ...], dtype: str, low: float, high: float) -> dict[str, Any]:
    """Return a box as Minari's metadata have it."""
    bounds = {"low": np.full(shape, low).tolist(), "high": np.full(shape, high).tolist()}
    return {"type": "Box", "dtype": dtype, "shape": list(shape), **bounds}


def minari_folder(folder: Path, space: dict[str, Any], **metadata: Any) -> Path:
    """Begin a Minari dataset."""
    path = folder / "toy/door-v0"
    (path / "data").mkdir(parents=True)
    spaces = {"observation_space": space, "action_space": box((2,), "float32", -1, 1)}
    texts = {name: json.dumps(value) for name, value in spaces.items()}
    (path / "data/metadata.json").write_text(json.dumps({**texts, **metadata}))
    return path


def minari_steps(rows: int) -> dict[str, np.ndarray]:
    """Return what an episode has of each step."""
    none = np.zeros(rows - 1, bool)
    return {
        "actions": actions(rows - 1, 2),
        "rewards": np.zeros(rows - 1),
        "terminations": none,
        "truncations": none,
    }


def write_minari(folder: Path, lengths: Sequence[int], size: int) -> DatasetConfig:
    """Minari's HDF5 of images, compressed."""
    space = box((size, size, 3), "uint8", 0, 255)
    path = minari_folder(folder, space, data_format="hdf5", total_episodes=len(lengths))
    with h5py.File(path / "data/main_data.hdf5", "w") as file:
        for index, rows in enumerate(lengths):
            group = file.create_group(f"episode_{index}")
            options: dict[str, Any] = {"chunks": (16, size, size, 3), "compression": "gzip"}
            options["chunks"] = (min(16, rows), size, size, 3)
            shape = (rows, size, size, 3)
            images = group.create_dataset("observations", shape, np.uint8, **options)
            for start, count in blocks(rows):
                images[start : start + count] = frames(start, count, size)
            for name, values in minari_steps(rows).items():
                group[name] = values
    return Minari(path=str(path))


def write_minari_states(folder: Path, lengths: Sequence[int], size: int) -> DatasetConfig:
    """Minari's HDF5 of states of 111 numbers."""
    space = box((111,), "float64", -9, 9)
    path = minari_folder(folder, space, data_format="hdf5", total_episodes=len(lengths))
    with h5py.File(path / "data/main_data.hdf5", "w") as file:
        for index, rows in enumerate(lengths):
            group = file.create_group(f"episode_{index}")
            table = group.create_dataset("observations", (rows, 111), np.float64)
            for start in range(0, rows, 2**16):
                count = min(2**16, rows - start)
                table[start : start + count] = np.random.default_rng(start).random((count, 111))
            for name, values in minari_steps(rows).items():
                group[name] = values
    return Minari(path=str(path))


def write_minari_arrow(folder: Path, lengths: Sequence[int], size: int) -> DatasetConfig:
    """Minari's Parquet of images, a table an episode."""
    import pyarrow
    from pyarrow import parquet

    space = box((size, size, 3), "uint8", 0, 255)
    path = minari_folder(folder, space, data_format="parquet", jpeg_encoding=False)
    width = size * size * 3
    for index, rows in enumerate(lengths):
        place = path / f"data/{index}"
        place.mkdir()
        (place / "metadata.json").write_text("{}")
        steps = {name: np.concatenate((x, x[-1:])) for name, x in minari_steps(rows).items()}
        acted = pyarrow.FixedSizeListArray.from_arrays(steps.pop("actions").reshape(-1), 2)
        writer = None
        for start, count in blocks(rows):
            pixels = pyarrow.array(frames(start, count, size).reshape(-1))
            columns = {"observations": pyarrow.FixedSizeListArray.from_arrays(pixels, width)}
            columns["actions"] = acted[start : start + count]
            columns |= {k: pyarrow.array(v[start : start + count]) for k, v in steps.items()}
            table = pyarrow.table(columns)
            writer = writer or parquet.ParquetWriter(place / "part-0.parquet", table.schema)
            writer.write_table(table)
        assert writer is not None
        writer.close()
    return Minari(path=str(path))


def write_tdmpc2(folder: Path, lengths: Sequence[int], size: int) -> DatasetConfig:
    """TD-MPC2's tensors, 39 numbers a state; every episode is as long as the first."""
    folder.mkdir(parents=True)
    episodes, rows = len(lengths), lengths[0]
    shapes: dict[str, tuple[int, ...]] = {
        "obs": (episodes, rows, 39),
        "action": (episodes, rows, 6),
    }
    shapes["reward"] = (episodes, rows)
    header, place = {}, 0
    for name, shape in shapes.items():
        after = place + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [place, after]}
        place = after
    text = json.dumps(header).encode()
    path = folder / "chunk_0.safetensors"
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for shape in shapes.values():
            left = int(np.prod(shape))
            while left:
                count = min(left, 2**22)
                file.write(np.random.default_rng(count).random(count, np.float32).tobytes())
                left -= count
    return TDMPC2(path=str(path), task="walker_walk")


def load_tensors(folder: Path) -> Iterator[np.ndarray]:
    """Read tensors by safetensors."""
    from safetensors import safe_open

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 - it is no dictionary
                table = file.get_slice(name)
                for episode in range(table.get_shape()[0]):
                    yield np.asarray(table[episode])


def write_store(folder: Path, lengths: Sequence[int], fields: dict[str, FieldSpec]) -> Path:
    """Write a store of halfcheetah."""
    spec = DataSpec(task="halfcheetah", observations=fields, action_size=6)
    with StoreWriter(folder, spec, episodes=len(lengths), origin={}) as writer:
        for rows in lengths:
            seen = {
                name: frames(0, rows, field.shape[0])
                if len(field.shape) == 3
                else np.zeros((rows, *field.shape), np.float32)
                for name, field in fields.items()
            }
            none = np.zeros(rows - 1, bool)
            acted = actions(rows - 1, 6)
            rewards = np.zeros(rows - 1, np.float32)
            writer.append(
                Episode(
                    observations=seen,
                    actions=acted,
                    rewards=rewards,
                    terminations=none,
                    truncations=none,
                )
            )
        writer.finish()
    return folder


def write_joined(folder: Path, lengths: Sequence[int], size: int) -> DatasetConfig:
    """A store of images."""
    fields = {"image": FieldSpec((size, size, 3), "uint8")}
    return JoinedStores(paths=(write_store(folder / "store", lengths, fields),))


def write_relabelled(folder: Path, lengths: Sequence[int], size: int) -> DatasetConfig:
    """A store of states."""
    fields = {"state": FieldSpec((17,), "float32")}
    return Relabelled(path=str(write_store(folder / "store", lengths, fields)))


def write_rewarded(folder: Path, lengths: Sequence[int], size: int) -> DatasetConfig:
    """A store of images and an untrained classifier."""
    from vrl_core.reward_classifier import ClassifierCard, RewardClassifier, RewardNetwork
    from vrl_core.reward_config import ClassifierTraining

    fields = {"image": FieldSpec((size, size, 3), "uint8")}
    store = write_store(folder / "store", lengths, fields)
    training = ClassifierTraining(channels=(4, 4), strides=(2, 2), hidden_size=8)
    card = ClassifierCard(
        image_shape=(size, size, 3),
        observation="image",
        task="halfcheetah",
        camera=None,
        rendering=None,
        store="",
        labels={"positive": 1, "negative": 1},
        training=training,
    )
    network = RewardNetwork(card.image_shape, training)
    RewardClassifier(network, card).write(folder / "classifier")
    return Rewarded(path=str(store), classifier=folder / "classifier")


def load_store(folder: Path) -> Iterator[np.ndarray]:
    """Read a store's fields a block of rows at a time."""
    for field in Store.open(folder / "store").fields.values():
        for start, count in blocks(len(field)):
            yield np.array(field[start : start + count])


FORMATS = {
    "v-d4rl npz": Format(write_vd4rl_npz, load_members),
    "v-d4rl hdf5": Format(write_vd4rl_hdf5, load_tables),
    "lompo": Format(write_lompo, load_members),
    "d5rl": Format(write_d5rl, load_members),
    "ogbench-npz": Format(write_ogbench, load_members),
    "minari hdf5": Format(write_minari, load_tables),
    "minari parquet": Format(write_minari_arrow, load_parquet),
    "minari states": Format(write_minari_states, load_tables, images=False),
    "d4rl": Format(write_d4rl, load_tables, images=False),
    "td-mpc2": Format(write_tdmpc2, load_tensors, images=False),
    "lerobot video": Format(write_lerobot_video, load_video),
    "lerobot images": Format(write_lerobot_images, load_parquet),
    "joined": Format(write_joined, load_store),
    "relabelled": Format(write_relabelled, load_store, images=False),
    "rewarded": Format(write_rewarded, load_store),
}
