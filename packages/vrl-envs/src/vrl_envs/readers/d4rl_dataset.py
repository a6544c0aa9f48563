"""D4RL's flat HDF5 tables as episodes.

Row t holds the observation, the action taken at it, and that action's reward. An episode ends with
a row whose `terminals` or `timeouts` is set. Where `next_observations` are missing, the row after
a timeout's is another episode's first: as in D4RL's own loader, the timeout's row gives the last
observation and no step. (That loader takes that other row for where a terminal step led.)
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vrl_core.episodes import DataSpec, Episode, FieldSpec, cuts, whole
from vrl_core.errors import DamagedDataError, VRLError
from vrl_envs.adroit.config import as_d4rl
from vrl_envs.adroit.tasks import ADROIT_TASKS
from vrl_envs.collection import check_index, environment_data
from vrl_envs.readers.actions import bounded
from vrl_envs.readers.d4rl_config import D4RL
from vrl_envs.readers.d4rl_names import KITCHEN_PARTS, names_of, provenance, time_limit_of
from vrl_envs.readers.damage import DAMAGE, IncompleteDataWarning, damaged
from vrl_envs.readers.hdf5_blocks import Blocks, kept_bytes
from vrl_envs.settings import canonical_quality

REQUIRED = ("observations", "actions", "rewards", "terminals")
OPTIONAL = ("timeouts", "next_observations")
READ = ("observations", "actions", "rewards", "next_observations")
"""Tables that are read episode by episode."""
TABLE_BYTES = 64 * 2**20
"""Decompressed bytes of a table that may be kept for the episodes that follow."""
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
    """Where episodes lie in the tables and how they ended, each an array `(episodes,)`."""

    starts: np.ndarray
    """First row."""
    stops: np.ndarray
    """Row behind the last."""
    terminated: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> slice:
        """Return the rows of an episode."""
        return slice(int(self.starts[index]), int(self.stops[index]))

    def those(self, chosen: np.ndarray) -> Bounds:
        """Return some of the episodes."""
        return Bounds(self.starts[chosen], self.stops[chosen], self.terminated[chosen])


class D4RLDataset:
    """Episodes of one file, in Gymnasium's alignment.

    Warns, with `IncompleteDataWarning`, of what the file lacks. Raises `VRLError` when it is
    damaged or not of this format.
    """

    def __init__(self, config: D4RL) -> None:
        self.config, self.path = config, Path(config.path).expanduser()
        self.assumed_limit = time_limit_of(config.task or names_of(self.path)[0])
        file = open_tables(self.path)
        with damaged(self.path):
            self._tables = {name: Blocks(file, name, TABLE_BYTES) for name in READ if name in file}
            self.has_next = "next_observations" in file
            self.has_timeouts = "timeouts" in file
            found = episode_bounds(file, self.path, config.time_limit or self.assumed_limit)
            self.spec = describe(config, file)
        self.bounds = found.those(self._steps(found) > 0)
        self.steps = self._steps(self.bounds)
        if not len(self.bounds):
            raise VRLError(f"{self.path} has no episode of at least one step.")
        if parent_process() is None:
            for note in self._notes(len(found)):
                warnings.warn(f"{self.path}: {note}.", IncompleteDataWarning, stacklevel=3)

    @property
    def episodes_per_read(self) -> int:
        """Neighbouring episodes that share compressed chunks, best read by one process."""
        rows = int(self.bounds.stops[-1]) / len(self)
        return max(1, math.ceil(max(each.rows for each in self._tables.values()) / rows))

    @property
    def kept_bytes(self) -> int:
        """Bytes of decompressed chunks that a process keeps while it reads."""
        return kept_bytes(self._tables.values())

    def __len__(self) -> int:
        return len(self.bounds)

    def __getitem__(self, index: int, /) -> Episode:
        """Read episode `index`. Raises `DamagedDataError` when the file is damaged."""
        return whole(self.pieces(index))

    def pieces(self, index: int, /) -> Iterator[Episode]:
        """Read episode `index` in pieces. Raises `DamagedDataError` when the file is damaged."""
        check_index(index, len(self))
        start, steps = int(self.bounds.starts[index]), int(self.steps[index])
        rows = int(self.bounds.stops[index]) - start
        ended = bool(self.bounds.terminated[index]) and steps == rows
        for first, stop in cuts(steps, self.spec.observations.values()):
            with damaged(self.path):
                taken = start + first, start + stop
                actions = np.asarray(self._tables["actions"].read(*taken), np.float32)
                rewards = np.asarray(self._tables["rewards"].read(*taken), np.float32).reshape(-1)
                observations = self._observations(start + first, start + stop, start + rows)
            last = np.arange(first, stop) == steps - 1
            yield Episode(
                observations=self._fields(observations),
                actions=bounded(actions, self.path, clip=self.config.clip_actions),
                rewards=rewards,
                terminations=last & ended,
                truncations=last & (not ended),
                info={"first_row": start, "file": self.path.name},
            )

    def _steps(self, bounds: Bounds) -> np.ndarray:
        rows: np.ndarray = bounds.stops - bounds.starts
        if self.has_next:
            return rows
        repeats = self.config.terminal_observation == "repeat"
        kept: np.ndarray = np.where(bounds.terminated & repeats, rows, rows - 1)
        return kept

    def _observations(self, first: int, stop: int, end: int) -> np.ndarray:
        """Return `(T+1, state)` float32 of the steps in rows `first` to `stop`."""
        table = self._tables["observations"]
        if stop < end:
            return np.asarray(table.read(first, stop + 1), np.float32)
        found = np.asarray(table.read(first, stop), np.float32)
        final = found[-1:]
        if self.has_next:
            final = self._tables["next_observations"].read(stop - 1, stop).astype(np.float32)
        return np.concatenate((found, final))

    def _fields(self, observations: np.ndarray) -> dict[str, np.ndarray]:
        """Split `(T+1, state)` into the fields of the spec."""
        fields, start = {}, 0
        for name, field in self.spec.observations.items():
            fields[name] = observations[:, start : start + field.shape[0]]
            start += field.shape[0]
        return fields

    def _notes(self, found: int) -> Iterator[str]:
        terminated = int(self.bounds.terminated.sum())
        cut = len(self.bounds) - terminated
        if not self.has_timeouts and not self.config.time_limit and cut:
            yield (
                f"the file does not say where episodes were cut; {self.assumed_limit} steps, the "
                f"task's time limit, are taken for {cut} of them (--dataset.time-limit)"
            )
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
    except DAMAGE:
        return False


def open_tables(path: Path) -> h5py.File:
    """Open a file and check its tables. Raises `VRLError`."""
    if not path.is_file():
        raise VRLError(f"There is no file {path}. Give the path of a D4RL .hdf5 file.")
    with damaged(path):
        file = h5py.File(path, "r")
        _check_tables(path, file)
    return file


def _check_tables(path: Path, file: h5py.File) -> None:
    missing = [name for name in REQUIRED if not isinstance(file.get(name), h5py.Dataset)]
    if missing:
        raise VRLError(
            f"{path} is no D4RL file: it has no {', '.join(missing)}, but {', '.join(file)}."
        )
    tables = [*REQUIRED, *(name for name in OPTIONAL if name in file)]
    rows = {name: len(file[name]) for name in tables}
    if len(set(rows.values())) > 1:
        raise DamagedDataError(f"{path} is damaged: its tables have different lengths, {rows}.")
    if file["observations"].ndim != 2 or file["actions"].ndim != 2:
        raise VRLError(
            f"{path} has observations {file['observations'].shape} and actions "
            f"{file['actions'].shape}; vectors are needed, one a row."
        )


def episode_bounds(file: h5py.File, path: Path, time_limit: int) -> Bounds:
    """Return the episodes of a file; rows after its last end are one that was cut off.

    Without `timeouts`, an episode ends after `time_limit` steps.
    """
    terminals = np.asarray(file["terminals"]).reshape(-1).astype(bool)
    if not len(terminals):
        raise VRLError(f"{path} is empty.")
    if "timeouts" in file:
        timeouts = np.asarray(file["timeouts"]).reshape(-1).astype(bool)
        stops = np.flatnonzero(terminals | timeouts) + 1
    else:
        stops = _ends_without_timeouts(terminals, time_limit)
    if not len(stops) or stops[-1] != len(terminals):
        stops = np.append(stops, len(terminals))
    return Bounds(np.concatenate(([0], stops[:-1])), stops, terminals[stops - 1])


def _ends_without_timeouts(terminals: np.ndarray, time_limit: int) -> np.ndarray:
    """Return the row behind each terminal one, and every so many rows between them."""
    ends = np.flatnonzero(terminals) + 1
    starts = np.concatenate(([0], ends))
    rest = np.append(ends, len(terminals)) - starts
    cut = np.repeat(starts, rest // time_limit)
    place = np.arange(len(cut)) - np.repeat(np.cumsum(rest // time_limit), rest // time_limit)
    place += np.repeat(rest // time_limit, rest // time_limit) + 1
    found: np.ndarray = np.union1d(ends, cut + place * time_limit)
    return found


def describe(config: D4RL, file: h5py.File) -> DataSpec:
    """Describe the data; the environment is known for the tasks of Gymnasium and of Adroit."""
    path = Path(config.path).expanduser()
    named, quality = names_of(path)
    task = config.task or named
    if task is None:
        raise VRLError(
            f"The name {path.name} does not tell the task. Give it: --dataset.task halfcheetah"
        )
    sizes = (file["observations"].shape[1], file["actions"].shape[1])
    quality = canonical_quality(config.quality or quality or "unknown")
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
