"""`.npz` files of one episode each, as Dreamer's replay buffers write them.

V-D4RL, LOMPO and D5RL share this form: one array a column, one row a frame, aligned as in
`vd4rl_alignment.py`. The length in a file's name is never read: published files state rows, others
steps, some neither. Headers are read without decompressing columns.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy_format

from vrl_core.errors import DamagedDataError, VRLError
from vrl_envs.readers.damage import damaged, some
from vrl_envs.readers.vd4rl_alignment import SCALARS, row_shape

FLAGS = ("is_first", "is_last", "is_terminal", "terminal", "success", "mask")


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """Shape and dtype of a column."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]


@dataclass(frozen=True, kw_only=True, slots=True)
class NpzFile:
    """What is known of a file without decompressing it."""

    path: Path
    rows: int
    columns: Mapping[str, Header]
    reconciled: bool
    """Whether its flags were longer than its data."""


def describe(path: Path, required: Sequence[str], source: str) -> NpzFile:
    """Read the headers of a file with these columns; `source` names the format in errors.

    Flags that are longer than the data are cut to it when they are read. Raises `VRLError` when a
    column is missing or of another kind, `DamagedDataError` when columns have different lengths.
    """
    return describe_columns(path, headers(path), required, source)


def describe_columns(
    path: Path, columns: Mapping[str, Header], required: Sequence[str], source: str
) -> NpzFile:
    """Check columns whose headers were read; see `describe`."""
    missing = [name for name in required if name not in columns]
    if missing:
        raise VRLError(
            f"{path} lacks {', '.join(missing)}; it holds {', '.join(sorted(columns)) or 'no'} "
            f"columns. A {source} file holds at least {', '.join(required)}."
        )
    check_actions(path, columns["action"])
    for name in SCALARS & set(columns):
        if row_shape(name, columns[name].shape) != ():
            raise VRLError(
                f"{path} has {name} of shape {columns[name].shape}; expected one number a row."
            )
    rows, reconciled = _count(path, columns, (*required, "discount"))
    shared = _layout(tuple(columns.items()))
    return NpzFile(path=path, rows=rows, columns=shared, reconciled=reconciled)


@lru_cache(maxsize=64)
def _layout(columns: tuple[tuple[str, Header], ...]) -> Mapping[str, Header]:
    """Return columns as one object for all files that have the same: there may be many files."""
    return dict(columns)


def headers(path: Path) -> dict[str, Header]:
    """Read shape and dtype of every column. Raises `DamagedDataError`."""
    found = {}
    with damaged(path), zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".npy"):
                with archive.open(name) as stream:
                    shape, _, dtype = array_header(stream)
                found[name.removesuffix(".npy")] = Header(shape=shape or (0,), dtype=dtype)
    for name, header in found.items():
        if header.dtype.hasobject:
            raise DamagedDataError(
                f"{path} holds pickled Python objects in {name}. Loading a pickle runs the program "
                "in it, so none is loaded here. If you trust where it came from, write plain "
                "numbers in their place, or leave them out, in an environment of your own:\n"
                f"  import numpy\n  found = numpy.load({str(path)!r}, allow_pickle=True)\n"
                f"  numpy.savez_compressed({path.stem + '-plain.npz'!r}, "
                "**{name: found[name] for name in found.files if found[name].dtype != object})\n"
                "Then take the new file in its place."
            )
    return found


def array_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    """Read shape, whether columns lie together, and dtype off the beginning of a `.npy`."""
    major, _ = npy_format.read_magic(stream)
    read = npy_format.read_array_header_1_0 if major == 1 else npy_format.read_array_header_2_0
    return read(stream)


def _count(path: Path, columns: Mapping[str, Header], names: Sequence[str]) -> tuple[int, bool]:
    """Return the rows, and whether the flags have more of them."""
    data = {name: columns[name].shape[0] for name in names if name in columns}
    rows = data[names[0]]
    # Files of humanoid_walk/medium_replay exist whose data has 500 rows and whose flags have 501.
    flags = {name: columns[name].shape[0] for name in FLAGS if name in columns}
    if set(data.values()) != {rows} or any(count < rows for count in flags.values()):
        counts = ", ".join(f"{name} {count}" for name, count in sorted((data | flags).items()))
        raise DamagedDataError(
            f"The columns of {path} have different numbers of rows: {counts}. Which rows belong "
            "together is not known; move the file away to go without it."
        )
    return rows, any(count > rows for count in flags.values())


def is_image(header: Header) -> bool:
    """Return whether a column holds frames `(rows, height, width, 3)` uint8."""
    return header.dtype == np.uint8 and len(header.shape) == 4 and header.shape[3] == 3


def check_images(path: Path, image: Header) -> None:
    """Raise `VRLError` unless a column holds frames."""
    if not is_image(image):
        raise VRLError(
            f"{path} has images of {image.dtype} and shape {image.shape}; expected uint8 of shape "
            "(rows, height, width, 3)."
        )


def check_actions(path: Path, action: Header) -> None:
    """Raise `VRLError` unless a column holds vectors of floating point numbers."""
    if len(action.shape) != 2 or action.dtype.kind != "f":
        raise VRLError(
            f"{path} has actions of {action.dtype} and shape {action.shape}; expected floating "
            "point numbers of shape (rows, action)."
        )


def require_same_rows(files: Sequence[NpzFile], names: Sequence[str]) -> None:
    """Raise `VRLError` when files have rows of different shapes in one of these columns."""
    for file in files:
        for name in names:
            header = file.columns.get(name)
            shape, expected = header and header.shape[1:], files[0].columns[name].shape[1:]
            if shape != expected:
                raise VRLError(
                    f"{file.path} has {name} rows of shape {shape}, {files[0].path.name} has "
                    f"{expected}. One dataset has one shape; keep different datasets in different "
                    "folders."
                )


def mending_notes(files: Sequence[NpzFile]) -> list[str]:
    """Say which files were left out as empty, and of which the flags were cut."""
    empty = [file.path.name for file in files if file.rows < 2]
    longer = [file.path.name for file in files if file.reconciled]
    notes = []
    if empty:
        notes.append(f"left out {len(empty)} files without a single step: {some(empty)}")
    if longer:
        notes.append(
            f"cut the flags of {len(longer)} files, which were longer than their data, to the "
            f"data's length: {some(longer)}"
        )
    return notes
