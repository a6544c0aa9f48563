"""A conversion that was killed goes on where it stopped, whatever the format, to the same bytes."""

import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from tiny_formats import write_d5rl, write_lompo, write_tensors
from tiny_lerobot import write_v3
from tiny_minari import write_images
from tiny_ogbench import write_ogbench
from tiny_vd4rl import table, write_hdf5, write_npz
from vrl_core.ingest import write_store
from vrl_core.store import staging_folder
from vrl_core.store_manifest import read_journal
from vrl_envs.readers.d4rl_config import D4RL
from vrl_envs.readers.d5rl_config import D5RL
from vrl_envs.readers.lerobot_config import LeRobot
from vrl_envs.readers.lompo_config import LOMPO
from vrl_envs.readers.minari_config import Minari
from vrl_envs.readers.ogbench_config import OGBenchFiles
from vrl_envs.readers.tdmpc2_config import TDMPC2
from vrl_envs.readers.vd4rl_config import VD4RL

pytestmark = pytest.mark.filterwarnings("ignore::vrl_envs.readers.damage.IncompleteDataWarning")


def configurations(root: Path):
    """Each new format's files and what reads them."""
    write_lompo(root / "lompo", episodes=3)
    write_d5rl(root / "d5rl", episodes=3)
    write_tensors(root / "tensors/a.safetensors", tasks=(1, 1, 1))
    write_v3(root / "lerobot")
    write_npz(root / "multitask/walker_walk_random/64px", episodes=3)
    return {
        "lompo": LOMPO(path=str(root / "lompo")),
        "d5rl": D5RL(path=str(root / "d5rl"), task="kettle"),
        "td-mpc2": TDMPC2(path=str(root / "tensors")),
        "lerobot": LeRobot(path=str(root / "lerobot")),
        "ogbench": ogbench_files(root),
        "minari": minari_files(root),
        "multitask": VD4RL(path=str(root / "multitask/walker_walk_random/64px")),
        "v-d4rl": vd4rl_tables(root),
        "d4rl": d4rl_tables(root),
    }


def vd4rl_tables(root: Path) -> VD4RL:
    folder = root / "main/walker_walk/random/84px"
    write_hdf5(folder / "data.hdf5", table([4, 3, 5]))
    return VD4RL(path=str(folder))


def d4rl_tables(root: Path) -> D4RL:
    ends = np.arange(12) % 4 == 3
    tables = {
        "observations": np.random.default_rng(0).normal(size=(12, 17)).astype(np.float32),
        "actions": np.zeros((12, 6), np.float32),
        "rewards": np.arange(12, dtype=np.float32),
        "terminals": np.zeros(12, bool),
        "timeouts": ends,
    }
    path = root / "halfcheetah_medium-v2.hdf5"
    with h5py.File(path, "w") as file:
        for name, values in tables.items():
            file.create_dataset(name, data=values)
    return D4RL(path=str(path))


def ogbench_files(root: Path) -> OGBenchFiles:
    path = root / "visual-antmaze-medium-navigate-v0.npz"
    write_ogbench(path)
    return OGBenchFiles(path=str(path), ends="recording")


def minari_files(root: Path) -> Minari:
    return Minari(path=str(write_images(root / "toy/door-v0", episodes=3)))


def kill_after_one_episode(config, folder: Path) -> None:
    """Write a store in a process of its own that kills itself once an episode is on the disk."""
    name = type(config).__name__
    code = (
        "import os, signal, warnings; warnings.simplefilter('ignore')\n"
        f"from {type(config).__module__} import {name}\n"
        "from vrl_core import ingest, store_writer\n"
        "store_writer.FLUSH_SECONDS = 0.0\n"
        "def die(progress): os.kill(os.getpid(), signal.SIGKILL)\n"
        f"ingest.write_store({config!r}, {str(folder)!r}, workers=1, on_progress=die)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == -signal.SIGKILL, result.stderr


@pytest.mark.parametrize(
    "name",
    [
        "lompo",
        "d5rl",
        "td-mpc2",
        "lerobot",
        "ogbench",
        "minari",
        "multitask",
        "v-d4rl",
        "d4rl",
    ],
)
def test_a_killed_conversion_goes_on(tmp_path, name):
    if name == "ogbench":
        pytest.importorskip("ogbench", reason="OGBench is not installed")
    config = configurations(tmp_path)[name]
    kill_after_one_episode(config, tmp_path / "killed")
    assert len(read_journal(staging_folder(tmp_path / "killed")).episodes) == 1
    seen = []
    killed = write_store(config, tmp_path / "killed", workers=1, on_progress=seen.append)
    assert (seen[0].resumed, seen[-1].episodes) == (1, 3)
    whole = write_store(config, tmp_path / "whole", workers=1)
    files = sorted(whole.path.iterdir())
    assert [file.name for file in sorted(killed.path.iterdir())] == [file.name for file in files]
    for file in files:
        assert (killed.path / file.name).read_bytes() == file.read_bytes()
