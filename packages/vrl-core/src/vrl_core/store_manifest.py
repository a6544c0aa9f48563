"""What a store's JSON files say: the manifest of a whole store, the journal of one being written.

Both are text that a person can read: one line an episode. Neither holds a time, a host or a path,
so that the same episodes give the same bytes everywhere.
"""

from __future__ import annotations

import dataclasses
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vrl_core.episode_records import EpisodeRecord, EpisodeRecords
from vrl_core.episodes import DataSpec, FieldSpec
from vrl_core.errors import VRLError
from vrl_core.plain_json import dumps

FORMAT = 1
MANIFEST = "manifest.json"
JOURNAL = "journal.jsonl"
STAGING_SUFFIX = ".partial"
SKIPPED = "skipped"
"""Key of a journal's line for an episode that was left out."""
OBSERVATION_PREFIX = "observation."
MALFORMED = (KeyError, TypeError, ValueError, AttributeError)
"""What reading JSON data of another form raises."""
_FIELD_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything about a store but its rows."""

    spec: DataSpec
    episodes: EpisodeRecords

    @property
    def rows(self) -> int:
        """Rows of every field: an episode of T steps takes T+1."""
        return self.episodes.rows


@dataclass(frozen=True, kw_only=True)
class Journal:
    """State of an unfinished store."""

    origin: Mapping[str, Any]
    """The configuration that makes the episodes."""
    spec: Mapping[str, Any]
    """The `DataSpec`, as JSON data."""
    total: int
    """Episodes the finished store will have."""
    episodes: EpisodeRecords
    """Episodes that are safely on disk."""
    skipped: Sequence[str] = ()
    """Why episodes were left out, one reason each; they count towards `total`."""

    @property
    def rows(self) -> int:
        """Rows of every field that are safely on disk."""
        return self.episodes.rows


def field_layout(spec: DataSpec) -> dict[str, FieldSpec]:
    """Return shape and dtype of one row of every field of a store, by field name.

    Raises `VRLError` for an observation name that cannot be a file's name.
    """
    layout: dict[str, FieldSpec] = {}
    for name, field in spec.observations.items():
        if not _FIELD_NAME.fullmatch(name):
            raise VRLError(
                f"Observation field {name!r} cannot name a file; use letters, digits and '_.-'."
            )
        layout[OBSERVATION_PREFIX + name] = field
    layout["action"] = FieldSpec((spec.action_size,), "float32")
    layout["reward"] = FieldSpec((), "float32")
    layout["termination"] = FieldSpec((), "bool")
    layout["truncation"] = FieldSpec((), "bool")
    return layout


def spec_to_data(spec: DataSpec) -> dict[str, Any]:
    """Return a `DataSpec` as JSON data."""
    data = {field.name: getattr(spec, field.name) for field in dataclasses.fields(spec)}
    data["observations"] = {
        name: {"shape": list(field.shape), "dtype": field.dtype}
        for name, field in spec.observations.items()
    }
    result: dict[str, Any] = json.loads(dumps(data))
    return result


def spec_from_data(data: Mapping[str, Any]) -> DataSpec:
    """Read a `DataSpec`; raises `KeyError`, `TypeError` or `ValueError` when it is malformed."""
    observations = {
        str(name): FieldSpec(tuple(int(size) for size in field["shape"]), str(field["dtype"]))
        for name, field in data["observations"].items()
    }
    for field in observations.values():
        np.dtype(field.dtype)
    return DataSpec(**{**data, "observations": observations})


def manifest_text(manifest: Manifest) -> Iterator[str]:
    """Yield the manifest's file content, one line an episode, then a checksum of its own."""
    head = {"format": FORMAT, "spec": spec_to_data(manifest.spec), "rows": manifest.rows}
    checksum = _Checksum()
    yield json.dumps(head, indent=2, ensure_ascii=False)[:-2] + EPISODES
    for index, record in enumerate(manifest.episodes):
        line = dumps(record.to_data())
        checksum.add(json.loads(line))
        yield f"{',' if index else ''}\n    {line}"
    yield f'\n  ],\n  "checksum": {checksum.of(head)}\n}}\n'


EPISODES = ',\n  "episodes": ['
"""What stands before the lines of episodes."""


