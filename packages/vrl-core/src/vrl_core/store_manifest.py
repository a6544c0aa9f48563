"""What a store's JSON files say: the manifest of a whole store, the journal of one being written.

Both are text that a person can read: one line an episode. Neither holds a time, a host or a path,
so that the same episodes give the same bytes everywhere.
"""

from __future__ import annotations

import dataclasses
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vrl_core.episodes import DataSpec, FieldSpec
from vrl_core.errors import VRLError

FORMAT = 1
MANIFEST = "manifest.json"
JOURNAL = "journal.jsonl"
STAGING_SUFFIX = ".partial"
SKIPPED = "skipped"
"""Key of a journal's line for an episode that was left out."""
OBSERVATION_PREFIX = "observation."
_FIELD_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


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


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything about a store but its rows."""

    spec: DataSpec
    episodes: Sequence[EpisodeRecord]

    @property
    def rows(self) -> int:
        """Rows of every field: an episode of T steps takes T+1."""
        return sum(record.length + 1 for record in self.episodes)


@dataclass(frozen=True, kw_only=True)
class Journal:
    """State of an unfinished store."""

    origin: Mapping[str, Any]
    """The configuration that makes the episodes."""
    spec: Mapping[str, Any]
    """The `DataSpec`, as JSON data."""
    total: int
    """Episodes the finished store will have."""
    episodes: Sequence[EpisodeRecord]
    """Episodes that are safely on disk."""
    skipped: Sequence[str] = ()
    """Why episodes were left out, one reason each; they count towards `total`."""

    @property
    def rows(self) -> int:
        """Rows of every field that are safely on disk."""
        return sum(record.length + 1 for record in self.episodes)


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


def dumps(data: Any) -> str:
    """Write JSON on one line; NumPy scalars and paths become plain, NaN is refused."""
    return json.dumps(data, default=_plain, allow_nan=False, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (Mapping, set, frozenset)):
        return dict(value) if isinstance(value, Mapping) else sorted(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def manifest_text(manifest: Manifest) -> str:
    """Return the manifest's file content, ending with a checksum of its own."""
    head = {
        "format": FORMAT,
        "spec": spec_to_data(manifest.spec),
        "rows": manifest.rows,
    }
    records = [record.to_data() for record in manifest.episodes]
    checksum = _own_checksum({**head, "episodes": records})
    lines = ",\n    ".join(dumps(record) for record in records)
    opening = json.dumps(head, indent=2, ensure_ascii=False)[:-2]
    return f'{opening},\n  "episodes": [\n    {lines}\n  ],\n  "checksum": {checksum}\n}}\n'


def _own_checksum(data: Mapping[str, Any]) -> int:
    plain = json.loads(dumps(data))
    return zlib.crc32(json.dumps(plain, sort_keys=True, ensure_ascii=True).encode())


def read_manifest(folder: Path) -> Manifest:
    """Read and verify a store's manifest.

    Raises `VRLError` when it cannot be read, is of another format, or was altered.
    """
    path = folder / MANIFEST
    data = _read_json(path)
    if data.get("format") != FORMAT:
        raise VRLError(
            f"{path} has format {data.get('format')!r}; this version of VRL reads format {FORMAT}. "
            "Update VRL, or write the store again."
        )
    checksum = data.pop("checksum", None)
    if checksum != _own_checksum(data):
        raise VRLError(
            f"{path} is damaged: it does not match its own checksum. Restore it from a copy, or "
            "write the store again."
        )
    try:
        spec = spec_from_data(data["spec"])
        records = [EpisodeRecord.from_data(record) for record in data["episodes"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise VRLError(f"{path} is malformed ({_reason(error)}). Write the store again.") from error
    return Manifest(spec=spec, episodes=records)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise VRLError(f"Cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise VRLError(
            f"{path} is damaged: it is not JSON ({error}). Restore it, or write the store again."
        ) from error
    if not isinstance(data, dict):
        raise VRLError(f"{path} is malformed: it holds no JSON object. Write the store again.")
    return data


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
        text = path.read_bytes().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise VRLError(f"Cannot read {path}: {error.strerror}.") from error
    lines = text.split("\n")[:-1]
    if not lines:
        return None
    try:
        opening, *records = (json.loads(line) for line in lines)
        if opening["format"] != FORMAT:
            raise ValueError(f"format {opening['format']!r} is not {FORMAT}")
        return Journal(
            origin=opening["origin"],
            spec=opening["spec"],
            total=int(opening["episodes"]),
            episodes=[EpisodeRecord.from_data(each) for each in records if SKIPPED not in each],
            skipped=[str(each[SKIPPED]) for each in records if SKIPPED in each],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise VRLError(
            f"{path} is damaged ({_reason(error)}). Delete {folder} and start again."
        ) from error


def _reason(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else str(error)
