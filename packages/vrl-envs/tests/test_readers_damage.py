"""Tables of HDF5 with damage at any place: recognising and reading them raises `VRLError` alone."""

import random
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from tiny_d4rl import write_tables
from tiny_minari import write_images
from tiny_vd4rl import table, write_hdf5
from vrl_core.errors import DamagedDataError, VRLError
from vrl_envs.readers.d4rl_config import D4RL
from vrl_envs.readers.minari_config import Minari
from vrl_envs.readers.unreadable import unreadable
from vrl_envs.readers.vd4rl_config import VD4RL

TIMES = 25
"""Damages of each kind."""
HEADER_BYTES = 1600

pytestmark = pytest.mark.filterwarnings("ignore::vrl_envs.readers.damage.IncompleteDataWarning")


def d4rl(root: Path) -> tuple:
    path = write_tables(root / "halfcheetah_medium-v2.hdf5", following=True)
    return D4RL(path=str(path)), path


def vd4rl(root: Path) -> tuple:
    folder = root / "walker_walk/expert/84px"
    path = write_hdf5(folder / "0.hdf5", table([4] * 3), chunks=(7, 1, 2, 4))
    return VD4RL(path=str(folder)), path


def minari(root: Path) -> tuple:
    folder = write_images(root / "toy/door-v0", np.zeros((3, 32, 32, 3), np.uint8), episodes=2)
    return Minari(path=str(folder)), folder / "data/main_data.hdf5"


def cut(sound: bytes, chance: random.Random) -> Iterator[bytes]:
    for _ in range(TIMES):
        yield sound[: chance.randrange(len(sound))]


def flip_bits(sound: bytes, chance: random.Random) -> Iterator[bytes]:
    for _ in range(TIMES):
        content = bytearray(sound)
        for _ in range(chance.choice((1, 4, 30))):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        yield content


def lose_a_block(sound: bytes, chance: random.Random) -> Iterator[bytes]:
    for _ in range(TIMES):
        start, size = chance.randrange(len(sound)), chance.choice((8, 64, 512))
        yield sound[:start] + bytes(len(sound[start : start + size])) + sound[start + size :]


def spoil_each_header(sound: bytes, _: random.Random) -> Iterator[bytes]:
    """The file's own, the root's, and those of the first tables."""
    for place in range(0, HEADER_BYTES, 8):
        if any(sound[place : place + 8]):
            yield sound[:place] + b"\xff" * 8 + sound[place + 8 :]


@pytest.mark.parametrize("harm", [cut, flip_bits, lose_a_block, spoil_each_header])
@pytest.mark.parametrize("write", [d4rl, vd4rl, minari])
def test_whatever_is_damaged_only_our_errors_come_out(tmp_path, write, harm):
    config, path = write(tmp_path)
    chance, refused = random.Random(f"{write.__name__} {harm.__name__}"), 0
    for content in harm(path.read_bytes(), chance):
        path.unlink()  # HDF5 keeps what it knows of a file that is still open
        path.write_bytes(content)
        type(config).recognises(config.path)
        unreadable(Path(config.path))
        try:
            dataset = config.build()
            for index in range(len(dataset)):
                dataset[index]
        except VRLError:
            refused += 1
    assert refused


def test_a_table_that_is_no_table_any_more_is_damage(tmp_path):
    """h5py raises KeyError, TypeError or AttributeError then, outside of reading rows too."""
    config, path = d4rl(tmp_path)
    with h5py.File(path, "a") as file:
        del file["timeouts"]
        file["timeouts"] = np.dtype("f4")
    assert D4RL.recognises(path)
    with pytest.raises(DamagedDataError, match=f"{path} cannot be read"):
        config.build()
