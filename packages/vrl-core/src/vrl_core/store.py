"""The store: logged episodes as one folder of memory maps.

    store = Store.open("data/walker_walk/expert/64px")
    store.fields["observation.image"]      # np.memmap, (rows, 64, 64, 3) uint8
    store[3].rewards                       # (T,) float32

An episode of T steps takes T+1 rows of every field. Row t holds observation t, and the action,
reward, termination and truncation of the step that starts there; in an episode's last row the
step's fields are zero. Frames lie on disk once, uncompressed, and are read where they lie, so that
an open store needs no resident memory. `docs/data.md` describes the files.
"""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vrl_core.episodes import DataSpec, Episode, FieldSpec, cuts
from vrl_core.errors import VRLError
from vrl_core.store_manifest import (
    MANIFEST,
    OBSERVATION_PREFIX,
    STAGING_SUFFIX,
    Manifest,
    field_layout,
    read_journal,
    read_manifest,
)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong with a store."""

    where: str
    """File, relative to the store."""
    message: str
    episode: int | None = None

    def __str__(self) -> str:
        place = self.where if self.episode is None else f"{self.where}, episode {self.episode}"
        return f"{place}: {self.message}"


class Store:
    """An open store; itself a `Dataset`. Arrays are read-only."""

    path: Path
    fields: dict[str, np.memmap[Any, Any]]
    """Every field, `(rows, ...)`."""
    lengths: np.ndarray
    """Steps of each episode, `(episodes,)` int64."""
    offsets: np.ndarray
    """First row of each episode, `(episodes,)` int64."""
    returns: np.ndarray
    """Undiscounted return of each episode, `(episodes,)` float64."""
    manifest: Manifest

    def __init__(self, path: Path, manifest: Manifest, fields: dict[str, np.memmap[Any, Any]]):
        self.path = path
        self.manifest = manifest
        self.fields = fields
        records = manifest.episodes
        self.lengths = np.array(records.lengths, dtype=np.int64)
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths + 1)[:-1]]).astype(np.int64)
        self.returns = np.array(records.returns, dtype=np.float64)

    @classmethod
    def open(cls, path: str | Path, *, verify: bool = False) -> Store:
        """Open a store after checking its manifest and the header and size of every field.

        `verify` also reads every byte and compares checksums. Raises `VRLError` when there is no
        store, it is unfinished, or it is damaged.
        """
        folder = Path(path)
        _require_store(folder)
        manifest = read_manifest(folder)
        fields = {}
        for name, row in field_layout(manifest.spec).items():
            reason = field_fault(field_path(folder, name), row, manifest.rows)
            if reason:
                raise VRLError(_damaged(folder, f"{name}.npy {reason}"))
            fields[name] = np.memmap(
                field_path(folder, name),
                dtype=disk_dtype(row),
                mode="r",
                offset=HEADER_SIZE,
                shape=(manifest.rows, *row.shape),
            )
        store = cls(folder, manifest, fields)
        if verify:
            store.require_sound()
        return store

    @property
    def spec(self) -> DataSpec:
        """What the store holds."""
        return self.manifest.spec

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int, /) -> Episode:
        """Return episode `index`; its arrays are read-only views of the files."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"episode {index} of {len(self)}")
        index %= len(self)
        return self._episode(index, 0, int(self.lengths[index]))

    def pieces(self, index: int, /) -> Iterator[Episode]:
        """Yield episode `index` in pieces; the pages of one are let go when the next is asked for.

        Pages of a map count as the process's memory for as long as nobody else needs it.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"episode {index} of {len(self)}")
        fields = self.spec.observations.values()
        for first, stop in cuts(int(self.lengths[index]), fields):
            yield self._episode(index, first, stop)
            for field in self.fields.values():
                field._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]

    def _episode(self, index: int, start: int, stop: int) -> Episode:
        """Return steps `start` to `stop` of an episode."""
        first = int(self.offsets[index])
        rows = {
            name: np.asarray(field[first + start : first + stop + 1])
            for name, field in self.fields.items()
        }
        return Episode(
            observations={name: rows[OBSERVATION_PREFIX + name] for name in self.spec.observations},
            actions=rows["action"][:-1],
            rewards=rows["reward"][:-1],
            terminations=rows["termination"][:-1],
            truncations=rows["truncation"][:-1],
            info=self.manifest.episodes[index].info,
        )

    def __iter__(self) -> Iterator[Episode]:
        return (self[index] for index in range(len(self)))

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process as a path."""
        return Store.open, (self.path,)

    @property
    def size(self) -> int:
        """Bytes of all fields."""
        return sum(field.nbytes for field in self.fields.values())

    def verify(self, episodes: Iterable[int] | None = None) -> Iterator[Problem]:
        """Read the given episodes (all unless told) and yield what does not match the manifest.

        Compares the CRC-32 of each episode of each field, looks for NaN and infinity, and compares
        returns. Lazy: the first problem comes as soon as it is met.
        """
        from vrl_core.store_check import episode_problems

        for index in range(len(self)) if episodes is None else episodes:
            record = self.manifest.episodes[index]
            yield from episode_problems(self.fields, int(self.offsets[index]), record, index)

    def require_sound(
        self,
        episodes: Sequence[int] | None = None,
        on_episode: Callable[[int, int], None] | None = None,
    ) -> None:
        """Read the given episodes (all unless told) and raise `VRLError` if one is damaged.

        `on_episode` is told how many have been read, of how many.
        """
        chosen = range(len(self)) if episodes is None else episodes
        for count, index in enumerate(chosen, start=1):
            for problem in self.verify([index]):
                raise VRLError(_damaged(self.path, str(problem)))
            if on_episode:
                on_episode(count, len(chosen))

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Facts that identify the data, for a run's record: the path, the sizes, a checksum."""
        return {
            "path": str(self.path),
            "task": self.spec.task,
            "behaviour": self.spec.behaviour,
            "episodes": len(self),
            "steps": int(self.lengths.sum()),
            "checksum": manifest_checksum(self.manifest),
        }


