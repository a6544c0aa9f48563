"""Finds V-D4RL's files on disk, and what their folder says about them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from vrl_core.errors import VRLError
from vrl_envs.readers.damage import DAMAGE
from vrl_envs.readers.recognition import (
    LOOKED_AT,
    files_below,
    looks_like_recorded_npz,
    natural_order,
)
from vrl_envs.readers.vd4rl_names import Labels, labels_of, quality_name, task_name

Layout = Literal["npz", "hdf5"]
SUFFIXES: dict[str, Layout] = {".npz": "npz", ".hdf5": "hdf5", ".h5": "hdf5"}
NPZ_KEYS = frozenset({"image", "action", "reward"})
LOMPO_KEYS = frozenset({"state", "image_128", "success", "mask", "terminal"})
"""Columns that LOMPO's buffers may have and V-D4RL's files have not."""
HDF5_KEYS = frozenset({"observation", "action", "reward", "step_type"})


@dataclass(frozen=True, kw_only=True)
class Source:
    """Files of one dataset, in reading order."""

    folder: Path
    layout: Layout
    files: tuple[Path, ...]
    task: str
    quality: str | None
    """None when neither the configuration nor the path tells."""
    suite: str
    difficulty: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    folder: Path
    layout: Layout
    files: tuple[Path, ...]
    labels: Labels

    def __str__(self) -> str:
        return f"{self.folder} ({self.layout}, {len(self.files)} files)"


def find_source(
    path: str | Path,
    *,
    task: str | None,
    quality: str | None,
    layout: str,
    suite: str | None = None,
    difficulty: str | None = None,
) -> Source:
    """Return the one dataset at or below `path` that fits. Raises `VRLError` else."""
    if difficulty is not None and suite in ("main", "multitask"):
        raise VRLError(f"The suite {suite} has no difficulties; only distracting has.")
    root = Path(path).expanduser()
    task = None if task is None else task_name(task)
    quality = None if quality is None else quality_name(quality)
    suite = "distracting" if difficulty is not None else suite
    asked = Labels(suite=suite or "", task=task, quality=quality, difficulty=difficulty)
    found = _candidates(root, suite)
    fitting = [each for each in found if _fits(each, root, asked, layout)]
    if len(fitting) != 1:
        raise _not_one(root, found, fitting)
    chosen = fitting[0]
    return Source(
        folder=chosen.folder,
        layout=chosen.layout,
        files=chosen.files,
        task=task or chosen.labels.task or _unknown_task(chosen),
        quality=quality or chosen.labels.quality,
        suite=chosen.labels.suite,
        difficulty=difficulty or chosen.labels.difficulty,
    )


def looks_like_vd4rl(path: Path) -> bool:
    """Return whether files at or below `path` have V-D4RL's keys; never raises."""
    return looks_like_recorded_npz(path, is_vd4rl) or looks_like_table(path)


def is_vd4rl(keys: frozenset[str], path: Path) -> bool:
    """Return whether a recorded `.npz` of these keys is V-D4RL's, or may be.

    LOMPO's further columns or the folder tell; where neither does, files without V-D4RL's flags
    may be either's.
    """
    if not keys >= NPZ_KEYS or any(key.startswith("reward_") for key in keys):
        return False
    return is_published(path) or not keys & LOMPO_KEYS


def is_published(path: Path) -> bool:
    """Return whether a folder names a task and a quality of V-D4RL."""
    labels = labels_of(path.resolve().parent.parts)
    return labels.task is not None and labels.quality is not None


def _candidates(root: Path, suite: str | None) -> list[_Candidate]:
    if root.is_file():
        return _grouped([root], root, suite)
    if not root.exists():
        raise VRLError(
            f"There is nothing at {root}. Give the folder that holds V-D4RL's .npz or .hdf5 "
            "files, or fetch them with `vrl data download v-d4rl/walker_walk/expert/84px`."
        )
    direct = [child for child in root.iterdir() if child.suffix in SUFFIXES and child.is_file()]
    return _grouped(direct or files_below(root, tuple(SUFFIXES)), root, suite)


def _grouped(files: Iterable[Path], root: Path, suite: str | None) -> list[_Candidate]:
    groups: dict[tuple[Path, Layout], list[Path]] = {}
    for path in files:
        groups.setdefault((path.parent, SUFFIXES[path.suffix]), []).append(path)
    return [
        _Candidate(
            folder=folder,
            layout=layout,
            files=tuple(sorted(group, key=natural_order)),
            # Of a folder that was named itself, the configuration's word counts, whatever the
            # path says; of a tree, the path's.
            labels=labels_of(
                folder.resolve().parts, suite if folder in (root, root.parent) else None
            ),
        )
        for (folder, layout), group in sorted(groups.items())
    ]


def _fits(candidate: _Candidate, root: Path, asked: Labels, layout: str) -> bool:
    if layout not in ("auto", candidate.layout):
        return False
    if candidate.folder in (root, root.parent):
        return True
    labels = candidate.labels
    return (
        asked.suite in ("", labels.suite)
        and asked.task in (None, labels.task)
        and asked.quality in (None, labels.quality)
        and asked.difficulty in (None, labels.difficulty)
    )


def _not_one(root: Path, found: list[_Candidate], fitting: list[_Candidate]) -> VRLError:
    if not found:
        return VRLError(
            f"No .npz or .hdf5 files lie at or below {root}. Give the folder that holds V-D4RL's "
            "files, such as .../main/walker_walk/expert/84px."
        )
    listed = "; ".join(map(str, (fitting or found)[:12]))
    if fitting:
        return VRLError(
            f"Several datasets lie below {root}: {listed}. Give the folder of one, or say which "
            "with task, quality, layout, suite and difficulty."
        )
    return VRLError(
        f"None of the datasets at {root} has the task, quality, layout, suite and difficulty "
        f"asked for. There: "
        f"{listed}."
    )


def _unknown_task(candidate: _Candidate) -> str:
    raise VRLError(
        f"The path {candidate.folder} does not say which task its data is of. Give it: "
        "--dataset.task walker_walk (or cheetah_run, humanoid_walk)."
    )


def looks_like_table(path: Path) -> bool:
    """Return whether a file at or below `path` has V-D4RL's tables.

    Files that cannot be opened are judged by their folder.
    """
    import h5py

    files = list(islice(files_below(path, (".hdf5", ".h5")), LOOKED_AT))
    for file in files:
        try:
            with h5py.File(file, "r") as table:
                return set(table) >= HDF5_KEYS
        except DAMAGE:
            continue
    return any(map(is_published, files))
