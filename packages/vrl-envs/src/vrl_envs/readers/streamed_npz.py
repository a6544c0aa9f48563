"""Large `.npz` files read a few rows at a time: columns are streamed, never held whole."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import numpy as np

from vrl_core.errors import DamagedDataError, VRLError
from vrl_envs.readers.damage import damaged
from vrl_envs.readers.recorded_npz import Header, array_header, headers

TURNED_BYTES = 128 * 2**20
"""Bytes of a column stored by columns that is still read, whole."""
BLOCK_BYTES = 4 * 2**20
"""Bytes of a column that are decompressed at once while it is looked through."""


class StreamedNpz:
    """The columns of one file. Rows that are read in order are decompressed once."""

    def __init__(self, path: Path, columns: Mapping[str, Header] | None = None) -> None:
        """Read the headers, unless given. Raises `DamagedDataError` when the file is damaged."""
        self.path = path
        self.columns = headers(path) if columns is None else columns
        self._streams: dict[str, tuple[IO[bytes], int]] = {}
        # Neighbouring episodes may share a row, and a stream does not go back.
        self._last: dict[str, tuple[int, np.ndarray]] = {}
        with damaged(path):
            self._archive = zipfile.ZipFile(path)

    def rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Return rows `start` to `stop` of a column. Raises `DamagedDataError`.

        Going back by more than the last row decompresses a column from its beginning.
        """
        last, row = self._last.get(name, (-1, None))
        if row is not None and start == last:
            read = self._read(name, start + 1, stop)
            values = np.concatenate((row, read)) if len(read) else row
        else:
            values = self._read(name, start, stop)
        if len(values):
            self._last[name] = (stop - 1, values[-1:].copy())
        return values

    def finish(self) -> None:
        """Read what is left of the columns that were begun, and compare the archive's checksums.

        Raises `DamagedDataError`, also when a column goes on behind its last row.
        """
        for name, (stream, first) in self._streams.items():
            header = self.columns[name]
            end = first + header.shape[0] * _row_bytes(header)
            with damaged(self.path):
                go_to(stream, end, first)
                at, more = stream.tell(), stream.read(1)
            if at != end or more:
                raise DamagedDataError(
                    f"{self.path} is damaged: {name} is {'longer' if more else 'shorter'} than the "
                    f"{header.shape[0]} rows of its header. Fetch it again."
                )

    def close(self) -> None:
        """Close the file."""
        for stream, _ in self._streams.values():
            stream.close()
        self._archive.close()

    def _read(self, name: str, start: int, stop: int) -> np.ndarray:
        header = self.columns[name]
        row = _row_bytes(header)
        wanted = (stop - start) * row
        with damaged(self.path):
            stream, first = self._stream(name)
            go_to(stream, first + start * row, first)
            content = stream.read(wanted)
        if len(content) != wanted:
            raise DamagedDataError(
                f"{self.path} is damaged: {name} ends before row {stop} of {header.shape[0]}. "
                "Fetch it again."
            )
        return np.frombuffer(content, header.dtype).reshape(stop - start, *header.shape[1:])

    def blocks(self, name: str) -> Iterator[tuple[int, np.ndarray]]:
        """Yield a column in blocks, each with the number of its first row."""
        header = self.columns[name]
        row = _row_bytes(header)
        step = max(1, BLOCK_BYTES // max(row, 1))
        for start in range(0, header.shape[0], step):
            yield start, self.rows(name, start, min(start + step, header.shape[0]))

    def _stream(self, name: str) -> tuple[IO[bytes], int]:
        """Return an open column and where its rows begin in it."""
        if name not in self._streams:
            stream = self._archive.open(f"{name}.npy")
            _, fortran, _ = array_header(stream)
            if fortran and len(self.columns[name].shape) > 1:
                stream, start = self._turned(name, stream)
                self._streams[name] = (stream, start)
                return stream, start
            self._streams[name] = (stream, stream.tell())
        return self._streams[name]

    def _turned(self, name: str, stream: IO[bytes]) -> tuple[IO[bytes], int]:
        """Return a column that is stored by columns as if it were stored by rows."""
        header = self.columns[name]
        if header.shape[0] * _row_bytes(header) > TURNED_BYTES:
            raise VRLError(
                f"{self.path} has {name} stored by columns, which cannot be read row by row. "
                "Write it again from np.ascontiguousarray."
            )
        content = stream.read()
        size = header.shape[0] * _row_bytes(header)
        turned = np.frombuffer(content[:size], header.dtype).reshape(header.shape[::-1]).T
        return io.BytesIO(np.ascontiguousarray(turned).tobytes() + content[size:]), 0


def _row_bytes(header: Header) -> int:
    return header.dtype.itemsize * math.prod(header.shape[1:])


def go_to(stream: IO[bytes], place: int, first: int) -> None:
    """Move a compressed stream to a place, in small steps; back means from its first row."""
    if place < stream.tell():
        stream.seek(first)
    while (gap := place - stream.tell()) > 0 and stream.read(min(gap, BLOCK_BYTES)):
        pass
