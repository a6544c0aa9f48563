"""Compressed tables of HDF5 files, read in blocks of whole chunks of which the newest is kept.

Reading rows in order decompresses nothing twice, and what is kept is bounded and known beforehand.
(HDF5's own cache of chunks fills up for every table of a file, whatever is still needed.)
"""

from __future__ import annotations

import math
from collections.abc import Collection

import h5py
import numpy as np

from vrl_core.episodes import PIECE_BYTES

ROOM = 640 * 2**20
"""Bytes that a chunk and a block may take together."""
BLOCK_BYTES = 384 * 2**20
"""Of larger blocks of chunks a part is kept in memory, and the chunks decompressed for each."""


class Blocks:
    """Rows of one table; of a table without chunks nothing is kept."""

    def __init__(self, file: h5py.File, name: str, most_bytes: int | None = None) -> None:
        """Take a table of a file, and the bytes of it that may be kept (`BLOCK_BYTES`)."""
        most_bytes = BLOCK_BYTES if most_bytes is None else most_bytes
        shape, dtype, chunks = _facts(file, name)
        row = max(1, math.prod(shape[1:]) * dtype.itemsize)
        self.chunk_bytes: int = math.prod(chunks) * dtype.itemsize if chunks else 0
        # A chunk is decompressed as a whole, in memory of its own. Where there is no room for a
        # block beside it, HDF5 keeps the chunk, and only a piece is copied out of it.
        large = self.chunk_bytes + min(self.chunk_bytes, most_bytes) > ROOM
        self._table = _opened(file, name, self.chunk_bytes if large else None)
        together = max(1, (PIECE_BYTES if large else most_bytes) // row)
        self.rows = min(int(chunks[0]), together) if chunks else 0
        """Rows of a block; 0 without chunks."""
        self.block_bytes: int = min(self.rows, shape[0]) * row
        self._number = -1
        self._block = np.empty(0, np.uint8)

    def read(self, first: int, stop: int) -> np.ndarray:
        """Return rows `first` to `stop`; quickest in order."""
        if not self.rows:
            return np.asarray(self._table[first:stop])
        found = np.empty((stop - first, *self._table.shape[1:]), self._table.dtype)
        whole = stop // self.rows * self.rows
        place = first
        while place < stop:
            number, inside = divmod(place, self.rows)
            if inside or place >= whole or number == self._number:
                end = min(place - inside + self.rows, stop)
                rows = self._fetch(number)[inside : inside + end - place]
            else:  # blocks of which the rows that follow need nothing
                end = whole
                rows = self._table[place:end]
            found[place - first : end - first] = rows
            place = end
        return found

    def _fetch(self, number: int) -> np.ndarray:
        if number != self._number:
            start = number * self.rows
            self._number = -1  # of nothing, should reading fail
            self._block = self._block[:0].copy()  # never two of them at a time
            self._block = np.asarray(self._table[start : start + self.rows])
            self._number = number
        return self._block


def _facts(
    file: h5py.File, name: str
) -> tuple[tuple[int, ...], np.dtype[np.generic], tuple[int, ...]]:
    """Return shape, dtype and shape of a chunk of a table, and close it again."""
    table = file[name]
    return table.shape, table.dtype, table.chunks or ()


def _opened(file: h5py.File, name: str, chunk_bytes: int | None) -> h5py.Dataset:
    """Open a table so that HDF5 keeps its newest chunk, if told how large one is.

    A table that is open already keeps what it was opened with.
    """
    if chunk_bytes is None:
        return file[name]
    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    access.set_chunk_cache(1, chunk_bytes, 1.0)
    return h5py.Dataset(h5py.h5d.open(file.id, name.encode(), access))


def kept_bytes(tables: Collection[Blocks]) -> int:
    """Return the bytes of these tables' blocks, and of a chunk while it is decompressed."""
    return sum(each.block_bytes for each in tables) + max(each.chunk_bytes for each in tables)
