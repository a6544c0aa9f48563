"""V-D4RL's 64 px files: one `.npz` an episode, as DreamerV2's replay buffer wrote them.

Keys: `image` `(rows, height, width, 3)` uint8, `action`, `reward`, and optionally `discount`,
`is_first`, `is_last`, `is_terminal` and proprioceptive columns. The length in a file's name is
not read: published files state rows, DreamerV2's own state steps, some state neither.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib import format as npy_format

from vrl_core.episodes import Episode, FieldSpec
from vrl_core.errors import VRLError
from vrl_envs.readers.vd4rl_alignment import SCALARS, RecordedRows, row_shape, to_episode

REQUIRED = ("image", "action", "reward")
FLAGS = ("is_first", "is_last", "is_terminal")
_DAMAGE = (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, NotImplementedError)


@dataclass(frozen=True, kw_only=True)
class _Header:
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]


@dataclass(frozen=True, kw_only=True)
class _File:
    path: Path
    rows: int
    columns: Mapping[str, _Header]
    reconciled: bool
    """Whether its flags were longer than its data."""


class NpzEpisodes:
    """Reads episodes of `.npz` files; builds its index from their headers alone."""

    episodes_per_read = 1
    upsampled = False

    def __init__(self, files: Sequence[Path], *, proprioception: bool) -> None:
        described = [_describe(path) for path in files]
        self._files = [file for file in described if file.rows >= 2]
        if not self._files:
            raise VRLError(f"No file in {files[0].parent} holds a single step.")
        self._extra = _extra_columns(self._files) if proprioception else ()
        _require_same_rows(self._files, ("image", "action", *self._extra))
        self.notes = _notes(described)

    def __len__(self) -> int:
        return len(self._files)

    @property
    def transitions(self) -> int:
        """Steps of all episodes."""
        return sum(file.rows - 1 for file in self._files)

    @property
    def action_size(self) -> int:
        """Numbers in an action."""
        return self._files[0].columns["action"].shape[1]

    @property
    def observations(self) -> dict[str, FieldSpec]:
        """One row of each observation field."""
        columns = self._files[0].columns
        extra = {
            name: FieldSpec(shape=row_shape(name, columns[name].shape), dtype="float32")
            for name in self._extra
        }
        return {"image": FieldSpec(shape=columns["image"].shape[1:], dtype="uint8"), **extra}

    def __getitem__(self, index: int) -> Episode:
        """Decompress one file."""
        file = self._files[index]
        wanted = {*REQUIRED, *self._extra, "discount", *FLAGS} & set(file.columns)
        columns = _read(file, sorted(wanted))
        _require_one_episode(file, columns)
        observations = {name: columns[name].astype(np.float32) for name in self._extra}
        rows = RecordedRows(
            observations={"image": columns["image"], **observations},
            action=columns["action"],
            reward=columns["reward"],
            terminal=_terminal(columns, file.rows),
        )
        return to_episode(rows, where=str(file.path), info={"file": file.path.name})


def _describe(path: Path) -> _File:
    columns = _headers(path)
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise VRLError(
            f"{path} lacks {', '.join(missing)}; it holds {', '.join(sorted(columns)) or 'no'} "
            f"columns. A V-D4RL file holds at least {', '.join(REQUIRED)}."
        )
    _check_kinds(path, columns)
    data = {name: columns[name].shape[0] for name in (*REQUIRED, "discount") if name in columns}
    rows = data["image"]
    # Files of humanoid_walk/medium_replay exist whose data has 500 rows and whose flags have 501.
    flags = {name: columns[name].shape[0] for name in FLAGS if name in columns}
    if set(data.values()) != {rows} or any(count < rows for count in flags.values()):
        counts = ", ".join(f"{name} {count}" for name, count in sorted((data | flags).items()))
        raise VRLError(
            f"The columns of {path} have different numbers of rows: {counts}. Which rows belong "
            "together is not known; move the file away to go without it."
        )
    reconciled = any(count > rows for count in flags.values())
    return _File(path=path, rows=rows, columns=columns, reconciled=reconciled)


def _headers(path: Path) -> dict[str, _Header]:
    """Read shape and dtype of every column without decompressing the columns."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {
                name.removesuffix(".npy"): _header(archive, name)
                for name in archive.namelist()
                if name.endswith(".npy")
            }
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _header(archive: zipfile.ZipFile, name: str) -> _Header:
    with archive.open(name) as stream:
        major, _ = npy_format.read_magic(stream)
        read = npy_format.read_array_header_1_0 if major == 1 else npy_format.read_array_header_2_0
        shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError(f"{name} holds pickled Python objects, which are never loaded")
    return _Header(shape=shape or (0,), dtype=dtype)


