"""D4RL's flat HDF5 tables as episodes.

Row t holds the observation, the action taken at it, and that action's reward. An episode ends with
a row whose `terminals` or `timeouts` is set. Where `next_observations` are missing, the row after
a timeout's is another episode's first: as in D4RL's own loader, the timeout's row gives the last
observation and no step. (That loader takes that other row for where a terminal step led.)
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vrl_core.episodes import DataSpec, Episode, FieldSpec
from vrl_core.errors import VRLError
from vrl_envs.adroit.config import as_d4rl
from vrl_envs.adroit.tasks import ADROIT_TASKS
from vrl_envs.collection import environment_data
from vrl_envs.readers.actions import bounded
from vrl_envs.readers.d4rl_config import D4RL
from vrl_envs.readers.d4rl_names import KITCHEN_PARTS, names_of, provenance, time_limit_of
from vrl_envs.readers.damage import IncompleteDataWarning, damaged

REQUIRED = ("observations", "actions", "rewards", "terminals")
CHUNK_CACHE = 16 * 2**20
SIZES = {
    ("halfcheetah", 17, 6): False,
    ("hopper", 11, 3): False,
    ("walker2d", 17, 6): False,
    ("ant", 27, 8): False,
    ("ant", 111, 8): True,
}
"""Whether the states of a task of these sizes hold contact forces."""


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
        self.assumed_limit = time_limit_of(config.task or names_of(self.path)[0])
        with damaged(self.path):
            self.has_next = "next_observations" in self._file
            found = episode_bounds(self._file, self.path, config.time_limit or self.assumed_limit)
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
        """Read episode `index`. Raises `DamagedDataError` when the file is damaged."""
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
            observations=self._fields(observations),
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

    def _fields(self, observations: np.ndarray) -> dict[str, np.ndarray]:
        """Split `(T+1, state)` into the fields of the spec."""
        fields, start = {}, 0
        for name, field in self.spec.observations.items():
            fields[name] = observations[:, start : start + field.shape[0]]
            start += field.shape[0]
        return fields

    def _notes(self, found: int) -> Iterator[str]:
        cut = [b for b in self.bounds if not b.terminated]
        if "timeouts" not in self._file and not self.config.time_limit and cut:
            yield (
                f"the file does not say where episodes were cut; {self.assumed_limit} steps, the "
                f"task's time limit, are taken for {len(cut)} of them (--dataset.time-limit)"
            )
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


def episode_bounds(file: h5py.File, path: Path, time_limit: int) -> list[Bounds]:
    """Return the episodes of a file; rows after its last end are one that was cut off.

    Without `timeouts`, an episode ends after `time_limit` steps.
    """
    terminals = np.asarray(file["terminals"]).reshape(-1).astype(bool)
    if "timeouts" in file:
        timeouts = np.asarray(file["timeouts"]).reshape(-1).astype(bool)
        ends = np.flatnonzero(terminals | timeouts) + 1
    else:
        ends = np.asarray(list(_ends_without_timeouts(terminals, time_limit)), np.int64)
    if not len(terminals):
        raise VRLError(f"{path} is empty.")
    starts = np.concatenate(([0], ends))
    stops = ends if len(ends) and ends[-1] == len(terminals) else [*ends, len(terminals)]
    return [
        Bounds(int(start), int(stop), bool(terminals[stop - 1]))
        for start, stop in zip(starts, stops, strict=False)
    ]


def _ends_without_timeouts(terminals: np.ndarray, time_limit: int) -> Iterator[int]:
    start = 0
    for terminal in [*np.flatnonzero(terminals) + 1, len(terminals)]:
        while terminal - start > time_limit:
            start += time_limit
            yield start
        if terminal - start == time_limit or terminals[terminal - 1]:
            start = int(terminal)
            yield start


def describe(config: D4RL, file: h5py.File) -> DataSpec:
    """Describe the data; the environment is known for the tasks of Gymnasium and of Adroit."""
    path = Path(config.path)
    named, quality = names_of(path)
    task = config.task or named
    if task is None:
        raise VRLError(
            f"The name {path.name} does not tell the task. Give it: --dataset.task halfcheetah"
        )
    sizes = (file["observations"].shape[1], file["actions"].shape[1])
    quality = config.quality or quality or "unknown"
    return DataSpec(
        task=task,
        observations=_observations(config, task, sizes[0]),
        action_size=sizes[1],
        environment=_environment(task, *sizes),
        behaviour=quality,
        source=provenance(task, quality),
        licence="CC-BY-4.0",
    )


def _observations(config: D4RL, task: str, size: int) -> dict[str, FieldSpec]:
    if config.observations == "state":
        return {"state": FieldSpec((size,), "float32")}
    if task != "kitchen" or size != sum(KITCHEN_PARTS.values()):
        raise VRLError(
            f"Observations of {task} with {size} numbers have no parts; Kitchen's 60 have "
            f"{KITCHEN_PARTS}. Leave out --dataset.observations parts."
        )
    return {name: FieldSpec((width,), "float32") for name, width in KITCHEN_PARTS.items()}


def _environment(task: str, state_size: int, action_size: int) -> dict[str, Any] | None:
    hand = ADROIT_TASKS.get(f"adroit_{task}")
    if hand is not None and (hand.observation_size, hand.action_size) == (state_size, action_size):
        return environment_data("adroit", as_d4rl(f"adroit_{task}"))
    forces = SIZES.get((task, state_size, action_size))
    if forces is None:
        return None
    return {"name": "gym-mujoco", "task": task, "version": "v4", "contact_forces": forces}
