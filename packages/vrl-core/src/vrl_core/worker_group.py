"""The parent's side of evaluation: lanes in this process, or spread over worker processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing import connection as pipes
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vrl_core.errors import VRLError
from vrl_core.evaluation_workers import (
    EpisodeStart,
    LaneArrays,
    Lanes,
    Layout,
    serve,
)
from vrl_core.hooks import EnvironmentConfig

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

REPLY_SECONDS = 300.0
"""A worker that is silent for longer than this is taken for stuck."""


class LocalLanes:
    """All lanes in this process."""

    def __init__(self, config: EnvironmentConfig, lanes: int) -> None:
        self._lanes = Lanes(config)
        self.layout = self._lanes.layout
        self.arrays = LaneArrays.allocate(self.layout, lanes)
        self._lanes.attach(self.arrays)
        self.start, self.step = self._lanes.start, self._lanes.step
        self.frames, self.close = self._lanes.frames, self._lanes.close


class RemoteLanes:
    """Lanes spread over worker processes; the same interface as `LocalLanes`."""

    def __init__(self, config: EnvironmentConfig, lanes: int, workers: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes: list[BaseProcess] = []
        self._lanes = lanes
        try:
            for _ in range(workers):
                here, there = context.Pipe()
                process = context.Process(target=serve, args=(there,), daemon=True)
                with _one_thread_each():
                    process.start()
                there.close()
                here.send(config)
                self._pipes.append(here)
                self._processes.append(process)
            layouts = [self._reply(worker) for worker in range(workers)]
            self.layout: Layout = layouts[0]
            self.arrays = self._share(lanes)
        except BaseException:
            self.close()
            raise

    def start(self, starts: Sequence[EpisodeStart]) -> None:
        """Reset one environment for each start."""
        shares: dict[int, list[EpisodeStart]] = {}
        for start in starts:
            shares.setdefault(start.lane % len(self._pipes), []).append(start)
        everyone = range(len(self._pipes))  # a worker without a start forgets its last episodes
        self._ask("start", {worker: shares.get(worker, []) for worker in everyone})

    def step(self) -> None:
        """Take one step in every lane whose episode goes on."""
        self._ask("step", dict.fromkeys(range(len(self._pipes))))

    def frames(self, lane: int) -> np.ndarray:
        """Frames `(time, height, width, channel)` of the episode that a lane recorded."""
        worker = lane % len(self._pipes)
        frames = self._ask("frames", {worker: lane})[worker]
        assert isinstance(frames, np.ndarray)
        return frames

    def close(self) -> None:
        """Let the workers close their environments and end."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(timeout=10)
            if process.is_alive():
                process.kill()
                process.join()
        self._pipes, self._processes = [], []

    def _share(self, lanes: int) -> LaneArrays:
        handle, name = tempfile.mkstemp(prefix="vrl-lanes-")
        os.close(handle)
        path = Path(name)
        try:
            arrays = LaneArrays.allocate(self.layout, lanes, path)
            self._ask("attach", dict.fromkeys(range(len(self._pipes)), (path, lanes)))
        finally:
            path.unlink()  # the maps live on; nothing stays behind, however the run ends
        return arrays

    def _ask(self, command: str, arguments: Mapping[int, Any]) -> dict[int, Any]:
        for worker, argument in arguments.items():
            try:
                self._pipes[worker].send((command, argument))
            except OSError:
                raise self._death(worker) from None
        return {worker: self._reply(worker) for worker in arguments}

    def _reply(self, worker: int) -> Any:
        pipe, process = self._pipes[worker], self._processes[worker]
        if not pipes.wait([pipe, process.sentinel], REPLY_SECONDS):
            raise VRLError(
                f"Evaluation worker {worker} has not answered for {REPLY_SECONDS:.0f} s. "
                "Try --workers 0 to run the environment in this process and see where it hangs."
            )
        try:
            kind, value = pipe.recv()
        except (EOFError, OSError):
            raise self._death(worker) from None
        if kind == "failed":
            wording, trace = value
            error = VRLError(f"The environment failed in evaluation worker {worker}: {wording}")
            error.add_note(trace)
            raise error
        return value

    def _death(self, worker: int) -> VRLError:
        process = self._processes[worker]
        process.join(timeout=5)
        return VRLError(
            f"Evaluation worker {worker} died ({_cause(process.exitcode)}). If memory ran out, use "
            "fewer workers (--workers); --workers 0 runs the environment in this process."
        )


def _cause(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"killed by signal {signal.Signals(-exit_code).name}"
    return f"exit status {exit_code}"


class _one_thread_each:  # noqa: N801 - reads as a statement
    """Have workers started inside use one thread: they run side by side, one a core."""

    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LP_NUM_THREADS")

    def __enter__(self) -> None:
        self._unset = [name for name in self.names if name not in os.environ]
        os.environ.update(dict.fromkeys(self._unset, "1"))

    def __exit__(self, *_: object) -> None:
        for name in self._unset:
            del os.environ[name]
