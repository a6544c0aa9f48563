"""D4RL's flat HDF5 tables as episodes.

Row t holds the observation, the action taken at it, and that action's reward. An episode ends with
a row whose `terminals` or `timeouts` is set. Where `next_observations` are missing, the row after
a timeout's is another episode's first: as in D4RL's own loader, the timeout's row gives the last
observation and no step. (That loader takes that other row for where a terminal step led.)
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vrl_core.episodes import DataSpec, Episode, FieldSpec
from vrl_core.errors import VRLError
from vrl_envs.config import QUALITY_ALIASES
from vrl_envs.readers.d4rl_config import D4RL
from vrl_envs.readers.vd4rl_dataset import IncompleteDataWarning

REQUIRED = ("observations", "actions", "rewards", "terminals")
TIME_LIMIT = 1000
"""Steps after which a task of Gymnasium is cut off, for files from before `timeouts`."""
ACTION_TOLERANCE = 1e-3
CHUNK_CACHE = 16 * 2**20
SIZES = {
    ("halfcheetah", 17, 6): False,
    ("hopper", 11, 3): False,
    ("walker2d", 17, 6): False,
    ("ant", 27, 8): False,
    ("ant", 111, 8): True,
}
"""Whether the states of a task of these sizes hold contact forces."""
_NAME = re.compile(
    r"(?P<task>halfcheetah|hopper|walker2d|walker|ant)[_-]"
    r"(?P<quality>random|medium|expert|mixed|full)"
    r"(?:[_-](?P<more>replay|expert))?(?:[_-]v\d)?$"
)


@dataclass(frozen=True)
class Bounds:
    """Where an episode lies: rows `start` to `stop` of the tables, and how it ended."""

    start: int
    stop: int
    terminated: bool


class D4RLDataset:
    """Episodes of one file, in Gymnasium's alignment.

    Warns, with `IncompleteDataWarning`, of what the file lacks. Raises `VRLError` when it is
    damaged or not of this format.
    """

    def __init__(self, config: D4RL) -> None:
        self.config, self.path = config, Path(config.path)
        self._file = open_tables(self.path)
        with damaged(self.path):
            self.has_next = "next_observations" in self._file
            found = episode_bounds(self._file, self.path)
        self.bounds = [bounds for bounds in found if self._steps(bounds) > 0]
        self.spec = describe(config, self._file)
        if not self.bounds:
            raise VRLError(f"{self.path} has no episode of at least one step.")
        if parent_process() is None:
            for note in self._notes(len(found)):
                warnings.warn(f"{self.path}: {note}.", IncompleteDataWarning, stacklevel=3)

    def __len__(self) -> int:
        return len(self.bounds)

    def __getitem__(self, index: int, /) -> Episode:
        """Read episode `index`. Raises `VRLError` when the file is damaged."""
        if not 0 <= index < len(self):
            raise IndexError(f"episode {index} of {len(self)}")
        bounds = self.bounds[index]
        steps = self._steps(bounds)
        with damaged(self.path):
            rows = slice(bounds.start, bounds.start + steps)
            actions = np.asarray(self._file["actions"][rows], np.float32)
            rewards = np.asarray(self._file["rewards"][rows], np.float32).reshape(steps)
            observations = self._observations(bounds, steps)
        last = np.arange(steps) == steps - 1
        terminated = bounds.terminated and steps == bounds.stop - bounds.start
        return Episode(
            observations={"state": observations},
            actions=bounded(actions, self.path),
            rewards=rewards,
            terminations=last & terminated,
            truncations=last & (not terminated),
            info={"first_row": bounds.start, "file": self.path.name},
        )

    def _steps(self, bounds: Bounds) -> int:
        rows = bounds.stop - bounds.start
        if self.has_next:
            return rows
        kept = bounds.terminated and self.config.terminal_observation == "repeat"
        return rows if kept else rows - 1

    def _observations(self, bounds: Bounds, steps: int) -> np.ndarray:
        """Return `(T+1, state)` float32."""
        table = self._file["observations"]
        if steps < bounds.stop - bounds.start:
            return np.asarray(table[bounds.start : bounds.stop], np.float32)
        first = np.asarray(table[bounds.start : bounds.stop], np.float32)
        final = self._file["next_observations"][bounds.stop - 1] if self.has_next else first[-1]
        return np.concatenate((first, np.asarray(final, np.float32)[None]))

    def _notes(self, found: int) -> Iterator[str]:
        terminated = sum(bounds.terminated for bounds in self.bounds)
        if found > len(self.bounds):
            count = found - len(self.bounds)
            yield f"{count} episodes of a single row have no step and are left out"
        if terminated and not self.has_next:
            done = {
                "repeat": "the last state is repeated in their place",
                "drop": "the last steps are dropped, and with them the terminations",
            }[self.config.terminal_observation]
            yield f"the states that {terminated} terminations led to are not in the file; {done}"


def looks_like_d4rl(path: Path) -> bool:
    """Return whether a path is an HDF5 file with D4RL's tables."""
    if not path.is_file() or path.suffix not in (".hdf5", ".h5"):
        return False
    try:
        with h5py.File(path, "r") as file:
            return all(isinstance(file.get(name), h5py.Dataset) for name in REQUIRED)
    except OSError:
        return False


