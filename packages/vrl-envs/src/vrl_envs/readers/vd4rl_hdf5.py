"""V-D4RL's 84 px files: tables of rows in which episodes follow one another, in several shards.

Columns: `observation` `(rows, 3, height, width)` uint8, single frames; `action`, `reward`,
`step_type` (0 first, 1 middle, 2 last; integers, or floats where the reference's conversion script
wrote them) and optionally `discount` and proprioceptive columns. Shards are read in the order of
their numbers, and an episode that a shard's end cuts goes on in the next one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from vrl_core.episodes import Episode, FieldSpec, cuts, whole
from vrl_core.errors import DamagedDataError, VRLError
from vrl_envs.readers.damage import damaged, describe_all
from vrl_envs.readers.hdf5_blocks import Blocks, kept_bytes
from vrl_envs.readers.vd4rl_alignment import SCALARS, RecordedRows, row_shape, to_episode

REQUIRED = ("observation", "action", "reward", "step_type")
OPTIONAL = ("discount",)
FIRST, MIDDLE, LAST = 0, 1, 2


@dataclass(frozen=True)
class _Episodes:
    """Where episodes lie: parts are rows `first` to `stop` of a shard, each an array `(parts,)`."""

    shard: np.ndarray
    first: np.ndarray
    stop: np.ndarray
    begin: np.ndarray
    """Each episode's first part, `(episodes,)`."""
    end: np.ndarray
    """The one behind its last part."""

    def __len__(self) -> int:
        return len(self.begin)

    @property
    def rows(self) -> np.ndarray:
        """Rows of each episode."""
        total = np.concatenate(([0], np.cumsum(self.stop - self.first)))
        found: np.ndarray = total[self.end] - total[self.begin]
        return found

    def parts(self, index: int) -> list[_Piece]:
        """Return the parts of an episode."""
        return [
            _Piece(shard=int(self.shard[n]), first=int(self.first[n]), stop=int(self.stop[n]))
            for n in range(self.begin[index], self.end[index])
        ]


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
    starts: np.ndarray
    """Rows that begin an episode."""
    cut: np.ndarray
    """Those of them before which the episode has no last row."""
    finished: bool
    """Whether the last row ends an episode."""
    block_rows: int
    kept_bytes: int
    float_steps: bool


