"""Minari's episodes as Arrow and Parquet tables, read a few rows at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vrl_core.errors import VRLError
from vrl_envs.readers.damage import damaged
from vrl_envs.readers.minari_spaces import Part, decoded
from vrl_envs.readers.minari_storage import STEPS, Recorded, any_success

INSTALL = "pip install 'vrl-envs[minari]'"
BUFFER_BYTES = 2**20
"""Bytes that are read of a Parquet file's column at once."""
BATCH_BYTES = 2**22
"""Bytes of observations that are decoded from Parquet at once."""


class ArrowEpisodes:
    """Folders `0`, `1`, ... of one table each, whose last row has an observation and no step."""

    def __init__(self, path: Path, data_format: str, parts: Sequence[Part]) -> None:
        try:
            import pyarrow.parquet
        except ImportError as error:
            raise VRLError(
                f"The Minari dataset {path} is stored as {data_format!r}, which pyarrow reads. "
                f"Install it: {INSTALL}"
            ) from error
        self._arrow: Any = pyarrow
        self._path, self._format, self.parts = path, data_format, list(parts)
        with damaged(path):
            numbers = (int(x.name) for x in (path / "data").iterdir() if x.name.isdigit())
            self.numbers = np.sort(np.fromiter(numbers, np.int64))

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int, /) -> Recorded:
        folder = self._path / "data" / str(self.numbers[index])
        with damaged(folder, self._arrow.ArrowException):
            files = [
                each
                for each in sorted(folder.iterdir())
                if not each.name.startswith(("_", ".")) and each.name != "metadata.json"
            ]
            if not files:
                raise FileNotFoundError(f"there is no {self._format} file in it")
            open_table = ParquetTable if self._format == "parquet" else ArrowTable
            table = open_table(self._arrow, files, _row_bytes(self.parts))
            return ArrowEpisode(self._arrow, folder, table, self.parts)


class ArrowEpisode:
    """One folder."""

    def __init__(self, arrow: Any, folder: Path, table: Any, parts: Sequence[Part]) -> None:
        self._arrow, self._folder, self._table = arrow, folder, table
        self.name = f"episode_{folder.name}"
        seen = {part.name: table.total for part in parts if part.kind != "Text"}
        self.rows = {**dict.fromkeys(STEPS, table.total - 1), **seen}
        self._text_parts = [part for part in parts if part.kind == "Text"]
        self._texts: dict[str, str] = {}
        self._success: bool | None = None
        self.metadata: Mapping[str, Any] = json.loads((folder / "metadata.json").read_text())

    def observed(self, part: Part, first: int, stop: int) -> np.ndarray:
        """Return rows of a part of the observations."""
        with damaged(self._folder, self._arrow.ArrowException):
            rows = self._table.rows(first, stop)
            self._note(rows, first)
            return _numbers(_inside(_column(rows, "observations"), part.place), part)

    def values(self, name: str, first: int, stop: int) -> np.ndarray:
        """Return rows of one of `STEPS`."""
        with damaged(self._folder, self._arrow.ArrowException):
            values = _column(self._table.rows(first, stop), name)
            return _listed(values) if name == "actions" else _flat(values)

    def texts(self) -> Mapping[str, str]:
        """Return the first of each text."""
        return self._texts

    def success(self) -> bool | None:
        """Return whether any step's information read so far has `success`."""
        return self._success

    def _note(self, rows: Any, first: int) -> None:
        """Keep what rows say that pass by."""
        if "infos" in rows.schema.names:
            found = _told(_column(rows, "infos"))
            self._success = found if not self._success else self._success
        if not first:
            seen = _column(rows, "observations") if self._text_parts else None
            for part in self._text_parts:
                self._texts[part.name] = _inside(seen, part.place)[0].as_py()


class ArrowTable:
    """The rows of Arrow files, in memory maps that are closed after each reading."""

    def __init__(self, arrow: Any, files: Sequence[Path], _: int) -> None:
        self._arrow, self._files = arrow, files
        self.total = sum(batch.num_rows for batch in self._batches())

    def rows(self, first: int, stop: int) -> Any:
        """Return rows as a table."""
        found, before = [], 0
        for batch in self._batches():
            start, end = max(first - before, 0), min(stop - before, batch.num_rows)
            if start < end:
                found.append(batch.slice(start, end - start))
            before += batch.num_rows
        return self._arrow.Table.from_batches(found)

    def _batches(self) -> Iterator[Any]:
        for path in self._files:
            with self._arrow.memory_map(str(path)) as source:
                file = self._arrow.ipc.open_file(source)
                for number in range(file.num_record_batches):
                    yield file.get_batch(number)


class ParquetTable:
    """The rows of Parquet files, decoded in order a batch at a time."""

    def __init__(self, arrow: Any, files: Sequence[Path], row_bytes: int) -> None:
        self._arrow, self._files = arrow, files
        self._together = max(1, BATCH_BYTES // max(row_bytes, 1))
        self.total = sum(arrow.parquet.read_metadata(path).num_rows for path in files)
        self._restart()

    def rows(self, first: int, stop: int) -> Any:
        """Return rows as a table; those before `first` are forgotten."""
        if first < self._start:
            self._restart()
        while self._stop < stop:
            batch = next(self._coming)
            self._kept.append(batch)
            self._stop += batch.num_rows
            while self._kept and self._start + self._kept[0].num_rows <= first:
                self._start += self._kept.pop(0).num_rows
        return self._arrow.Table.from_batches(self._kept).slice(first - self._start, stop - first)

    def _restart(self) -> None:
        self._coming = _parquet_batches(self._arrow, self._files, self._together)
        self._kept: list[Any] = []
        self._start, self._stop = 0, 0


def _parquet_batches(arrow: Any, files: Sequence[Path], rows: int) -> Iterator[Any]:
    for path in files:
        with arrow.parquet.ParquetFile(path, buffer_size=BUFFER_BYTES) as file:
            yield from file.iter_batches(rows)
    raise ValueError("there are fewer rows than the metadata say")


def _row_bytes(parts: Sequence[Part]) -> int:
    return sum(int(np.prod(part.shape)) for part in parts)


def _column(rows: Any, name: str) -> Any:
    column = rows[name]
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _inside(values: Any, place: tuple[str | int, ...]) -> Any:
    for key in place:
        values = values.field(str(key))
    return values


def _numbers(values: Any, part: Part) -> np.ndarray:
    if part.jpeg:
        return decoded([value.as_py() for value in values], part)
    if part.kind == "Discrete":
        return _flat(values).copy()
    flat = values.flatten().to_numpy(zero_copy_only=False)
    return np.array(flat).reshape(len(values), *part.shape)


def _flat(values: Any) -> np.ndarray:
    return np.array(values.to_numpy(zero_copy_only=False))


def _listed(values: Any) -> np.ndarray:
    flat = values.flatten().to_numpy(zero_copy_only=False)
    return np.array(flat).reshape(len(values), -1)


def _told(infos: Any) -> bool | None:
    if infos.type.get_field_index("success") < 0:
        return None
    values = infos.field("success")
    numbers = values.flatten() if hasattr(values.type, "list_size") else values
    return any_success(numbers.to_numpy(zero_copy_only=False))
