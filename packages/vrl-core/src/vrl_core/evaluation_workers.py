"""Environments stepped side by side, in this process or in workers. Imports no torch.

A *lane* holds one environment. Lanes read actions from, and write observations and rewards to,
arrays that the parent shares with the workers through a memory-mapped file, so a step sends only a
few bytes through a pipe. The arrays are indexed by lane, whichever process a lane lives in.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import multiprocessing
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import connection as pipes
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from vrl_core.episodes import FieldSpec
from vrl_core.errors import VRLError
from vrl_core.hooks import EnvironmentConfig

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

REPLY_SECONDS = 300.0
"""A worker that is silent for longer than this is taken for stuck."""
UNKNOWN_SUCCESS = -1


@dataclass(frozen=True)
class Layout:
    """What the environment's observations and actions look like."""

    observations: Mapping[str, FieldSpec]
    action_size: int
    frames_per_second: float


@dataclass(frozen=True)
class EpisodeStart:
    """How a lane's next episode begins."""

    lane: int
    seed: int
    record: bool


def layout_of(environment: gymnasium.Env[Any, Any]) -> Layout:
    """Describe an environment's spaces. Raises `VRLError` for spaces that evaluation cannot use."""
    actions = environment.action_space
    if not isinstance(actions, gymnasium.spaces.Box) or len(actions.shape) != 1:
        raise VRLError(f"Actions must be a Box of one axis; the environment has {actions}.")
    if not (np.allclose(actions.low, -1) and np.allclose(actions.high, 1)):
        raise VRLError(
            f"Actions must lie in [-1, 1]; the environment has {actions}. "
            "Wrap it in gymnasium.wrappers.RescaleAction(environment, -1.0, 1.0)."
        )
    fields = {name: _field(name, box) for name, box in _boxes(environment.observation_space)}
    rate = environment.metadata.get("render_fps") or 30
    return Layout(fields, actions.shape[0], float(rate))


def _boxes(space: gymnasium.Space[Any]) -> list[tuple[str, gymnasium.Space[Any]]]:
    if isinstance(space, gymnasium.spaces.Dict):
        return list(space.spaces.items())
    is_image = space.dtype == np.uint8 and len(space.shape or ()) == 3
    return [("image" if is_image else "state", space)]


def _field(name: str, space: gymnasium.Space[Any]) -> FieldSpec:
    if not isinstance(space, gymnasium.spaces.Box):
        raise VRLError(f"Observation field {name!r} must be a Box; the environment has {space}.")
    return FieldSpec(space.shape, "uint8" if space.dtype == np.uint8 else "float32")


