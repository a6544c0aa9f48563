"""What is wrong with a store, finished or not."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vrl_core.episode_records import EpisodeRecord
from vrl_core.episodes import FieldSpec
from vrl_core.errors import VRLError
from vrl_core.store import (
    HEADER_SIZE,
    Problem,
    disk_dtype,
    field_fault,
    field_path,
    row_size,
)
from vrl_core.store_manifest import (
    JOURNAL,
    MANIFEST,
    field_layout,
    read_journal,
    read_manifest,
    spec_from_data,
)

OnEpisode = Callable[[int, int], None]
"""Called with the number of episodes read and their total."""


def check_store(folder: Path, on_episode: OnEpisode | None = None) -> Iterator[Problem]:
    """Read a whole store and yield everything that is wrong with it.

    Finds missing, truncated, overlong and foreign files, wrong headers, bytes that do not match
    their checksum (which episode and field), NaN, infinity, and returns that are not the sum of
    the rewards. Files that are unfit are named and the others are still read.
    """
    if not (folder / MANIFEST).exists():
        yield Problem(where=MANIFEST, message="is missing; without it no episode can be told")
        return
    try:
        manifest = read_manifest(folder)
        layout = field_layout(manifest.spec)
    except VRLError as error:
        yield Problem(where=MANIFEST, message=str(error))
        return
    if not manifest.episodes:
        yield Problem(where=MANIFEST, message="lists no episodes")
    fields = {}
    for name, row in layout.items():
        reason = field_fault(field_path(folder, name), row, manifest.rows)
        if reason:
            yield Problem(where=f"{name}.npy", message=reason)
        mapped = _map_what_is_there(field_path(folder, name), row)
        if mapped is not None:
            fields[name] = mapped
    yield from _foreign_files(folder, layout)
    yield from _content_problems(fields, layout, manifest.episodes, on_episode)


def check_staging(folder: Path, on_episode: OnEpisode | None = None) -> Iterator[Problem]:
    """Read what an unfinished store has safely on disk and yield everything wrong with it."""
    try:
        journal = read_journal(folder)
        layout = field_layout(spec_from_data(journal.spec)) if journal else {}
    except (VRLError, KeyError, TypeError, ValueError) as error:
        yield Problem(where=JOURNAL, message=str(error))
        return
    if journal is None:
        yield Problem(where=JOURNAL, message="is missing or empty: nothing was written yet")
        return
    fields = {}
    for name, row in layout.items():
        path = field_path(folder, name)
        size = path.stat().st_size if path.is_file() else 0
        expected = HEADER_SIZE + journal.rows * row_size(row)
        if size < expected:
            yield Problem(
                where=path.name, message=f"is truncated: {size} bytes, {expected} expected"
            )
        mapped = _map_what_is_there(path, row)
        if mapped is not None:
            fields[name] = mapped
    yield from _foreign_files(folder, layout)
    yield from _content_problems(fields, layout, journal.episodes, on_episode)


def _map_what_is_there(path: Path, row: FieldSpec) -> np.memmap[Any, Any] | None:
    """Map the whole rows of a file, be they too few; None when there are none."""
    rows = (path.stat().st_size - HEADER_SIZE) // row_size(row) if path.is_file() else 0
    if rows <= 0:
        return None
    shape = (rows, *row.shape)
    return np.memmap(path, dtype=disk_dtype(row), mode="r", offset=HEADER_SIZE, shape=shape)


def _foreign_files(folder: Path, layout: Mapping[str, FieldSpec]) -> Iterator[Problem]:
    known = {f"{name}.npy" for name in layout} | {MANIFEST, JOURNAL}
    for path in sorted(folder.iterdir()):
        if path.name not in known:
            yield Problem(where=path.name, message="does not belong to the store")


def _content_problems(
    fields: Mapping[str, np.memmap[Any, Any]],
    layout: Mapping[str, FieldSpec],
    records: Any,
    on_episode: OnEpisode | None,
) -> Iterator[Problem]:
    first = 0
    for index, record in enumerate(records):
        for name in sorted(set(layout) - set(record.checksums)):
            yield Problem(where=MANIFEST, episode=index, message=f"has no checksum of {name}")
        yield from episode_problems(fields, first, record, index)
        first += record.length + 1
        if on_episode:
            on_episode(index + 1, len(records))


def episode_problems(
    fields: Mapping[str, np.memmap[Any, Any]], first: int, record: EpisodeRecord, index: int
) -> Iterator[Problem]:
    """Yield what is wrong with the episode whose first row is `first`.

    A field that ends before the episode does is named once an episode; a damaged field is not
    looked into further.
    """
    end = first + record.length + 1
    for name, field in fields.items():
        where = f"{name}.npy"
        rows = np.asarray(field[first:end])
        if len(rows) < record.length + 1:
            lost = record.length + 1 - len(rows)
            yield Problem(where=where, episode=index, message=f"{lost} rows are missing")
        elif zlib.crc32(np.ascontiguousarray(rows).data) != record.checksums.get(name):
            yield Problem(where=where, episode=index, message="does not match its checksum")
        elif rows.dtype.kind == "f" and not np.isfinite(rows).all():
            step = int(np.argwhere(~np.isfinite(rows))[0][0])
            yield Problem(where=where, episode=index, message=f"NaN or infinity at step {step}")
        elif name == "reward" and _return_differs(rows, record):
            yield Problem(where=where, episode=index, message="does not sum to the return listed")


def _return_differs(rewards: np.ndarray, record: EpisodeRecord) -> bool:
    return float(rewards[:-1].sum(dtype="float64")) != record.undiscounted_return