class _Checksum:
    """CRC-32 of the manifest's JSON with sorted keys, without holding that text."""

    def __init__(self) -> None:
        self._value = zlib.crc32(b'{"episodes": [')
        self._between = ""

    def add(self, record: Any) -> None:
        """Take in the next episode."""
        text = self._between + json.dumps(record, sort_keys=True)
        self._value, self._between = zlib.crc32(text.encode(), self._value), ", "

    def of(self, rest: Mapping[str, Any]) -> int:
        """Return the checksum of all episodes and the rest, whose keys are sorted behind them."""
        text = "], " + json.dumps(json.loads(dumps(rest)), sort_keys=True)[1:]
        return zlib.crc32(text.encode(), self._value)


def read_manifest(folder: Path) -> Manifest:
    """Read and verify a store's manifest.

    Raises `VRLError` when it cannot be read, is of another format, or was altered.
    """
    path = folder / MANIFEST
    try:
        with path.open(encoding="utf-8") as file:
            return _read_manifest(path, file)
    except OSError as error:
        raise VRLError(f"Cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise VRLError(
            f"{path} is damaged: it is not JSON ({error}). Restore it, or write the store again."
        ) from error


def _read_manifest(path: Path, file: Iterable[str]) -> Manifest:
    """Read a manifest line by line. Raises `ValueError` for what is not JSON."""
    lines = iter(file)
    head, episodes = _head(path, lines)
    if head.get("format") != FORMAT:
        raise VRLError(
            f"{path} has format {head.get('format')!r}; this version of VRL reads format {FORMAT}. "
            "Update VRL, or write the store again."
        )
    records, checksum = EpisodeRecords(), _Checksum()
    malformed: Exception | None = None
    for data in episodes:
        checksum.add(data)
        try:
            records.append(EpisodeRecord.from_data(data))
        except MALFORMED as error:
            malformed = malformed or error
    if "checksum" not in head:
        head |= json.loads("{" + "".join(lines))
    if head.pop("checksum", None) != checksum.of(head):
        raise VRLError(
            f"{path} is damaged: it does not match its own checksum. Restore it from a copy, or "
            "write the store again."
        )
    try:
        if malformed:
            raise malformed
        return Manifest(spec=spec_from_data(head["spec"]), episodes=records)
    except MALFORMED as error:
        raise VRLError(f"{path} is malformed ({_reason(error)}). Write the store again.") from error


def _head(path: Path, lines: Iterator[str]) -> tuple[dict[str, Any], Iterable[Any]]:
    """Return what a manifest says before its episodes, and these as they are read.

    One that another program laid out anew is read whole.
    """
    head = ""
    for line in lines:
        head += line
        if head.endswith(EPISODES + "\n"):
            return json.loads(head.removesuffix(EPISODES + "\n") + "}"), _episode_lines(lines)
    data = json.loads(head)
    if not isinstance(data, dict):
        raise VRLError(f"{path} is malformed: it holds no JSON object. Write the store again.")
    return data, data.pop("episodes", ())


def _episode_lines(lines: Iterator[str]) -> Iterator[Any]:
    for line in lines:
        if line == "  ],\n":
            return
        yield json.loads(line.rstrip().removesuffix(","))


def journal_opening(origin: Mapping[str, Any], spec: DataSpec, total: int) -> str:
    """Return the first line of a journal."""
    opening = {"format": FORMAT, "origin": origin, "spec": spec_to_data(spec), "episodes": total}
    return dumps(opening) + "\n"


def read_journal(folder: Path) -> Journal | None:
    """Read the journal of an unfinished store; None when its first line never reached the disk.

    A last line that was cut off by a kill is left out. Raises `VRLError` when another line is
    damaged or the format is another.
    """
    path = folder / JOURNAL
    try:
        with path.open("rb") as file:
            return _read_journal(line for line in file if line.endswith(b"\n"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise VRLError(f"Cannot read {path}: {error.strerror}.") from error
    except MALFORMED as error:
        raise VRLError(
            f"{path} is damaged ({_reason(error)}). Delete {folder} and start again."
        ) from error


def _read_journal(lines: Iterator[bytes]) -> Journal | None:
    first = next(lines, None)
    if first is None:
        return None
    opening = json.loads(first.decode("utf-8", errors="replace"))
    if opening["format"] != FORMAT:
        raise ValueError(f"format {opening['format']!r} is not {FORMAT}")
    records, skipped = EpisodeRecords(), []
    for line in lines:
        data = json.loads(line.decode("utf-8", errors="replace"))
        if SKIPPED in data:
            skipped.append(str(data[SKIPPED]))
        else:
            records.append(EpisodeRecord.from_data(data))
    return Journal(
        origin=opening["origin"],
        spec=opening["spec"],
        total=int(opening["episodes"]),
        episodes=records,
        skipped=skipped,
    )


def _reason(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else str(error)
