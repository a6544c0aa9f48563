"""V-D4RL's 84 px files: tables of rows in which episodes follow one another, in several shards.

Columns: `observation` `(rows, 3, height, width)` uint8, single frames; `action`, `reward`,
`step_type` (0 first, 1 middle, 2 last; integers, or floats where the reference's conversion script
wrote them) and optionally `discount` and proprioceptive columns. Shards are read in the order of
their numbers, and an episode that a shard's end cuts goes on in the next one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vrl_core.episodes import Episode, FieldSpec
from vrl_core.errors import DamagedDataError, VRLError
from vrl_envs.readers.damage import damaged, describe_all
from vrl_envs.readers.vd4rl_alignment import SCALARS, RecordedRows, row_shape, to_episode

REQUIRED = ("observation", "action", "reward", "step_type")
OPTIONAL = ("discount",)
FIRST, MIDDLE, LAST = 0, 1, 2
BLOCK_BYTES = 2**30
"""Larger blocks of chunks are not kept in memory."""


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """Rows `first` to `stop` of a shard."""

    shard: int
    first: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class _Shard:
    path: Path
    rows: int
    shapes: Mapping[str, tuple[int, ...]]
    starts: tuple[int, ...]
    """Rows that begin an episode."""
    cut: tuple[int, ...]
    """Those of them before which the episode has no last row."""
    finished: bool
    """Whether the last row ends an episode."""
    block_rows: int
    float_steps: bool


class Hdf5Episodes:
    """Reads episodes of `.hdf5` shards; finds where they begin once, when it is created.

    Compressed chunks hold rows of several episodes. A block of whole chunks is decompressed at
    once and kept, so that reading episodes in order decompresses nothing twice.
    """

    def __init__(
        self, files: Sequence[Path], *, proprioception: bool, skip_damaged: bool = False
    ) -> None:
        self._shards, damaged_notes = describe_all(files, _describe, skip_damaged=skip_damaged)
        _require_same_rows(self._shards)
        self._extra = _extra_columns(self._shards) if proprioception else ()
        self._episodes, notes = _split(self._shards)
        self.notes = damaged_notes + notes
        if not self._episodes:
            raise VRLError(f"No file in {files[0].parent} holds a single step.")
        self.upsampled = any(shard.float_steps for shard in self._shards)
        self._open: tuple[int, _OpenShard] | None = None

    def __len__(self) -> int:
        return len(self._episodes)

    @property
    def transitions(self) -> int:
        """Steps of all episodes."""
        return sum(_rows(pieces) - 1 for pieces in self._episodes)

    @property
    def episodes_per_read(self) -> int:
        """Neighbouring episodes that one process should read together."""
        rows = self.transitions / len(self) + 1
        return max(1, math.ceil(max(shard.block_rows for shard in self._shards) / rows))

    @property
    def action_size(self) -> int:
        """Numbers in an action."""
        return self._shards[0].shapes["action"][1]

    @property
    def observations(self) -> dict[str, FieldSpec]:
        """One row of each observation field."""
        shapes = self._shards[0].shapes
        channels, height, width = shapes["observation"][1:]
        extra = {
            name: FieldSpec(shape=row_shape(name, shapes[name]), dtype="float32")
            for name in self._extra
        }
        return {"image": FieldSpec(shape=(height, width, channels), dtype="uint8"), **extra}

    def __getitem__(self, index: int) -> Episode:
        """Read one episode; quickest in order."""
        pieces = self._episodes[index]
        columns = self._columns(pieces)
        names = {name: columns[name].astype(np.float32) for name in self._extra}
        rows = RecordedRows(
            observations={"image": _to_height_width_channel(columns["observation"]), **names},
            action=columns["action"],
            reward=columns["reward"].reshape(-1),
            terminal=_terminal(columns),
        )
        path = self._shards[pieces[0].shard].path
        where = f"The episode at row {pieces[0].first} of {path}"
        return to_episode(rows, where=where, info={"file": path.name, "row": pieces[0].first})

    def _columns(self, pieces: Sequence[_Piece]) -> dict[str, np.ndarray]:
        parts = [self._read(piece) for piece in pieces]
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _read(self, piece: _Piece) -> dict[str, np.ndarray]:
        shard = self._shards[piece.shard]
        with damaged(shard.path):
            return self._opened(piece.shard).read(piece.first, piece.stop)

    def _opened(self, number: int) -> _OpenShard:
        """Return the shard's open file; the one before it is closed."""
        if self._open is None or self._open[0] != number:
            if self._open is not None:
                self._open[1].close()
            self._open = number, _OpenShard(self._shards[number], self._extra)
        return self._open[1]


