"""Finds V-D4RL's files on disk, and what their folder says about them."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from vrl_core.errors import VRLError
from vrl_envs.readers.vd4rl_names import Labels, labels_of, quality_name, task_name

Layout = Literal["npz", "hdf5"]
SUFFIXES: dict[str, Layout] = {".npz": "npz", ".hdf5": "hdf5", ".h5": "hdf5"}
NPZ_KEYS = frozenset({"image", "action", "reward"})
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


def find_source(path: str | Path, *, task: str | None, quality: str | None, layout: str) -> Source:
    """Return the one dataset at or below `path` that fits. Raises `VRLError` else."""
    root = Path(path).expanduser()
    task = None if task is None else task_name(task)
    quality = None if quality is None else quality_name(quality)
    found = _candidates(root)
    fitting = [each for each in found if _fits(each, root, task, quality, layout)]
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
        difficulty=chosen.labels.difficulty,
    )


def looks_like_vd4rl(path: Path) -> bool:
    """Return whether a file at or below `path` has V-D4RL's keys; never raises."""
    if path.is_file():
        return _has_keys(path)
    return any(map(_has_keys, islice(_data_files(path), 1)))


def natural_order(path: Path) -> tuple[tuple[str, int], ...]:
    """Sort key that puts `2.hdf5` before `10.hdf5`."""
    pieces = re.findall(r"(\D*)(\d*)", path.name)
    return tuple((text, int(number or 0)) for text, number in pieces)


def _candidates(root: Path) -> list[_Candidate]:
    if root.is_file():
        return _grouped([root])
    if not root.exists():
        raise VRLError(
            f"There is nothing at {root}. Give the folder that holds V-D4RL's .npz or .hdf5 "
            "files, or fetch them with `vrl data download v-d4rl/walker_walk/expert/84px`."
        )
    direct = [child for child in root.iterdir() if child.suffix in SUFFIXES and child.is_file()]
    return _grouped(direct or _data_files(root))


def _data_files(root: Path) -> Iterable[Path]:
    return (
        path
        for suffix in SUFFIXES
        for path in root.rglob(f"*{suffix}")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )


def _grouped(files: Iterable[Path]) -> list[_Candidate]:
    groups: dict[tuple[Path, Layout], list[Path]] = {}
    for path in files:
        groups.setdefault((path.parent, SUFFIXES[path.suffix]), []).append(path)
    return [
        _Candidate(
            folder=folder,
            layout=layout,
            files=tuple(sorted(group, key=natural_order)),
            labels=labels_of(folder.resolve().parts),
        )
        for (folder, layout), group in sorted(groups.items())
    ]


def _fits(
    candidate: _Candidate, root: Path, task: str | None, quality: str | None, layout: str
) -> bool:
    if layout not in ("auto", candidate.layout):
        return False
    # Of a folder that was named itself, the configuration's word counts, whatever the path says.
    if candidate.folder in (root, root.parent):
        return True
    labels = candidate.labels
    return task in (None, labels.task) and quality in (None, labels.quality)


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
            "with task, quality and layout."
        )
    return VRLError(
        f"None of the datasets at {root} has the task, quality and layout asked for. There: "
        f"{listed}."
    )


def _unknown_task(candidate: _Candidate) -> str:
    raise VRLError(
        f"The path {candidate.folder} does not say which task its data is of. Give it: "
        "--dataset.task walker_walk (or cheetah_run, humanoid_walk)."
    )


def _has_keys(path: Path) -> bool:
    """Look at the names in a file; a file that cannot be opened is judged by its folder."""
    try:
        if SUFFIXES.get(path.suffix) == "npz":
            with zipfile.ZipFile(path) as archive:
                return {name.removesuffix(".npy") for name in archive.namelist()} >= NPZ_KEYS
        if SUFFIXES.get(path.suffix) == "hdf5":
            import h5py

            with h5py.File(path, "r") as table:
                return set(table) >= HDF5_KEYS
    except (OSError, zipfile.BadZipFile):
        labels = labels_of(path.resolve().parent.parts)
        return labels.task is not None and labels.quality is not None
    return False
