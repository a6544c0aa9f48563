"""What a store knows of each episode, kept as the lines that its files hold.

A million short episodes are a few hundred megabytes of text, and would be gigabytes of objects.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from vrl_core.plain_json import dumps


@dataclass(frozen=True, kw_only=True)
class EpisodeRecord:
    """What is known of one stored episode without reading it."""

    length: int
    """Steps; the episode takes one row more."""
    undiscounted_return: float
    """Sum of the rewards."""
    info: Mapping[str, Any]
    checksums: Mapping[str, int]
    """CRC-32 of the episode's bytes in each field."""

    def to_data(self) -> dict[str, Any]:
        """Return the record as JSON data."""
        return {
            "length": self.length,
            "return": self.undiscounted_return,
            "info": dict(self.info),
            "checksums": dict(self.checksums),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> EpisodeRecord:
        """Read a record; raises `KeyError`, `TypeError` or `ValueError` when it is malformed."""
        return cls(
            length=int(data["length"]),
            undiscounted_return=float(data["return"]),
            info=dict(data["info"]),
            checksums={str(name): int(value) for name, value in data["checksums"].items()},
        )


class EpisodeRecords(Sequence[EpisodeRecord]):
    """Records in order; one is made anew whenever it is asked for."""

    def __init__(self, records: Iterable[EpisodeRecord] = ()) -> None:
        self._text = bytearray()
        self._ends = array("q", [0])
        self.lengths = array("q")
        """Steps of each episode."""
        self.returns = array("d")
        """Sum of each one's rewards."""
        self.rows = 0
        """Rows of all: one more an episode than steps."""
        for record in records:
            self.append(record)

    def append(self, record: EpisodeRecord) -> str:
        """Add a record and return its line."""
        line = dumps(record.to_data())
        self._text += line.encode()
        self._ends.append(len(self._text))
        self.lengths.append(record.length)
        self.returns.append(record.undiscounted_return)
        self.rows += record.length + 1
        return line

    def lines(self) -> Iterator[str]:
        """Yield each record as JSON on one line."""
        for index in range(len(self)):
            yield self._line(index).decode()

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, index: int) -> EpisodeRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[EpisodeRecord]: ...
    def __getitem__(self, index: int | slice) -> EpisodeRecord | list[EpisodeRecord]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        return EpisodeRecord.from_data(json.loads(self._line(range(len(self))[index])))

    def _line(self, index: int) -> bytes:
        return bytes(self._text[self._ends[index] : self._ends[index + 1]])
