"""Collecting from a simulator and converting files, which are one operation: dataset -> store.

    write_store(DMCDataset(task="walker_walk", quality="expert"), "data/walker")

`dataset[i]` is a pure function of the configuration and `i`. So episodes are made in parallel
processes, written in order, and a run that was stopped goes on where it stopped; neither changes a
byte of the store.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from vrl_core.episodes import Dataset, Episode
from vrl_core.errors import DamagedDataError, VRLError
from vrl_core.hooks import DatasetConfig
from vrl_core.ingest_workers import Workers, made_pieces
from vrl_core.store import Store
from vrl_core.store_writer import StoreWriter, refuse_existing
from vrl_core.writing import explained

READERS = 4
"""Most processes that read files unless told otherwise: the one that writes is hardly faster."""
READING_BYTES = 800 * 2**20
"""Memory that all of them may take, so that with the one that writes it stays under 1 GB."""
PROCESS_BYTES = 128 * 2**20
"""What a process takes that reads files, beside what its dataset keeps (`kept_bytes`)."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a store is."""

    episodes: int
    """Episodes written, earlier runs' included."""
    total: int
    frames: int
    """Rows written, earlier runs' included."""
    resumed: int
    """Episodes that an earlier run had written."""
    resumed_frames: int = 0


def write_store(
    config: DatasetConfig,
    folder: str | Path,
    *,
    workers: int | None = None,
    resume: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
) -> Store:
    """Write all episodes of a dataset into a new store and open it.

    `workers` processes make the episodes, by default one for each available core, and as many
    as memory allows where they read files; one means this process. The store's bytes do not depend
    on it. When `folder.partial` holds the beginning of the same dataset, the rest is written.
    Episodes that raise `DamagedDataError` are left out, with a warning, if the configuration has a
    true `skip_damaged`. Raises `VRLError` when the store exists or is being written, the unfinished
    one is of another configuration, data is unfit, or a worker dies; what was written before is
    kept.
    """
    if workers is not None and workers < 1:
        raise VRLError(f"--workers {workers} makes no episodes; it is at least 1.")
    folder = Path(folder)
    with explained(folder):
        refuse_existing(folder)
    dataset = config.build()
    total = len(dataset)
    if total < 1:
        raise VRLError("The dataset has no episodes: there is nothing to write.")
    writer = StoreWriter(
        folder, dataset.spec, episodes=total, origin=config.fingerprint(), resume=resume
    )
    with writer:
        resumed, resumed_frames = writer.written, writer.frames
        left = range(writer.taken, total)
        count = min(workers or default_workers(dataset), max(1, len(left)))
        with closing(_episodes(config, dataset, left, count)) as episodes:
            for pieces in episodes:
                _take(writer, pieces, getattr(config, "skip_damaged", None))
                if on_progress:
                    on_progress(
                        Progress(
                            episodes=writer.written,
                            total=total - len(writer.skipped),
                            frames=writer.frames,
                            resumed=resumed,
                            resumed_frames=resumed_frames,
                        )
                    )
        store = writer.finish()
    if writer.skipped:
        warnings.warn(_skipped_note(writer.skipped, total), stacklevel=2)
    return store


def _take(writer: StoreWriter, pieces: Iterator[Episode], skips: bool | None) -> None:
    """Append an episode, or skip one that is damaged; `skips` is None where that is no setting."""
    try:
        writer.append_pieces(pieces)
    except DamagedDataError as error:
        if skips:
            writer.skip(str(error))
            return
        hint = "" if skips is None else " --dataset.skip-damaged leaves such episodes out."
        raise DamagedDataError(f"{error}{hint}") from error


def _skipped_note(reasons: Sequence[str], total: int) -> str:
    more = f" And {len(reasons) - 3} more." if len(reasons) > 3 else ""
    return f"left out {len(reasons)} of {total} episodes: {' '.join(reasons[:3])}{more}"


def default_workers(dataset: Dataset) -> int:
    """Return how many processes make the episodes: one a core, and few where they read files."""
    cores = available_cores()
    if not hasattr(dataset, "pieces"):
        return cores
    each = PROCESS_BYTES + int(getattr(dataset, "kept_bytes", 0))
    return min(cores, READERS, max(1, READING_BYTES // each))


def available_cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _episodes(
    config: DatasetConfig, dataset: Dataset, indices: range, workers: int
) -> Generator[Iterator[Episode], None, None]:
    """Yield the episodes in order, each as its pieces, made here or by worker processes."""
    if not indices:
        return
    if workers == 1:
        for index in indices:
            yield made_pieces(dataset, index)
        return
    # Neighbouring episodes may share a compressed chunk of a file; a dataset that says so is
    # read in such blocks, each by one worker.
    block = max(1, int(getattr(dataset, "episodes_per_read", 1)))
    blocks = [indices[first : first + block] for first in range(0, len(indices), block)]
    with Workers(config, blocks, min(workers, len(blocks))) as processes:
        yield from processes.episodes()
