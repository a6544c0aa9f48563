"""Compressed tables of HDF5 files, read in blocks of whole chunks of which the newest is kept.

Reading rows in order decompresses nothing twice, and what is kept is bounded and known beforehand.
(HDF5's own cache of chunks fills up for every table of a file, whatever is still needed.)
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np

BLOCK_BYTES = 384 * 2**20
"""Of larger blocks of chunks a part is kept in memory, and the chunks decompressed for each."""


class Blocks:
    """Rows of one table; of a table without chunks nothing is kept."""

    def __init__(self, table: Any, most_bytes: int | None = None) -> None:
        """Take an `h5py.Dataset`, and the bytes of it that may be kept (`BLOCK_BYTES`)."""
        self._table = table
        row = max(1, math.prod(table.shape[1:]) * table.dtype.itemsize)
        together = max(1, (BLOCK_BYTES if most_bytes is None else most_bytes) // row)
        self.rows = min(int(table.chunks[0]), together) if table.chunks else 0
        """Rows of a block; 0 without chunks."""
        self.block_bytes: int = min(self.rows, len(table)) * row
        self.chunk_bytes: int = (
            math.prod(table.chunks) * table.dtype.itemsize if table.chunks else 0
        )
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


def kept_bytes(tables: Collection[Blocks]) -> int:
    """Return the bytes of these tables' blocks, and of a chunk while it is decompressed."""
    return sum(each.block_bytes for each in tables) + max(each.chunk_bytes for each in tables)