def _check_kinds(path: Path, columns: Mapping[str, _Header]) -> None:
    image, action = columns["image"], columns["action"]
    if image.dtype != np.uint8 or len(image.shape) != 4 or image.shape[3] != 3:
        raise VRLError(
            f"{path} has images of {image.dtype} and shape {image.shape}; expected uint8 of shape "
            "(rows, height, width, 3)."
        )
    if len(action.shape) != 2 or action.dtype.kind != "f":
        raise VRLError(
            f"{path} has actions of {action.dtype} and shape {action.shape}; expected floating "
            "point numbers of shape (rows, action)."
        )
    for name in SCALARS & set(columns):
        if row_shape(name, columns[name].shape) != ():
            raise VRLError(
                f"{path} has {name} of shape {columns[name].shape}; expected one number a row."
            )


def _extra_columns(files: Sequence[_File]) -> tuple[str, ...]:
    """Return the proprioceptive columns, which all files must share."""
    known = {*REQUIRED, *SCALARS}
    first = {name for name in files[0].columns if name not in known}
    for file in files:
        names = {name for name in file.columns if name not in known}
        if names != first:
            raise VRLError(
                f"{file.path} holds the proprioceptive columns {sorted(names)}, "
                f"{files[0].path.name} holds {sorted(first)}. Read the data without "
                "proprioception, or move the files that differ away."
            )
        uneven = [name for name in sorted(first) if file.columns[name].shape[0] != file.rows]
        if uneven:
            raise VRLError(
                f"{file.path} has {file.rows} rows of data and another number of rows of "
                f"{', '.join(uneven)}. Read the data without proprioception, or move the file away."
            )
    return tuple(sorted(first))


def _require_same_rows(files: Sequence[_File], names: Sequence[str]) -> None:
    for file in files:
        for name in names:
            shape, expected = file.columns[name].shape[1:], files[0].columns[name].shape[1:]
            if shape != expected:
                raise VRLError(
                    f"{file.path} has {name} rows of shape {shape}, {files[0].path.name} has "
                    f"{expected}. One dataset has one shape; keep different datasets in different "
                    "folders."
                )


def _notes(files: Sequence[_File]) -> list[str]:
    empty = [file.path.name for file in files if file.rows < 2]
    longer = [file.path.name for file in files if file.reconciled]
    notes = []
    if empty:
        notes.append(f"left out {len(empty)} files without a single step: {_some(empty)}")
    if longer:
        notes.append(
            f"cut the flags of {len(longer)} files, which were longer than their data, to the "
            f"data's length: {_some(longer)}"
        )
    return notes


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _read(file: _File, names: Sequence[str]) -> dict[str, np.ndarray]:
    try:
        with np.load(file.path, allow_pickle=False) as archive:
            columns = {name: archive[name][: file.rows] for name in names}
    except (*_DAMAGE, KeyError) as error:
        raise _damaged(file.path, error) from error
    return {
        name: value.reshape(file.rows) if name in SCALARS else value
        for name, value in columns.items()
    }


def _require_one_episode(file: _File, columns: Mapping[str, np.ndarray]) -> None:
    starts = np.flatnonzero(columns.get("is_first", np.zeros(1))[1:])
    if len(starts):
        raise VRLError(
            f"{file.path} holds several episodes: row {int(starts[0]) + 1} is marked as a first "
            "one. V-D4RL's files hold one episode each; split it there."
        )


def _terminal(columns: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
    """Older files lack `is_terminal`; there a discount of zero says the same."""
    if "is_terminal" in columns:
        return columns["is_terminal"].astype(bool)
    if "discount" in columns:
        # The reset row's discount carries no information about a transition.
        return np.asarray(columns["discount"] == 0) & (np.arange(rows) > 0)
    return np.zeros(rows, dtype=bool)


def _damaged(path: Path, error: Exception) -> VRLError:
    return VRLError(
        f"{path} cannot be read: {error}. It is damaged, was not fully downloaded, or is no .npz "
        "file. Download it again, or move it away to go without it."
    )