HEADER_SIZE = 256
"""Bytes before the first row: a fixed size, so that the header can be rewritten at the end."""


def field_path(folder: Path, name: str) -> Path:
    """Return the file of a field."""
    return folder / f"{name}.npy"


def disk_dtype(row: FieldSpec) -> np.dtype[Any]:
    """Return a field's dtype as it lies on disk: little-endian."""
    return np.dtype(row.dtype).newbyteorder("<")


def row_size(row: FieldSpec) -> int:
    """Return the bytes of one row of a field."""
    return int(np.prod(row.shape, dtype=np.int64)) * disk_dtype(row).itemsize


def field_header(row: FieldSpec, rows: int) -> bytes:
    """Return the `.npy` header (format 1.0) of a field with that many rows, `HEADER_SIZE` long."""
    description = np.lib.format.dtype_to_descr(disk_dtype(row))
    text = repr({"descr": description, "fortran_order": False, "shape": (rows, *row.shape)})
    body = text.encode("latin1")
    room = HEADER_SIZE - 11
    if len(body) > room:
        raise VRLError(f"A field of shape {row.shape} has too many axes to be stored.")
    return b"\x93NUMPY\x01\x00" + (room + 1).to_bytes(2, "little") + body.ljust(room) + b"\n"


def field_fault(path: Path, row: FieldSpec, rows: int) -> str | None:
    """Say what a look at a field's header and size shows to be wrong; None when all is well."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header = file.read(HEADER_SIZE)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    expected = HEADER_SIZE + rows * row_size(row)
    if size < expected:
        return f"is truncated: {size} bytes instead of {expected}"
    if header != field_header(row, rows):
        return f"has a wrong header: expected {rows} rows of {row.dtype} {row.shape}"
    if size > expected:
        return f"is too long: {size} bytes instead of {expected}"
    return None


def manifest_checksum(manifest: Manifest) -> str:
    """Return one number for all data of a store, from the checksums of its episodes."""
    value = 0
    for record in manifest.episodes:
        value = zlib.crc32(repr(sorted(record.checksums.items())).encode(), value)
    return f"{value:08x}"


def _require_store(folder: Path) -> None:
    if (folder / MANIFEST).is_file() and folder.suffix != STAGING_SUFFIX:
        return
    staging = folder if folder.suffix == STAGING_SUFFIX else staging_folder(folder)
    if staging.is_dir():
        journal = read_journal(staging)
        state = f"{len(journal.episodes)} of {journal.total}" if journal else "none"
        raise VRLError(
            f"The store {folder} is unfinished: {state} of its episodes are written in {staging}. "
            "Run the command that was writing it again; it continues where it stopped."
        )
    if not folder.exists():
        raise VRLError(
            f"There is no store at {folder}. Make one with `vrl data collect`, `vrl data convert` "
            "or `vrl data download`."
        )
    raise VRLError(
        f"{folder} is not a store: it has no {MANIFEST}. Files of another format become a store "
        f"with `vrl data convert {folder} <store>`."
    )


def staging_folder(folder: Path) -> Path:
    """Return the folder in which the store `folder` is written until it is whole."""
    return folder.with_name(folder.name + STAGING_SUFFIX)


def _damaged(folder: Path, reason: str) -> str:
    return (
        f"The store {folder} is damaged: {reason}. `vrl data check {folder}` lists everything that "
        "is wrong; restore the files from a copy, or write the store again."
    )