@dataclass(frozen=True)
class LaneArrays:
    """What lanes and parent exchange; every array has one row a lane."""

    observations: dict[str, np.ndarray]
    action: np.ndarray
    reward: np.ndarray
    ended: np.ndarray
    success: np.ndarray
    """1 when a step of the episode reported success, 0 when none did, -1 when none could tell."""

    @staticmethod
    def allocate(layout: Layout, lanes: int, path: Path | None = None) -> LaneArrays:
        """Create the arrays in memory, or over the file at `path` (made large enough)."""
        fields = {name: (spec.shape, spec.dtype) for name, spec in layout.observations.items()}
        shapes = {
            **{f"observation.{name}": field for name, field in fields.items()},
            "action": ((layout.action_size,), "float32"),
            "reward": ((), "float64"),
            "ended": ((), "bool"),
            "success": ((), "int8"),
        }
        arrays, offset = {}, 0
        for name, (shape, dtype) in shapes.items():
            full = (lanes, *shape)
            arrays[name] = _array(full, np.dtype(dtype), path, offset)
            offset += -(-arrays[name].nbytes // 64) * 64  # rows of every array are aligned
        observations = {name: arrays[f"observation.{name}"] for name in fields}
        return LaneArrays(observations, *(arrays[name] for name in list(shapes)[len(fields) :]))


def _array(
    shape: tuple[int, ...], dtype: np.dtype[Any], path: Path | None, offset: int
) -> np.ndarray:
    if path is None:
        return np.zeros(shape, dtype)
    end = offset + max(1, int(np.prod(shape)) * dtype.itemsize)
    with path.open("r+b") as file:
        if file.seek(0, os.SEEK_END) < end:
            file.truncate(end)
    return np.memmap(path, dtype, "r+", offset, shape)


class Lanes:
    """The lanes that live in one process."""

    def __init__(self, config: EnvironmentConfig) -> None:
        self._config = config
        self._environments: list[gymnasium.Env[Any, Any]] = [config.build()]
        self._active: dict[int, gymnasium.Env[Any, Any]] = {}
        self._frames: dict[int, list[np.ndarray]] = {}
        self._arrays: LaneArrays
        self.layout = layout_of(self._environments[0])

    def attach(self, arrays: LaneArrays) -> None:
        """Use these arrays from now on."""
        self._arrays = arrays

    def start(self, starts: Sequence[EpisodeStart]) -> None:
        """Reset one environment for each start; further environments are built when needed."""
        while len(self._environments) < len(starts):
            self._environments.append(self._config.build())
        self._active, self._frames = {}, {}
        for start, environment in zip(starts, self._environments, strict=False):
            observation, _ = environment.reset(seed=start.seed)
            self._active[start.lane] = environment
            self._arrays.ended[start.lane] = False
            self._arrays.success[start.lane] = UNKNOWN_SUCCESS
            if start.record:
                self._frames[start.lane] = []
            self._observe(start.lane, observation)

    def step(self) -> None:
        """Take one step in every lane whose episode goes on."""
        arrays = self._arrays
        for lane, environment in list(self._active.items()):
            action = np.array(arrays.action[lane])
            observation, reward, terminated, truncated, info = environment.step(action)
            arrays.reward[lane] = reward
            arrays.ended[lane] = terminated or truncated
            arrays.success[lane] = max(arrays.success[lane], _success(info))
            self._observe(lane, observation)
            if terminated or truncated:
                del self._active[lane]

    def frames(self, lane: int) -> np.ndarray:
        """Frames `(time, height, width, channel)` of the episode that a lane recorded."""
        frames = self._frames.pop(lane)
        return np.stack(frames) if frames else np.zeros((0, 1, 1, 3), np.uint8)

    def close(self) -> None:
        """Close the environments."""
        for environment in self._environments:
            environment.close()
        self._environments = []

    def _observe(self, lane: int, observation: Any) -> None:
        fields = self._arrays.observations
        if not isinstance(observation, Mapping):
            observation = {next(iter(fields)): observation}
        for name, array in fields.items():
            array[lane] = observation[name]
        if lane in self._frames:
            self._record(lane)

    def _record(self, lane: int) -> None:
        image = self._arrays.observations.get("image")
        # What the policy sees is what is recorded; only blind policies need a rendering.
        frame = self._active[lane].render() if image is None else image[lane]
        if isinstance(frame, np.ndarray) and frame.dtype == np.uint8:
            self._frames[lane].append(np.array(frame))


def _success(info: Mapping[str, Any]) -> int:
    for name in ("success", "is_success"):
        if name in info:
            return int(bool(info[name]))
    return UNKNOWN_SUCCESS


@dataclass(frozen=True)
class ModuleFile:
    """A module and the file it came from.

    Plugins loaded from a file are in no import path: before a worker can be sent one's
    configuration, it loads the file under the same name.
    """

    name: str
    file: str | None

    @staticmethod
    def of(config: EnvironmentConfig) -> ModuleFile:
        """Find the module that defines a configuration's class."""
        name = type(config).__module__
        return ModuleFile(name, getattr(sys.modules.get(name), "__file__", None))

    def make_importable(self) -> None:
        """Load the file when the module cannot be imported by name."""
        if self.file and not _importable(self.name):
            spec = importlib.util.spec_from_file_location(self.name, self.file)
            if spec and spec.loader:
                module = importlib.util.module_from_spec(spec)
                for parent in _parents(self.name):
                    sys.modules.setdefault(parent, ModuleType(parent))
                sys.modules[self.name] = module
                spec.loader.exec_module(module)


def _parents(module: str) -> list[str]:
    """Names of the packages around a module, which unpickling looks up too."""
    parts = module.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


def _importable(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def serve(connection: Connection, module: ModuleFile) -> None:
    """Run lanes of the configuration that the parent sends, until its end of the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    lanes: Lanes | None = None
    try:
        module.make_importable()
        lanes = Lanes(connection.recv())
        connection.send(("done", lanes.layout))
        while True:
            command, argument = connection.recv()
            connection.send(("done", _obey(lanes, command, argument)))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    except Exception as error:
        wording = str(error) if isinstance(error, VRLError) else f"{type(error).__name__}: {error}"
        with contextlib.suppress(OSError):  # the parent may be gone
            connection.send(("failed", (wording, traceback.format_exc())))
    finally:
        if lanes is not None:
            lanes.close()


def _obey(lanes: Lanes, command: str, argument: Any) -> Any:
    if command == "attach":
        path, count = argument
        return lanes.attach(LaneArrays.allocate(lanes.layout, count, path))
    if command == "start":
        return lanes.start(argument)
    if command == "step":
        return lanes.step()
    return lanes.frames(argument)


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
        module = ModuleFile.of(config)
        self._pipes: list[Connection] = []
        self._processes: list[BaseProcess] = []
        self._lanes = lanes
        try:
            for _ in range(workers):
                here, there = context.Pipe()
                process = context.Process(target=serve, args=(there, module), daemon=True)
                with _one_thread_each():
                    process.start()
                there.close()
                here.send(config)
                self._pipes.append(here)
                self._processes.append(process)
            everyone = range(workers)
            self.layout: Layout = [self._reply(worker) for worker in everyone][0]
            self.arrays = self._share(lanes)
        except BaseException:
            self.close()
            raise

    def start(self, starts: Sequence[EpisodeStart]) -> None:
        """Reset one environment for each start."""
        shares: dict[int, Any] = {}
        for start in starts:
            shares.setdefault(start.lane % len(self._pipes), []).append(start)
        idle = {worker: [] for worker in range(len(self._pipes)) if worker not in shares}
        self._ask("start", {**shares, **idle})

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