class Hdf5Episodes:
    """Reads episodes of `.hdf5` shards; finds where they begin once, when it is created."""

    def __init__(
        self,
        files: Sequence[Path],
        *,
        proprioception: bool,
        skip_damaged: bool = False,
        clip_actions: bool = False,
    ) -> None:
        self._clips = clip_actions
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
        return int(self._episodes.rows.sum()) - len(self)

    @property
    def episodes_per_read(self) -> int:
        """Neighbouring episodes that one process should read together."""
        rows = self.transitions / len(self) + 1
        return max(1, math.ceil(max(shard.block_rows for shard in self._shards) / rows))

    @property
    def kept_bytes(self) -> int:
        """Bytes that reading the largest block of images takes."""
        return max(shard.kept_bytes for shard in self._shards)

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
        return whole(self.pieces(index))

    def pieces(self, index: int) -> Iterator[Episode]:
        """Read one episode in pieces; quickest in order."""
        parts = self._episodes.parts(index)
        last = sum(part.stop - part.first for part in parts) - 1
        path = self._shards[parts[0].shard].path
        where = f"The episode at row {parts[0].first} of {path}"
        info = {"file": path.name, "row": parts[0].first}
        for first, stop in cuts(last, self.observations.values()):
            columns = self._columns(parts, first, stop + 1)
            rows = RecordedRows(
                observations={
                    "image": _to_height_width_channel(columns["observation"]),
                    **{name: columns[name].astype(np.float32) for name in self._extra},
                },
                action=columns["action"],
                reward=columns["reward"].reshape(-1),
                terminal=_terminal(columns),
            )
            yield to_episode(
                rows,
                where=where,
                info=info,
                clip=self._clips,
                first=first,
                ends=stop == last,
            )

    def _columns(self, parts: Sequence[_Piece], first: int, stop: int) -> dict[str, np.ndarray]:
        """Return rows `first` to `stop` of an episode."""
        found, before = [], 0
        for part in parts:
            start, end = part.first + first - before, part.first + stop - before
            inside = _Piece(
                shard=part.shard, first=max(start, part.first), stop=min(end, part.stop)
            )
            if inside.first < inside.stop:
                found.append(self._read(inside))
            before += part.stop - part.first
        if len(found) == 1:
            return found[0]
        return {name: np.concatenate([each[name] for each in found]) for name in found[0]}

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
    """One open file, read in blocks of chunks."""

    def __init__(self, shard: _Shard, extra: Sequence[str]) -> None:
        self._file = h5py.File(shard.path, "r")
        optional = [name for name in OPTIONAL if name in self._file]
        names = (*REQUIRED, *optional, *extra)
        self._columns = {name: Blocks(self._file, name) for name in names}

    def read(self, first: int, stop: int) -> dict[str, np.ndarray]:
        return {name: column.read(first, stop) for name, column in self._columns.items()}

    def close(self) -> None:
        self._file.close()


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
    images = Blocks(file, "observation")  # for its sizes alone
    steps = _step_types(path, columns["step_type"])
    starts = np.flatnonzero(steps == FIRST)
    return _Shard(
        path=path,
        rows=len(steps),
        shapes={name: column.shape for name, column in columns.items()},
        starts=starts,
        cut=starts[(starts > 0) & (steps[starts - 1] != LAST)],
        finished=bool(len(steps) and steps[-1] == LAST),
        block_rows=images.rows,
        kept_bytes=kept_bytes([images]),
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


def _split(shards: Sequence[_Shard]) -> tuple[_Episodes, list[str]]:
    """Return the rows of each episode, and what had to be left out or is incomplete."""
    notes: list[str] = []
    found: list[np.ndarray] = []  # shard, first row, stop, whether it goes on with the one before
    for number, shard in enumerate(shards):
        first = int(shard.starts[0]) if len(shard.starts) else shard.rows
        if first and found and _goes_on(shards, number, int(found[-1][-1, 0])):
            found.append(np.array([[number, 0, first, 1]]))
        else:
            notes += _broken_off(shards[:number])
            notes += _headless(shard, first)
        notes += _cut_short(shard)
        stops = np.append(shard.starts[1:], shard.rows)[: len(shard.starts)]
        same = np.full_like(stops, number)
        if len(stops):
            found.append(np.stack([same, shard.starts, stops, np.zeros_like(stops)], axis=1))
    notes += _missing_shards(shards)
    notes += _broken_off(shards)
    return _episodes(found), notes


def _episodes(found: Sequence[np.ndarray]) -> _Episodes:
    """Return the episodes of parts, those of at least two rows."""
    parts = np.concatenate([np.zeros((0, 4), np.int64), *found])
    begin = np.flatnonzero(parts[:, 3] == 0)
    end = np.append(begin[1:], len(parts))[: len(begin)]
    shard, first, stop = parts[:, :3].T
    all_of_them = _Episodes(shard, first, stop, begin, end)
    kept = all_of_them.rows >= 2
    return replace(all_of_them, begin=begin[kept], end=end[kept])


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
    if not len(shard.cut):
        return []
    rows = ", ".join(map(str, shard.cut[:3].tolist())) + (", ..." if len(shard.cut) > 3 else "")
    return [
        f"{len(shard.cut)} episodes of {shard.path.name} are cut short: there is no last row "
        f"before the first one in row {rows}"
    ]


def _goes_on(shards: Sequence[_Shard], number: int, latest: int) -> bool:
    """Tell whether a shard that begins inside an episode goes on with that of the `latest`."""
    if latest != number - 1 or shards[number - 1].finished:
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


def _terminal(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """In dm_control's convention a last row is terminal when its discount is zero."""
    last = columns["step_type"].reshape(-1) == LAST
    if "discount" not in columns:
        return np.zeros_like(last)
    return np.asarray(last & (columns["discount"].reshape(-1) == 0))


def _to_height_width_channel(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))