class _OpenShard:
    """One open file. Images are read in blocks of chunks; the narrow columns whole."""

    def __init__(self, shard: _Shard, extra: Sequence[str]) -> None:
        self._file = h5py.File(shard.path, "r")
        self._names = [*REQUIRED[1:], *OPTIONAL, *extra]
        self._images = _Blocks(self._file["observation"], shard.block_rows)

    @cached_property
    def _narrow(self) -> dict[str, np.ndarray]:
        return {name: self._file[name][:] for name in self._names if name in self._file}

    def read(self, first: int, stop: int) -> dict[str, np.ndarray]:
        narrow = {name: column[first:stop] for name, column in self._narrow.items()}
        return {"observation": self._images.read(first, stop), **narrow}

    def close(self) -> None:
        self._file.close()


class _Blocks:
    """Rows of a chunked dataset, read a block of whole chunks at a time; the newest is kept."""

    def __init__(self, dataset: Any, block_rows: int) -> None:
        self._dataset = dataset
        self._rows = block_rows
        self._number = -1
        self._block = np.empty(0, dtype=np.uint8)

    def read(self, first: int, stop: int) -> np.ndarray:
        if not self._rows:
            return np.asarray(self._dataset[first:stop])
        parts = []
        for number in range(first // self._rows, (stop - 1) // self._rows + 1):
            start = number * self._rows
            parts.append(self._fetch(number)[max(first - start, 0) : stop - start])
        return np.concatenate(parts)

    def _fetch(self, number: int) -> np.ndarray:
        if number != self._number:
            start = number * self._rows
            self._block = np.asarray(self._dataset[start : start + self._rows])
            self._number = number
        return self._block


def _describe(path: Path) -> _Shard:
    with damaged(path), h5py.File(path, "r") as file:
        return _describe_open(path, file)


def _describe_open(path: Path, file: h5py.File) -> _Shard:
    columns = {name: value for name, value in file.items() if isinstance(value, h5py.Dataset)}
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise VRLError(
            f"{path} lacks {', '.join(missing)}; it holds {', '.join(sorted(file)) or 'nothing'}. "
            f"A V-D4RL table holds {', '.join(REQUIRED)}."
        )
    _check_columns(path, columns)
    steps = _step_types(path, columns["step_type"])
    starts = np.flatnonzero(steps == FIRST)
    return _Shard(
        path=path,
        rows=len(steps),
        shapes={name: column.shape for name, column in columns.items()},
        starts=tuple(map(int, starts)),
        cut=tuple(int(row) for row in starts if row and steps[row - 1] != LAST),
        finished=bool(len(steps) and steps[-1] == LAST),
        block_rows=_block_rows(columns["observation"]),
        float_steps=columns["step_type"].dtype.kind == "f",
    )


def _check_columns(path: Path, columns: Mapping[str, h5py.Dataset]) -> None:
    image, action = columns["observation"], columns["action"]
    if image.dtype != np.uint8 or len(image.shape) != 4 or image.shape[1] != 3:
        raise VRLError(
            f"{path} has observations of {image.dtype} and shape {image.shape}; expected uint8 of "
            "shape (rows, 3, height, width), single frames."
        )
    if len(action.shape) != 2 or action.dtype.kind != "f":
        raise VRLError(
            f"{path} has actions of {action.dtype} and shape {action.shape}; expected floating "
            "point numbers of shape (rows, action)."
        )
    counts = {name: columns[name].shape[0] for name in (*REQUIRED, *OPTIONAL) if name in columns}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise DamagedDataError(
            f"The columns of {path} have different numbers of rows: {listed}. Which rows belong "
            "together is not known; download the file again."
        )
    for name in SCALARS & set(columns):
        if row_shape(name, columns[name].shape) != ():
            raise VRLError(
                f"{path} has {name} of shape {columns[name].shape}; expected one number a row."
            )


def _step_types(path: Path, column: h5py.Dataset) -> np.ndarray:
    """Return the step types `(rows,)`, after checking that an episode's end precedes a start."""
    steps = np.asarray(column[:]).reshape(-1)
    unknown = np.flatnonzero(~np.isin(steps, (FIRST, MIDDLE, LAST)))
    if len(unknown):
        raise VRLError(
            f"{path} has step_type {steps[unknown[0]]} in row {int(unknown[0])}; known are 0 "
            "(first), 1 (middle) and 2 (last)."
        )
    overrun = np.flatnonzero((steps[:-1] == LAST) & (steps[1:] != FIRST))
    if len(overrun):
        raise DamagedDataError(
            f"{path} goes on after the end of an episode: row {int(overrun[0])} is a last one and "
            "the next is not a first one. Rows are missing; download the file again."
        )
    return steps


def _block_rows(images: h5py.Dataset) -> int:
    """Return how many rows to decompress at once; 0 for reading exactly the rows asked for."""
    if images.chunks is None:
        return 0
    rows = int(images.chunks[0])
    return rows if rows * math.prod(images.shape[1:]) <= BLOCK_BYTES else 0


def _require_same_rows(shards: Sequence[_Shard]) -> None:
    for shard in shards:
        for name in ("observation", "action"):
            shape, expected = shard.shapes[name][1:], shards[0].shapes[name][1:]
            if shape != expected:
                raise VRLError(
                    f"{shard.path} has {name} rows of shape {shape}, {shards[0].path.name} has "
                    f"{expected}. One dataset has one shape; keep different datasets in different "
                    "folders."
                )


def _extra_columns(shards: Sequence[_Shard]) -> tuple[str, ...]:
    """Return the proprioceptive columns, which all shards must share."""
    found = [
        {
            name: shape[1:]
            for name, shape in shard.shapes.items()
            if name not in (*REQUIRED, *SCALARS) and shape[:1] == (shard.rows,)
        }
        for shard in shards
    ]
    for shard, columns in zip(shards, found, strict=True):
        if columns != found[0]:
            raise VRLError(
                f"{shard.path} holds the proprioceptive columns {columns}, {shards[0].path.name} "
                f"holds {found[0]}. Read the data without proprioception."
            )
    return tuple(sorted(found[0]))


def _split(shards: Sequence[_Shard]) -> tuple[list[list[_Piece]], list[str]]:
    """Return the rows of each episode, and what had to be left out or is incomplete."""
    episodes: list[list[_Piece]] = []
    notes = []
    for number, shard in enumerate(shards):
        first = shard.starts[0] if shard.starts else shard.rows
        if first and episodes and _goes_on(shards, number, episodes[-1][-1]):
            episodes[-1].append(_Piece(shard=number, first=0, stop=first))
        else:
            notes += _broken_off(shards[:number])
            notes += _headless(shard, first)
        notes += _cut_short(shard)
        stops = (*shard.starts[1:], shard.rows)
        for start, stop in zip(shard.starts, stops, strict=False):
            episodes.append([_Piece(shard=number, first=start, stop=stop)])
    notes += _missing_shards(shards)
    notes += _broken_off(shards)
    return [pieces for pieces in episodes if _rows(pieces) >= 2], notes


def _broken_off(shards: Sequence[_Shard]) -> list[str]:
    """Note that the last of these shards ends inside an episode that nothing goes on with."""
    if not shards or shards[-1].finished:
        return []
    return [f"the last episode of {shards[-1].path.name} is incomplete"]


def _headless(shard: _Shard, rows: int) -> list[str]:
    if not rows:
        return []
    return [
        f"left out the first {rows} rows of {shard.path.name}: the beginning of their episode is "
        "missing"
    ]


def _cut_short(shard: _Shard) -> list[str]:
    if not shard.cut:
        return []
    rows = ", ".join(map(str, shard.cut[:3])) + (", ..." if len(shard.cut) > 3 else "")
    return [
        f"{len(shard.cut)} episodes of {shard.path.name} are cut short: there is no last row "
        f"before the first one in row {rows}"
    ]


def _goes_on(shards: Sequence[_Shard], number: int, latest: _Piece) -> bool:
    """Tell whether a shard that begins inside an episode goes on with the `latest` one."""
    if latest.shard != number - 1 or shards[number - 1].finished:
        return False
    here, before = _number(shards[number].path), _number(shards[number - 1].path)
    return here is not None and before is not None and here == before + 1


def _missing_shards(shards: Sequence[_Shard]) -> list[str]:
    numbers = [_number(shard.path) for shard in shards]
    known = {number for number in numbers if number is not None}
    missing = sorted(set(range(max(known, default=-1) + 1)) - known)
    return [f"no files with the numbers {', '.join(map(str, missing))}"] if missing else []


def _number(path: Path) -> int | None:
    """Return the number of `3.hdf5` and of `shard_3_reward_512.7.hdf5`."""
    match = re.match(r"(?:shard_)?(\d+)(?:_|$)", path.stem)
    return int(match[1]) if match else None


def _rows(pieces: Sequence[_Piece]) -> int:
    return sum(piece.stop - piece.first for piece in pieces)


def _terminal(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """In dm_control's convention a last row is terminal when its discount is zero."""
    last = columns["step_type"].reshape(-1) == LAST
    if "discount" not in columns:
        return np.zeros_like(last)
    return np.asarray(last & (columns["discount"].reshape(-1) == 0))


def _to_height_width_channel(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))
