"""OGBench's `.npz` files as episodes.

A file is one column for each of `observations`, `actions`, `terminals`, `qpos`, `qvel` and, where
there are buttons, `button_states`; its rows are all recordings, one behind the other. Row t holds
state t and the action taken **in** it; `terminals` is 1 in a recording's last row, whose action
leads to no recorded state. So N rows are N-1 steps. Rewards are not in the files: OGBench gives
those of a task to the states (`relabel_utils`), and so does this reader, by the same function. The
step taken in a solved state has the reward of it and ends values (OGBench's `masks`).
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np

from vrl_core.episodes import DataSpec, Episode, FieldSpec, cuts, whole
from vrl_core.errors import DamagedDataError, VRLError
from vrl_envs.collection import check_index, environment_data
from vrl_envs.ogbench.config import OGBench
from vrl_envs.ogbench.rewards import rewards_of
from vrl_envs.ogbench.tasks import DATA_TYPES, ENVIRONMENTS, canonical_task
from vrl_envs.readers.actions import bounded
from vrl_envs.readers.ogbench_config import OGBenchFiles
from vrl_envs.readers.recognition import ordered_files
from vrl_envs.readers.recorded_npz import is_image
from vrl_envs.readers.streamed_npz import StreamedNpz
from vrl_envs.releases import OGBENCH
from vrl_envs.settings import Observation, canonical_quality

REQUIRED = ("observations", "actions", "terminals", "qpos")
VALIDATION = "-val"


class OGBenchFile:
    """Episodes of one file, in Gymnasium's alignment, with the rewards of a task."""

    def __init__(self, config: OGBenchFiles) -> None:
        self._file = StreamedNpz(choose_file(Path(config.path).expanduser(), config.split))
        self.path = self._file.path
        require_columns(self._file)
        self._task = config.task or task_of(self.path)
        self._rewards = rewards_of(self._task)
        self._terminates = config.ends == "task"
        self._begins, self._ends = self._find_episodes()
        self.spec = self._describe(config)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int, /) -> Episode:
        """Read episode `index`. Raises `DamagedDataError` when the file is damaged."""
        return whole(self.pieces(index))

    def pieces(self, index: int, /) -> Iterator[Episode]:
        """Read episode `index` in pieces. Raises `DamagedDataError` when the file is damaged."""
        check_index(index, len(self))
        begin, end = int(self._begins[index]), int(self._ends[index]) + 1
        [(field, wanted)] = self.spec.observations.items()
        success = False
        for first, stop in cuts(end - begin, [wanted]):
            rows = begin + first, begin + stop
            observations = self._file.rows("observations", rows[0], rows[1] + 1)
            actions = self._file.rows("actions", *rows).astype(np.float32)
            rewards, solved = self._relabelled(*rows)
            success = success or bool(solved.any())
            terminations = solved & self._terminates
            truncations = np.zeros(len(solved), bool)
            truncations[-1] = rows[1] == end and not terminations[-1]
            yield Episode(
                observations={field: observations.astype(wanted.dtype, copy=False)},
                actions=bounded(actions, self.path),
                rewards=rewards,
                terminations=terminations,
                truncations=truncations,
                info={"file": self.path.name, "row": begin, "success": success},
            )
        if index == len(self) - 1:
            self._file.finish()

    def _find_episodes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of every episode's first and last step."""
        rows = last_rows(self._file)
        ends = rows - 1  # the last row of a recording is a state without a step
        if self._terminates:
            starts = self._file.blocks("qpos")
            solved = [start + self._solved(start, start + len(block)) for start, block in starts]
            ends = np.union1d(ends, np.setdiff1d(np.concatenate(solved), rows))
        follows = ends[:-1] + 1
        begins = np.concatenate(([0], np.where(np.isin(follows, rows), follows + 1, follows)))
        return begins, ends

    def _solved(self, start: int, stop: int) -> np.ndarray:
        return np.flatnonzero(self._relabelled(start, stop)[1])

    def _relabelled(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        positions = self._file.rows("qpos", start, stop)
        has_buttons = "button_states" in self._file.columns
        buttons = self._file.rows("button_states", start, stop) if has_buttons else None
        return self._rewards.of(positions, buttons)

    def _describe(self, config: OGBenchFiles) -> DataSpec:
        columns = self._file.columns
        images = is_image(columns["observations"])
        seen: Observation = "pixels" if images else "state"
        size = columns["observations"].shape[1] if images else 64
        environment = OGBench(task=self._task, size=size, observation=seen)
        dtype = "uint8" if images else "float32"
        field = FieldSpec(columns["observations"].shape[1:], dtype)
        return DataSpec(
            task=self._task,
            observations={"image" if images else "state": field},
            action_size=columns["actions"].shape[1],
            environment=environment_data("ogbench", environment),
            render_quality="reference" if images else None,
            behaviour=canonical_quality(config.quality or quality_of_file(self.path)),
            source=f"OGBench {self.path.stem}",
            versions={name: version(name) for name in OGBENCH.supported},
        )


def choose_file(path: Path, split: str) -> Path:
    """Return the file to read at a path: it, or the only one of a split in a folder."""
    if path.is_file():
        return path
    found = ordered_files(path, ".npz") if path.is_dir() else []
    files = [file for file in found if file.stem.endswith(VALIDATION) == (split == "val")]
    if len(files) == 1:
        return files[0]
    listed = ", ".join(file.name for file in files[:5])
    what = f"{len(files)} files of this split: {listed}" if files else "no .npz file of this split"
    raise VRLError(
        f"{path} has {what} (--dataset.split {split}). Name the file, such as "
        "visual-cube-single-play-v0.npz."
    )


def require_columns(file: StreamedNpz) -> None:
    """Raise `VRLError` unless the columns are those of OGBench, row by row."""
    missing = [name for name in REQUIRED if name not in file.columns]
    if missing:
        raise VRLError(
            f"{file.path} lacks {', '.join(missing)}; it holds {', '.join(sorted(file.columns))}. "
            "A task's rewards are those of joint positions (qpos), which OGBench's files of mazes "
            "and of the arm have; powderworld's have none."
        )
    names = [name for name in (*REQUIRED, "button_states") if name in file.columns]
    rows = {name: file.columns[name].shape[0] for name in names}
    if len(set(rows.values())) != 1:
        counts = ", ".join(f"{name} {count}" for name, count in rows.items())
        raise DamagedDataError(f"The columns of {file.path} have different lengths: {counts}.")
    actions, seen = file.columns["actions"], file.columns["observations"]
    if actions.dtype.kind != "f" or len(actions.shape) != 2:
        raise VRLError(
            f"{file.path} has actions of {actions.dtype} and shape {actions.shape}; expected "
            "floating point numbers of shape (rows, action)."
        )
    if not is_image(seen) and (seen.dtype.kind != "f" or len(seen.shape) != 2):
        raise VRLError(
            f"{file.path} has observations of {seen.dtype} and shape {seen.shape}; expected "
            "images (rows, height, width, 3) uint8 or vectors."
        )


def last_rows(file: StreamedNpz) -> np.ndarray:
    """Return the last row of every recording.

    Raises `DamagedDataError` when the file ends within a recording or one has no step.
    """
    ends = [start + np.flatnonzero(np.ravel(rows)) for start, rows in file.blocks("terminals")]
    last: np.ndarray = np.concatenate(ends) if ends else np.zeros(0, np.int64)
    if not len(last) or last[-1] != file.columns["terminals"].shape[0] - 1:
        raise DamagedDataError(
            f"{file.path} ends within a recording: its last row is not terminal."
        )
    lengths = np.diff(last, prepend=-1)
    if (lengths < 2).any():
        row = int(last[np.argmin(lengths)])
        raise DamagedDataError(f"{file.path} has a recording without a step (row {row}).")
    return last


def task_of(path: Path) -> str:
    """Return OGBench's default task of the environment in a file's name."""
    name = path.stem.removesuffix(VALIDATION)
    try:
        return canonical_task(name)
    except VRLError as error:
        raise VRLError(
            f"{path.name} does not say which environment it is of. Name a task with "
            f"--dataset.task, of one of: {', '.join(ENVIRONMENTS)}. ({error})"
        ) from error


def quality_of_file(path: Path) -> str:
    """Return the behaviour in a file's name."""
    words = path.stem.removesuffix(VALIDATION).split("-")
    return next((word for word in words if word in DATA_TYPES), "unknown")
