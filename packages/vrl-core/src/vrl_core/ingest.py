"""Collecting from a simulator and converting files, which are one operation: dataset -> store.

    write_store(DMCDataset(task="walker_walk", quality="expert"), "data/walker")

`dataset[i]` is a pure function of the configuration and `i`. So episodes are made in parallel
processes, written in order, and a run that was stopped goes on where it stopped; neither changes a
byte of the store.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from functools import reduce
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

from vrl_core.episodes import Dataset, Episode
from vrl_core.errors import DamagedDataError, VRLError
from vrl_core.hooks import DatasetConfig
from vrl_core.store import Store
from vrl_core.store_writer import StoreWriter, refuse_existing
from vrl_core.writing import explained

LOOK_AHEAD = 2
"""Episodes for each worker that may be ahead of the writer; bounds the memory."""
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


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

    `workers` processes make the episodes, by default one for each available core; one means this
    process. The store's bytes do not depend on it. When `folder.partial` holds the beginning of
    the same dataset, the rest is written. Episodes that raise `DamagedDataError` are left out, with
    a warning, if the configuration has a true `skip_damaged`. Raises `VRLError` when the store
    exists or is being written, the unfinished one is of another configuration, data is unfit, or a
    worker dies; what was written before is kept.
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
        count = min(workers or available_cores(), max(1, len(left)))
        with closing(_episodes(config, dataset, left, count)) as episodes:
            for episode in episodes:
                _take(writer, episode, getattr(config, "skip_damaged", None))
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


def _take(writer: StoreWriter, episode: Episode | DamagedDataError, skips: bool | None) -> None:
    """Append an episode, or skip one that is damaged; `skips` is None where that is no setting."""
    if isinstance(episode, Episode):
        writer.append(episode)
    elif skips:
        writer.skip(str(episode))
    else:
        hint = "" if skips is None else " --dataset.skip-damaged leaves such episodes out."
        raise DamagedDataError(f"{episode}{hint}")


def _skipped_note(reasons: Sequence[str], total: int) -> str:
    more = f" And {len(reasons) - 3} more." if len(reasons) > 3 else ""
    return f"left out {len(reasons)} of {total} episodes: {' '.join(reasons[:3])}{more}"


def available_cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _episodes(
    config: DatasetConfig, dataset: Dataset, indices: range, workers: int
) -> Generator[Episode | DamagedDataError, None, None]:
    """Yield the episodes in order, made here or by worker processes."""
    if not indices:
        return
    if workers == 1:
        for index in indices:
            yield _episode(dataset, index)
        return
    # Neighbouring episodes may share a compressed chunk of a file; a dataset that says so is
    # read in such blocks, each by one worker.
    block = max(1, int(getattr(dataset, "episodes_per_read", 1)))
    blocks = [indices[first : first + block] for first in range(0, len(indices), block)]
    with _single_threaded_children():
        pool = ProcessPoolExecutor(
            workers,
            mp_context=get_context("spawn"),
            initializer=_start_worker,
            initargs=_recipe(config),
        )
        try:
            yield from _in_order(pool, blocks, workers * (LOOK_AHEAD if block == 1 else 1))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _in_order(
    pool: ProcessPoolExecutor, blocks: list[range], ahead: int
) -> Iterator[Episode | DamagedDataError]:
    waiting: deque[tuple[range, Future[list[Episode | DamagedDataError]]]] = deque()
    remaining = iter(blocks)
    try:
        for block in remaining:
            waiting.append((block, pool.submit(_make_block, block)))
            if len(waiting) > ahead:
                yield from waiting.popleft()[1].result()
        while waiting:
            yield from waiting.popleft()[1].result()
    except BrokenProcessPool as error:
        raise VRLError(
            "A worker process died while making episodes; it may have run out of memory, or the "
            "calling script lacks `if __name__ == '__main__':`. Finished episodes are kept: run "
            "the same command again to continue, with fewer --workers if memory is short."
        ) from error


def _episode(dataset: Dataset, index: int) -> Episode | DamagedDataError:
    try:
        return dataset[index]
    except DamagedDataError as error:
        return error
    except VRLError:
        raise
    except Exception as error:
        raise VRLError(
            f"Episode {index} could not be made: {type(error).__name__}: {error}. Episodes before "
            "it are kept."
        ) from error


@contextmanager
def _single_threaded_children() -> Iterator[None]:
    """Let the processes that start meanwhile use one thread each: they are as many as the cores.

    Libraries read these variables when they are loaded, before any code of ours runs there.
    """
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _recipe(config: DatasetConfig) -> tuple[str, str | None, str, dict[str, Any]]:
    """Return what a fresh process needs to make the configuration again.

    Its module may be a single file given by `--plugin`, which a fresh process cannot import by
    name.
    """
    kind = type(config)
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    values = {field.name: getattr(config, field.name) for field in fields(config) if field.init}
    return kind.__module__, file, kind.__qualname__, values


_dataset: Dataset | None = None
"""The dataset of a worker process."""


def _start_worker(module: str, file: str | None, name: str, values: dict[str, Any]) -> None:
    global _dataset
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and saves first
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    kind = reduce(getattr, name.split("."), _imported(module, file))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the parent opened the same and has said it all
        _dataset = kind(**values).build()


def _leave_with_parent() -> None:
    """End this process when its parent was killed; nobody else would."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _imported(module: str, file: str | None) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        if file is None:
            raise
    spec = importlib.util.spec_from_file_location(module, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {module} from {file}")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[module] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def _make_block(block: range) -> list[Episode | DamagedDataError]:
    assert _dataset is not None, "the worker was not started"
    return [_episode(_dataset, index) for index in block]