def open_tables(path: Path) -> h5py.File:
    """Open a file and check its tables. Raises `VRLError`."""
    if not path.is_file():
        raise VRLError(f"There is no file {path}. Give the path of a D4RL .hdf5 file.")
    with damaged(path):
        file = h5py.File(path, "r", rdcc_nbytes=CHUNK_CACHE)
    missing = [name for name in REQUIRED if not isinstance(file.get(name), h5py.Dataset)]
    if missing:
        raise VRLError(
            f"{path} is no D4RL file: it has no {', '.join(missing)}, but {', '.join(file)}."
        )
    tables = [*REQUIRED, *(name for name in ("timeouts", "next_observations") if name in file)]
    rows = {name: len(file[name]) for name in tables}
    if len(set(rows.values())) > 1:
        raise VRLError(f"{path} is damaged: its tables have different lengths, {rows}.")
    if file["observations"].ndim != 2 or file["actions"].ndim != 2:
        raise VRLError(
            f"{path} has observations {file['observations'].shape} and actions "
            f"{file['actions'].shape}; vectors are needed, one a row."
        )
    return file


def episode_bounds(file: h5py.File, path: Path) -> list[Bounds]:
    """Return the episodes of a file; rows after its last end are one that was cut off."""
    terminals = np.asarray(file["terminals"]).reshape(-1).astype(bool)
    if "timeouts" in file:
        timeouts = np.asarray(file["timeouts"]).reshape(-1).astype(bool)
        ends = np.flatnonzero(terminals | timeouts) + 1
    else:
        ends = np.asarray(list(_ends_without_timeouts(terminals)), np.int64)
    if not len(terminals):
        raise VRLError(f"{path} is empty.")
    starts = np.concatenate(([0], ends))
    stops = ends if len(ends) and ends[-1] == len(terminals) else [*ends, len(terminals)]
    return [
        Bounds(int(start), int(stop), bool(terminals[stop - 1]))
        for start, stop in zip(starts, stops, strict=False)
    ]


def _ends_without_timeouts(terminals: np.ndarray) -> Iterator[int]:
    start = 0
    for terminal in [*np.flatnonzero(terminals) + 1, len(terminals)]:
        while terminal - start > TIME_LIMIT:
            start += TIME_LIMIT
            yield start
        if terminal - start == TIME_LIMIT or terminals[terminal - 1]:
            start = int(terminal)
            yield start


def bounded(actions: np.ndarray, path: Path) -> np.ndarray:
    """Return actions clipped to [-1, 1] from rounding. Raises `VRLError` for larger ones."""
    largest = float(np.abs(actions).max(initial=0))
    if not largest <= 1 + ACTION_TOLERANCE:
        raise VRLError(f"{path} has actions of size {largest:g}; they must lie in [-1, 1].")
    clipped: np.ndarray = np.clip(actions, -1, 1)
    return clipped


def names_of(path: Path) -> tuple[str | None, str | None]:
    """Return the task and the behaviour in a file's name, if they are there."""
    match = _NAME.search(path.stem.lower())
    if match is None:
        return None, None
    task = "walker2d" if match["task"] == "walker" else match["task"]
    quality = "_".join(part for part in (match["quality"], match["more"]) if part)
    return task, QUALITY_ALIASES.get(quality, quality)


def describe(config: D4RL, file: h5py.File) -> DataSpec:
    """Describe the data; the environment is known for the tasks of Gymnasium."""
    path = Path(config.path)
    task, quality = names_of(path)
    task = config.task or task
    if task is None:
        raise VRLError(
            f"The name {path.name} does not tell the task. Give it: --dataset.task halfcheetah"
        )
    sizes = (file["observations"].shape[1], file["actions"].shape[1])
    return DataSpec(
        task=task,
        observations={"state": FieldSpec((sizes[0],), "float32")},
        action_size=sizes[1],
        environment=_environment(task, *sizes),
        behaviour=config.quality or quality or "unknown",
        source="D4RL",
        licence="CC-BY-4.0",
    )


def _environment(task: str, state_size: int, action_size: int) -> dict[str, Any] | None:
    forces = SIZES.get((task, state_size, action_size))
    if forces is None:
        return None
    return {"name": "gym-mujoco", "task": task, "version": "v4", "contact_forces": forces}


@contextmanager
def damaged(path: Path) -> Iterator[None]:
    """Say of what HDF5 cannot read that the file is damaged."""
    try:
        yield
    except (OSError, KeyError, ValueError) as error:
        raise VRLError(
            f"{path} cannot be read: {error}. It may be damaged or incomplete; fetch it again."
        ) from error
