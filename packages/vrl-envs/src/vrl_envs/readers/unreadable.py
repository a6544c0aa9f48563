"""Why files that no reader recognises cannot be read: they are damaged, or they are pickles.

Nothing is unpickled: names of files and headers of arrays tell.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path

import h5py
from safetensors import SafetensorError, safe_open

from vrl_core.errors import DamagedDataError
from vrl_envs.readers.damage import DAMAGE, damaged
from vrl_envs.readers.recognition import LOOKED_AT, files_below
from vrl_envs.readers.recorded_npz import array_header, headers

DESCRIPTIONS = ("meta/info.json", "data/metadata.json")
"""Files that tell of LeRobot's and Minari's datasets what lies beside them."""
PARQUET = b"PAR1"
"""First and last bytes of a Parquet file."""
FROM_PICKLE = ("pickle", "pickle.loads(path.read_bytes())")
FROM_TORCH = ("torch", "torch.load(path, weights_only=False)")
LOADERS: Mapping[str, tuple[str, str]] = {
    ".pkl": FROM_PICKLE,
    ".pickle": FROM_PICKLE,
    ".p": FROM_PICKLE,
    ".pt": FROM_TORCH,
    ".pth": FROM_TORCH,
    ".npy": ("numpy", "numpy.load(path, allow_pickle=True).item()"),
}
"""Module and expression that load a pickle elsewhere, by how its name ends."""
PICKLE_STARTS = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))
"""First bytes of a pickle of a protocol of today; its last is a full stop."""
PARTS_BELOW = 5
"""Most levels that a part of a dataset lies below the folder which is to be given."""


def unreadable(path: Path) -> str | None:
    """Name what is damaged at or below a path, or say why its pickles are refused.

    None where a few files of each kind are neither. Never raises.
    """
    damage = [str(error) for error in islice(_damage(path), 3)]
    if damage:
        return " ".join(damage)
    for folder in islice(path.resolve().parents, PARTS_BELOW):
        if any((folder / name).is_file() for name in DESCRIPTIONS):
            return f"It is a part of the dataset {folder}. Give that folder."
    pickles = [
        *files_below(path, tuple(LOADERS.keys() - {".npy"})),
        *_arrays_of_objects(path),
        *_unnamed_pickles(path),
    ]
    if not pickles:
        return None
    return f"{path} holds {len(pickles)} pickles, such as {pickles[0].name}. {way_out(pickles[0])}"


def way_out(pickle: Path) -> str:
    """Say why a pickle is refused, and how to turn it and those beside it into `.npz`."""
    module, load = LOADERS.get(pickle.suffix, FROM_PICKLE)
    modules = ", ".join(sorted({"numpy", "pathlib", module}))
    pattern = f"*{pickle.suffix}" if pickle.suffix else pickle.name
    return (
        "Loading a pickle runs the program in it, so none is loaded here. If you trust where it "
        "came from, turn it and those beside it into .npz files in an environment of your own:\n"
        f"  import {modules}\n"
        f"  for path in pathlib.Path({str(pickle.parent)!r}).rglob({pattern!r}):\n"
        f"      episode = {load}\n"
        "      arrays = {name: numpy.asarray(v) for name, v in episode.items()}\n"
        "      numpy.savez_compressed(path.with_suffix('.npz'), "
        "**{name: v for name, v in arrays.items() if v.dtype != object})"
    )


def _damage(path: Path) -> Iterator[DamagedDataError]:
    """Yield what is wrong with files that a reader would open."""
    for kinds, check in CHECKS.items():
        for file in islice(files_below(path, kinds), LOOKED_AT):
            try:
                check(file)
            except DamagedDataError as error:
                yield error
    for name in DESCRIPTIONS:
        if (path / name).is_file():
            try:
                with damaged(path / name):
                    json.loads((path / name).read_text(encoding="utf-8"))
            except DamagedDataError as error:
                yield error


def _check_tables(path: Path) -> None:
    with damaged(path), h5py.File(path, "r") as file:
        for each in file.values():
            _ = each.name, getattr(each, "shape", None), getattr(each, "dtype", None)


def _check_parquet(path: Path) -> None:
    """Look at both ends: Arrow, which reads them, comes with an extra."""
    with damaged(path), path.open("rb") as stream:
        ends = stream.read(len(PARQUET))
        stream.seek(-len(PARQUET), os.SEEK_END)
        if (ends, stream.read()) != (PARQUET, PARQUET):
            raise ValueError("a Parquet file begins and ends with PAR1")


def _check_tensors(path: Path) -> None:
    with damaged(path, SafetensorError), safe_open(path, framework="numpy") as file:
        file.keys()


CHECKS: Mapping[tuple[str, ...], Callable[[Path], object]] = {
    (".hdf5", ".h5"): _check_tables,
    (".npz",): headers,
    (".parquet",): _check_parquet,
    (".safetensors",): _check_tensors,
}
"""What opens the files whose names end so; raises `DamagedDataError`."""


def _arrays_of_objects(path: Path) -> Iterator[Path]:
    """Yield the first `.npy` files that are pickled objects."""
    for file in islice(files_below(path, (".npy",)), LOOKED_AT):
        with suppress(*DAMAGE), file.open("rb") as stream:
            if array_header(stream)[2].hasobject:
                yield file


def _unnamed_pickles(path: Path) -> Iterator[Path]:
    """Yield pickles among the first files whose names do not tell what they are."""
    known = {suffix for kinds in CHECKS for suffix in kinds} | set(LOADERS)
    files = [path] if path.is_file() else files_below(path, ("",))
    for file in islice((each for each in files if each.suffix not in known), LOOKED_AT):
        with suppress(OSError), file.open("rb") as stream:
            first = stream.read(2)
            stream.seek(-1, os.SEEK_END)
            if first in PICKLE_STARTS and stream.read(1) == b".":
                yield file
