"""The processes that make a dataset's episodes, and the order in which their pieces arrive.

A worker makes a block of neighbouring episodes and sends them a piece at a time through a pipe, in
which it waits until the piece is taken. So it is never more than a piece ahead of what is kept
here, and that is bounded in bytes, whatever episodes are like.
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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import reduce
from multiprocessing import connection as pipes
from multiprocessing import get_context, parent_process
from typing import TYPE_CHECKING, Any

from vrl_core.episodes import Dataset, Episode, pieces_of
from vrl_core.errors import DamagedDataError, VRLError
from vrl_core.hooks import DatasetConfig

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

KEPT_BYTES = 64 * 2**20
"""Pieces of later episodes are taken from the workers until so many bytes lie here."""
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_Message = Episode | VRLError | None
"""A piece; or the end of an episode, None or why there is no more of it."""


def made_pieces(dataset: Dataset, index: int) -> Iterator[Episode]:
    """Yield an episode in pieces, or whole where the dataset has none.

    Raises `DamagedDataError` as the dataset does, `VRLError` for whatever else goes wrong.
    """
    try:
        yield from pieces_of(dataset, index)
    except VRLError:
        raise
    except Exception as error:
        raise VRLError(
            f"Episode {index} could not be made: {type(error).__name__}: {error}. Episodes before "
            "it are kept."
        ) from error


@dataclass
class _Worker:
    """The parent's side of one process."""

    pipe: Connection
    process: BaseProcess
    waiting: deque[_Message] = field(default_factory=deque)
    """What came from it and was not asked for yet."""
    left: int = 0
    """Episodes whose end did not come yet."""


class Workers:
    """Processes that make the episodes of `blocks`; a context manager."""

    def __init__(self, config: DatasetConfig, blocks: Sequence[range], count: int) -> None:
        self._blocks = iter(blocks)
        self._order: deque[tuple[_Worker, range]] = deque()
        self._kept = 0
        self._workers: list[_Worker] = []
        context = get_context("spawn")
        try:
            for _ in range(count):
                here, there = context.Pipe()
                process = context.Process(target=_serve, args=(there, _recipe(config)), daemon=True)
                with _one_thread_each():
                    process.start()
                there.close()
                self._workers.append(_Worker(here, process))
            for worker in self._workers:
                self._give_block(worker)
        except BaseException:
            self.stop()
            raise

    def episodes(self) -> Iterator[Iterator[Episode]]:
        """Yield each episode as its pieces, which must be taken before the next is asked for."""
        while self._order:
            worker, block = self._order[0]
            for _ in block:
                yield self._pieces(worker)
            self._order.popleft()

    def stop(self) -> None:
        """End the processes, whatever they are doing."""
        for worker in self._workers:
            worker.pipe.close()
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(timeout=10)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._workers = []

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _pieces(self, worker: _Worker) -> Iterator[Episode]:
        while (message := self._next(worker)) is not None:
            if isinstance(message, VRLError):
                raise message
            yield message

    def _next(self, worker: _Worker) -> _Message:
        self._take_ready(worker, 0)
        while not worker.waiting:
            self._take_ready(worker, None)
        message = worker.waiting.popleft()
        self._kept -= _size(message)
        return message

    def _take_ready(self, needed: _Worker, seconds: float | None) -> None:
        """Take a message from each worker that has one, while there is room; wait for the first."""
        room = self._kept < KEPT_BYTES
        if not room and needed.waiting:
            return
        known = {each.pipe: each for each in (self._workers if room else [needed]) if each.left}
        for pipe in pipes.wait(list(known), seconds):
            self._take(known[pipe])  # type: ignore[index]

    def _take(self, worker: _Worker) -> None:
        try:
            message: _Message = worker.pipe.recv()
        except (EOFError, OSError):
            worker.waiting.append(_death())  # what others made before it is written first
            worker.left = 0
            return
        worker.waiting.append(message)
        self._kept += _size(message)
        if not isinstance(message, Episode):
            worker.left -= 1
            if not worker.left:
                self._give_block(worker)

    def _give_block(self, worker: _Worker) -> None:
        block = next(self._blocks, None)
        if block is None:
            return
        self._order.append((worker, block))
        try:
            worker.pipe.send(block)
            worker.left = len(block)
        except OSError:
            worker.waiting.append(_death())


def _death() -> VRLError:
    return VRLError(
        "A worker process died while making episodes; it may have run out of memory, or the "
        "calling script lacks `if __name__ == '__main__':`. Finished episodes are kept: run "
        "the same command again to continue, with fewer --workers if memory is short."
    )


def _size(message: _Message) -> int:
    return message.size if isinstance(message, Episode) else 0


@contextmanager
def _one_thread_each() -> Iterator[None]:
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


_Recipe = tuple[str, str | None, str, Mapping[str, Any]]


def _recipe(config: DatasetConfig) -> _Recipe:
    """Return what a fresh process needs to make the configuration again.

    Its module may be a single file given by `--plugin`, which a fresh process cannot import by
    name.
    """
    kind = type(config)
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    values = {field.name: getattr(config, field.name) for field in fields(config) if field.init}
    return kind.__module__, file, kind.__qualname__, values


def _serve(pipe: Connection, recipe: _Recipe) -> None:
    """Make the episodes of each block that comes, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and saves first
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    dataset = _built(recipe)
    try:
        while True:
            for index in pipe.recv():
                _send(pipe, dataset, index)
    except (EOFError, OSError):
        return  # nobody listens any more


def _send(pipe: Connection, dataset: Dataset | VRLError, index: int) -> None:
    if isinstance(dataset, VRLError):
        pipe.send(dataset)
        return
    try:
        for piece in made_pieces(dataset, index):
            pipe.send(piece)
        pipe.send(None)
    except VRLError as error:
        pipe.send(error)


def _built(recipe: _Recipe) -> Dataset | VRLError:
    module, file, name, values = recipe
    kind = reduce(getattr, name.split("."), _imported(module, file))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the parent opened the same and has said it all
        try:
            dataset: Dataset = kind(**values).build()
        except VRLError as error:  # what is wrong is no single episode's damage
            return VRLError(str(error)) if isinstance(error, DamagedDataError) else error
    return dataset


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
