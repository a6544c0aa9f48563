"""Environments stepped one after another in a process of evaluation. Imports no torch.

A *lane* holds one environment. Lanes read actions from, and write observations and rewards to,
arrays that the parent shares with its workers, so a step sends only a few bytes through a pipe.
The arrays are indexed by lane, whichever process a lane lives in.
"""

from __future__ import annotations

import contextlib
import os
import signal
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from vrl_core.episodes import FieldSpec
from vrl_core.errors import VRLError
from vrl_core.hooks import EnvironmentConfig
from vrl_core.observations import side_by_side

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

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
        raise VRLError(
            f"Actions must be a Box of one axis; the environment has {actions}. Choose one, or a "
            "setting of it, of continuous actions, such as doses=switched of hiv."
        )
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
        shown = self._arrays.observations.items()
        images = {name: each[lane] for name, each in shown if _is_image(each[lane])}
        # What the policy sees is what is recorded; only blind policies need a rendering.
        frame = side_by_side(images) if images else self._active[lane].render()
        if isinstance(frame, np.ndarray) and frame.dtype == np.uint8:
            self._frames[lane].append(np.array(frame))


def _is_image(value: np.ndarray) -> bool:
    return value.ndim == 3 and value.dtype == np.uint8


def _success(info: Mapping[str, Any]) -> int:
    for name in ("success", "is_success"):
        if name in info:
            return int(bool(info[name]))
    return UNKNOWN_SUCCESS


def serve(connection: Connection) -> None:
    """Run lanes of the configuration that the parent sends, until its end of the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    lanes: Lanes | None = None
    try:
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
