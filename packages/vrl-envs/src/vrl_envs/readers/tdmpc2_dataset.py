"""TD-MPC2's multitask data as episodes, from plain tensors in `.safetensors` files.

Tensors: `obs` `(episodes, rows, observation)`, `action` `(episodes, rows, action)`, `reward`
`(episodes, rows)` and `task` `(episodes, rows)` or `(episodes,)`. Row t holds observation t, the
action that led to it and the reward of arriving there; what row 0 has in their place is filler
(NaN) and is not read. Episodes end by the time limit.

The published `.pt` files hold pickled TensorDicts. They are refused: unpickling them runs what they
say. A file of one tensor a name is read an episode at a time.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from vrl_core.episodes import DataSpec, Episode, FieldSpec, cuts, whole
from vrl_core.errors import DamagedDataError, VRLError, unknown_name
from vrl_envs.collection import check_index
from vrl_envs.readers.damage import IncompleteDataWarning, damaged, describe_all
from vrl_envs.readers.recognition import LOOKED_AT, files_below, ordered_files
from vrl_envs.readers.tdmpc2_config import TDMPC2
from vrl_envs.readers.tdmpc2_tasks import TASKS
from vrl_envs.readers.vd4rl_alignment import RecordedRows, to_episode
from vrl_envs.settings import canonical_quality

TASKS_READ = 4096
"""Episodes whose tasks are read at once."""
NAMES = ("obs", "action", "reward", "task")


@dataclass(frozen=True, kw_only=True)
class TensorFile:
    """What is known of a file without reading its states."""

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    tasks: np.ndarray | None
    """Number of each episode's task, `(episodes,)`; None where the file has none."""

    def of_task(self, number: int) -> np.ndarray:
        """Return the episodes of a task; all of a file that does not tell."""
        if self.tasks is None:
            return np.arange(self.shapes["obs"][0])
        return np.flatnonzero(self.tasks == number)


class TDMPC2Dataset:
    """Episodes of one task, in Gymnasium's alignment."""

    def __init__(self, config: TDMPC2) -> None:
        self.config, path = config, Path(config.path).expanduser()
        found = ordered_files(path, ".safetensors")
        if not found:
            raise _no_files(path)
        self._files, notes = describe_all(found, _describe, skip_damaged=config.skip_damaged)
        _require_same_sizes(self._files)
        number = _chosen(config.task, self._files)
        chosen = [each.of_task(number) for each in self._files]
        self._row = np.concatenate(chosen)
        self._file = np.repeat(np.arange(len(chosen)), [len(rows) for rows in chosen])
        self.sizes = {
            name: _size(asked, self._files[0].shapes[name][2], name)
            for name, asked in (("obs", config.observation_size), ("action", config.action_size))
        }
        self.spec = DataSpec(
            task=task_name(number),
            observations={"state": FieldSpec((self.sizes["obs"],), "float32")},
            action_size=self.sizes["action"],
            behaviour=canonical_quality(config.quality),
            source="TD-MPC2",
        )
        if parent_process() is None:
            for note in notes:
                warnings.warn(f"{path}: {note}.", IncompleteDataWarning, stacklevel=3)

    def __len__(self) -> int:
        return len(self._row)

    def __getitem__(self, index: int, /) -> Episode:
        """Read one episode. Raises `DamagedDataError` when the file is damaged."""
        return whole(self.pieces(index))

    def pieces(self, index: int, /) -> Iterator[Episode]:
        """Read one episode in pieces. Raises `DamagedDataError` when the file is damaged."""
        check_index(index, len(self))
        file, row = self._files[int(self._file[index])], int(self._row[index])
        steps = file.shapes["obs"][1] - 1
        for first, stop in cuts(steps, self.spec.observations.values()):
            read = _rows(file.path, row, first, stop + 1)
            # What lies behind the task's own numbers is padding.
            state, action = (read[name][:, : self.sizes[name]] for name in ("obs", "action"))
            rows = len(state)
            yield to_episode(
                RecordedRows(
                    observations={"state": state.astype(np.float32)},
                    action=action,
                    reward=read["reward"].reshape(rows),
                    terminal=np.zeros(rows, bool),
                ),
                where=str(file.path),
                info={"file": file.path.name, "episode": row},
                clip=self.config.clip_actions,
                first=first,
                ends=stop == steps,
            )


def _rows(path: Path, episode: int, first: int, stop: int) -> dict[str, np.ndarray]:
    """Read rows of an episode of each tensor. Raises `DamagedDataError`."""
    with damaged(path, SafetensorError), safe_open(path, framework="numpy") as file:
        return {name: np.asarray(file.get_slice(name)[episode, first:stop]) for name in NAMES[:3]}


def looks_like_tdmpc2(path: Path) -> bool:
    """Return whether a file at or below a path holds TD-MPC2's tensors; never raises."""
    for file in islice(files_below(path, (".safetensors", ".pt")), LOOKED_AT):
        with suppress(DamagedDataError), damaged(file, SafetensorError):
            if file.suffix == ".pt":
                return _mentions_tensordict(file)
            with safe_open(file, framework="numpy") as tensors:
                return set(tensors.keys()) >= set(NAMES[:3])
    return False


def task_name(number: int) -> str:
    """Return the name of a task's number."""
    return TASKS[number] if 0 <= number < len(TASKS) else f"task_{number}"


