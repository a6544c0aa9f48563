"""LeRobot's tables: the rows of an episode, and encoded images streamed out of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.parquet as parquet

from vrl_core.errors import DamagedDataError
from vrl_envs.readers.damage import damaged

BUFFER_BYTES = 2**20
"""Bytes that are read of a column at once."""
ROWS_TOGETHER = 32
"""Rows of encoded images that are read at once."""


def groups_of(file: parquet.ParquetFile, episode: int) -> tuple[int, ...]:
    """Return the row groups of a table that may hold an episode, by their statistics."""
    groups = []
    for group in range(file.metadata.num_row_groups):
        found = _episodes_in(file.metadata.row_group(group))
        if found is None or found[0] <= episode <= found[1]:
            groups.append(group)
    return tuple(groups)


def _episodes_in(group: Any) -> tuple[int, int] | None:
    """Return a row group's first and last episode, None where that is not recorded."""
    for number in range(group.num_columns):
        each = group.column(number)
        if each.path_in_schema == "episode_index":
            known = each.statistics is not None and each.statistics.has_min_max
            return (each.statistics.min, each.statistics.max) if known else None
    return None


class ImageColumns:
    """Columns of encoded images in groups of a table's rows, read in order a few at a time."""

    def __init__(self, path: Path, groups: Sequence[int], names: Sequence[str]) -> None:
        self.source = path, tuple(groups), tuple(names)
        self._batch: Any = ()
        self._restart()

    def cells(self, rows: np.ndarray) -> Iterator[dict[str, Any]]:
        """Yield the cells of these rows, in their order.

        Rows that do not ascend, as no usual writer has them, are kept meanwhile as they are
        encoded.
        """
        ascending = np.sort(rows)
        found = ((row, self._cells(int(row))) for row in ascending)
        if np.array_equal(ascending, rows):
            yield from (cells for _, cells in found)
        else:
            kept = dict(found)
            yield from (kept[row] for row in rows)

    def _cells(self, row: int) -> dict[str, Any]:
        path, _, names = self.source
        with damaged(path, pyarrow.ArrowException):
            if row < self._start:
                self._restart()
            while row >= self._start + len(self._batch):
                self._start += len(self._batch)
                self._batch = next(self._coming)
            return {name: self._batch[name][row - self._start].as_py() for name in names}

    def _restart(self) -> None:
        self._coming = _batches(*self.source)
        self._start = 0
        self._batch = ()


def _batches(path: Path, groups: Sequence[int], names: Sequence[str]) -> Iterator[Any]:
    with parquet.ParquetFile(path, buffer_size=BUFFER_BYTES) as file:
        yield from file.iter_batches(ROWS_TOGETHER, row_groups=groups, columns=names)
    raise ValueError("there are fewer images than rows")


def matrix(rows: Any, name: str, path: Path) -> np.ndarray:
    """Return a column as `(rows, numbers)` float64; one number a row may be stored without a list.

    Raises `DamagedDataError` when rows have different numbers of them.
    """
    column = rows[name]
    with damaged(path, pyarrow.ArrowException):
        while pyarrow.types.is_nested(column.type):
            lengths = pyarrow.compute.list_value_length(column)
            if lengths.null_count or len(pyarrow.compute.unique(lengths)) > 1:
                raise DamagedDataError(f"{path} has rows of {name} that differ in their length.")
            column = pyarrow.compute.list_flatten(column)
        values = np.asarray(column.to_numpy(zero_copy_only=False), np.float64)
    return values.reshape(len(rows), -1)
