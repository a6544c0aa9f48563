"""Memory of conversions: neither one huge episode nor very many short ones make it grow."""

import ctypes
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest

import format_columns
import format_files
import vrl_core.plugin
import vrl_envs.plugin
from format_files import FORMATS
from tiny_lerobot import features, stats, write_info
from vrl_core import episodes
from vrl_core.episode_records import EpisodeRecord, EpisodeRecords
from vrl_core.ingest import write_store
from vrl_core.registry import Registry
from vrl_core.store import Store
from vrl_core.testing import check_dataset
from vrl_envs.readers import d4rl_dataset, hdf5_blocks, minari_arrow
from vrl_envs.readers.d4rl_config import D4RL
from vrl_envs.readers.lerobot_episodes import find_episodes
from vrl_envs.readers.lerobot_info import read_info
from vrl_envs.readers.tdmpc2_config import TDMPC2
from vrl_envs.readers.vd4rl_config import VD4RL

CLEAR = Path("/proc/self/clear_refs")
SIZE, MEGABYTES, ALLOWED = 128, 44, 36
"""Edge of frames; megabytes of a store; growth allowed: what libraries keep for themselves is some
15, and one that held the episode would need its bytes beside that."""
WIDTHS = {"d4rl": 444, "minari states": 444, "td-mpc2": 156, "relabelled": 68}
"""Bytes of a row in the store, of the formats without images."""
MANY = 10_000
ALLOWED_EACH = 200
"""Bytes of the index that an episode may take, the tables' own columns included."""

pytestmark = pytest.mark.filterwarnings("ignore::vrl_envs.readers.damage.IncompleteDataWarning")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Small pieces, easily compressed frames, and no waiting for the disk."""
    monkeypatch.setattr(episodes, "PIECE_BYTES", 2**20)
    monkeypatch.setattr(hdf5_blocks, "BLOCK_BYTES", 2**21)
    monkeypatch.setattr(d4rl_dataset, "TABLE_BYTES", 2**21)
    monkeypatch.setattr(minari_arrow, "BATCH_BYTES", 2**18)
    monkeypatch.setattr(format_columns, "NOISE", False)
    monkeypatch.setattr("os.fsync", lambda _: None)


def resident(line: str) -> float:
    """Return megabytes of this process: `VmRSS` now, `VmHWM` at the most."""
    [found] = [x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(line)]
    return int(found.split()[1]) / 1e3


def growth(run) -> float:
    """Return the megabytes by which this process grew at the most while something ran."""
    ctypes.CDLL(None).malloc_trim(0)
    CLEAR.write_text("5")  # the most is counted from here on
    before = resident("VmRSS")
    run()
    return resident("VmHWM") - before


@pytest.mark.skipif(
    not CLEAR.exists(), reason="only Linux tells of the largest memory since a time"
)
@pytest.mark.parametrize("name", FORMATS)
def test_one_huge_episode_is_converted_in_pieces(tmp_path, name):
    if name == "ogbench-npz":
        pytest.importorskip("ogbench", reason="OGBench is not installed")
    row = WIDTHS.get(name, 3 * SIZE**2 * (2 if name == "d5rl" else 1))
    few, many = (
        FORMATS[name].write(tmp_path / str(rows), [rows], SIZE)
        for rows in (8, int(MEGABYTES * 1e6 / row))
    )
    write_store(few, tmp_path / "warm", workers=1)  # libraries take what they always take
    grown = growth(lambda: write_store(many, tmp_path / "store", workers=1))
    assert Store.open(tmp_path / "store").size > 0.9 * MEGABYTES * 1e6
    assert grown < ALLOWED


@pytest.mark.parametrize("name", FORMATS)
def test_pieces_are_the_episode(tmp_path, name, monkeypatch):
    """Every byte of the store is the same however an episode is cut."""
    if name == "ogbench-npz":
        pytest.importorskip("ogbench", reason="OGBench is not installed")
    config = FORMATS[name].write(tmp_path / "files", [9, 9, 9], 32)
    whole = write_store(config, tmp_path / "whole", workers=1)
    monkeypatch.setattr(episodes, "PIECE_BYTES", 5 * WIDTHS.get(name, 3 * 32**2))
    cut = write_store(config, tmp_path / "cut", workers=1)
    for file in sorted(whole.path.iterdir()):
        assert file.read_bytes() == (cut.path / file.name).read_bytes(), file.name
    assert whole.lengths.tolist() in ([8, 8, 8], [9, 9, 9])
    assert len(list(config.build().pieces(1))) > 1
    check_dataset(config, episodes=2, spawn=False)


def test_every_reader_is_tried_here(tmp_path):
    registry = Registry(installed=False, modules=(vrl_core.plugin, vrl_envs.plugin))
    tried = {type(each.write(tmp_path / name, [4], 32)) for name, each in FORMATS.items()}
    files = {
        kind
        for name, kind in registry.options("datasets").items()
        if "path" in kind.__dataclass_fields__ and name != "store"
    }
    assert files <= tried


def index_bytes(config) -> float:
    """Return the bytes that finding the episodes took at the most, by episode."""
    tracemalloc.start()
    found = len(config.build())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == MANY
    return peak / found


def test_the_index_of_many_short_episodes_is_small(tmp_path):
    rows = 2 * MANY
    last = np.arange(rows) % 2
    d4rl, vd4rl = tmp_path / "hopper_random-v2.hdf5", tmp_path / "walker_walk/random/84px/0.hdf5"
    vd4rl.parent.mkdir(parents=True)
    with h5py.File(d4rl, "w") as file:
        file["observations"] = file["next_observations"] = np.zeros((rows, 1), np.float32)
        file["actions"], file["rewards"] = np.zeros((rows, 1), np.float32), np.zeros(rows)
        file["terminals"], file["timeouts"] = last, np.zeros(rows)
    with h5py.File(vd4rl, "w") as file:
        file["observation"] = np.zeros((rows, 3, 1, 1), np.uint8)
        file["action"], file["reward"] = np.zeros((rows, 6), np.float32), np.zeros(rows)
        file["step_type"] = 2 * last
    format_files.write_tdmpc2(tmp_path / "tensors", [2] * MANY, 0)
    for config in (
        D4RL(path=str(d4rl)),
        VD4RL(path=str(vd4rl)),
        TDMPC2(path=str(tmp_path / "tensors"), task="walker_walk"),
    ):
        assert index_bytes(config) < ALLOWED_EACH, config


def test_lerobots_list_of_many_short_episodes_is_small(tmp_path):
    write_info(tmp_path, "v2.1", features("video"))
    (tmp_path / "meta/stats.json").write_text(str(stats()))
    line = '{{"episode_index": {}, "tasks": ["push"], "length": 2}}\n'
    text = "".join(line.format(number) for number in range(MANY))
    (tmp_path / "meta/episodes.jsonl").write_text(text)
    info = read_info(tmp_path)
    tracemalloc.start()
    found = find_episodes(info)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == MANY
    assert peak / MANY < ALLOWED_EACH
    assert found[MANY - 1].data.name == f"episode_{MANY - 1:06d}.parquet"


def test_what_a_store_knows_of_an_episode_is_its_line():
    record = EpisodeRecord(length=2, undiscounted_return=1.5, info={"row": 1}, checksums={"a": 7})
    tracemalloc.start()
    records = EpisodeRecords(record for _ in range(MANY))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert records[MANY - 1] == record
    assert records.rows == 3 * MANY
    assert peak / MANY < ALLOWED_EACH