def _mentions_tensordict(path: Path) -> bool:
    """Look for the class's name in a pickle's bytes, which are not run."""
    with zipfile.ZipFile(path) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("data.pkl")]
        return any(b"tensordict" in archive.read(name) for name in pickles)


def _no_files(path: Path) -> VRLError:
    pickles = ordered_files(path, ".pt")
    if not pickles:
        return VRLError(f"No .safetensors files of TD-MPC2 lie at or below {path}.")
    return VRLError(
        f"{path} holds {len(pickles)} .pt files, such as {pickles[0].name}. They are pickles, "
        "and loading a pickle runs the program in it, so none is loaded here. If you trust where "
        "they came from, write each as plain tensors in an environment that has tensordict:\n"
        "  import torch; from safetensors.torch import save_file\n"
        f"  data = torch.load({str(pickles[0])!r}, weights_only=False)\n"
        '  save_file({name: data[name].contiguous() for name in ("obs", "action", "reward", '
        f'"task")}}, {str(pickles[0].with_suffix(".safetensors"))!r})'
    )


def _describe(path: Path) -> TensorFile:
    """Read names, shapes and the episodes' tasks."""
    with damaged(path, SafetensorError), safe_open(path, framework="numpy") as file:
        names = set(file.keys())
        missing = [name for name in NAMES[:3] if name not in names]
        if missing:
            raise VRLError(
                f"{path} lacks {', '.join(missing)}; it holds {', '.join(sorted(names))}. "
                f"TD-MPC2's data has {', '.join(NAMES)}."
            )
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in NAMES if name in names}
        _check_shapes(path, shapes)
        tasks = _tasks(path, file.get_slice("task"), shapes["obs"][0]) if "task" in names else None
    return TensorFile(path=path, shapes=shapes, tasks=tasks)


def _tasks(path: Path, rows: Any, episodes: int) -> np.ndarray:
    """Return the task of each episode, of those of its rows."""
    found = np.zeros(episodes, np.int64)
    for start in range(0, episodes, TASKS_READ):
        some = slice(start, min(start + TASKS_READ, episodes))
        tasks = np.asarray(rows[some]).reshape(some.stop - start, -1)
        if (tasks != tasks[:, :1]).any():
            raise VRLError(f"{path} has episodes in which the task changes; each must have one.")
        found[some] = tasks[:, 0]
    return found


def _check_shapes(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    obs, action, reward = (shapes[name] for name in NAMES[:3])
    task = shapes.get("task", obs[:1])
    fits = (
        len(obs) == len(action) == 3
        and action[:2] == obs[:2]
        and reward in (obs[:2], (*obs[:2], 1))
        and task in (obs[:1], obs[:2], (*obs[:2], 1))
    )
    if not fits:
        raise DamagedDataError(
            f"{path} has tensors of the shapes {dict(shapes)}; expected obs (episodes, rows, "
            "observation), action (episodes, rows, action), reward and task (episodes, rows)."
        )
    if obs[1] < 2:
        raise VRLError(f"{path} has episodes of {obs[1]} rows, which hold no step.")


def _require_same_sizes(files: Sequence[TensorFile]) -> None:
    for file in files:
        for name in ("obs", "action"):
            width, expected = file.shapes[name][2], files[0].shapes[name][2]
            if width != expected:
                raise VRLError(
                    f"{file.path} has {name} of {width} numbers, {files[0].path.name} of "
                    f"{expected}. Keep different data in different folders."
                )


def _chosen(task: str | None, files: Sequence[TensorFile]) -> int:
    """Return the number of the task asked for, or of the only one. Raises `VRLError`."""
    told = [each.tasks for each in files if each.tasks is not None]
    if not told:
        return _given(task, files[0].path)
    if len(told) < len(files):
        silent = next(each.path for each in files if each.tasks is None)
        raise VRLError(
            f"{silent} has no tensor 'task', and others beside it have one. Keep the files that do "
            "not tell their task in a folder of their own, and name it: --dataset.task walker_walk"
        )
    return _present(task, np.unique(np.concatenate(told)))


def _given(task: str | None, path: Path) -> int:
    """Return the number of a task that the files do not tell."""
    if task is None:
        raise VRLError(
            f"{path} has no tensor 'task', so which task its episodes are of is not known. Name "
            "it: --dataset.task walker_walk"
        )
    return _number(task, "task of TD-MPC2", {name: number for number, name in enumerate(TASKS)})


def _present(task: str | None, numbers: np.ndarray) -> int:
    """Return the number of a task that the files tell."""
    names = {task_name(int(number)): int(number) for number in numbers}
    if task is None and len(names) == 1:
        return next(iter(names.values()))
    if task is None:
        raise VRLError(
            f"The files hold {len(names)} tasks; a store has one. Choose: --dataset.task "
            f"{next(iter(names))}. There are {', '.join(names)}."
        )
    return _number(task, "task in these files", names)


def _number(task: str, kind: str, names: Mapping[str, int]) -> int:
    """Return the number of a task by its name or number. Raises `VRLError`."""
    plain = task.lower().replace("-", "_")
    if plain.isdecimal() and int(plain) in names.values():
        return int(plain)
    if plain not in names:
        raise unknown_name(kind, task, names)
    return names[plain]


def _size(asked: int | None, there: int, name: str) -> int:
    if asked is not None and asked > there:
        raise VRLError(f"The files have {name} of {there} numbers; {asked} were asked for.")
    return asked or there
