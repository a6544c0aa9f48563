"""Where the episodes of a LeRobot dataset lie, and the bounds of its actions.

Version 3.0 keeps many episodes in a table and in a video, listed in `meta/episodes`; 2.0 and 2.1
have a table and a video for each episode, listed in `meta/episodes.jsonl`.
"""

from __future__ import annotations

import array
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet

from vrl_core.errors import DamagedDataError, VRLError, unknown_name
from vrl_envs.readers.damage import damaged
from vrl_envs.readers.lerobot_info import INFO, Info


@dataclass(frozen=True, kw_only=True)
class VideoPlace:
    """Where an episode's frames lie in a video."""

    path: Path
    start: float
    """Seconds of the video before the first frame."""


@dataclass(frozen=True, kw_only=True)
class EpisodePlace:
    """Where an episode lies."""

    index: int
    length: int
    """Rows."""
    tasks: tuple[str, ...]
    data: Path
    videos: Mapping[str, VideoPlace]
    """By feature."""


@dataclass(frozen=True, kw_only=True)
class EpisodeList:
    """Where all episodes lie, as arrays `(episodes,)`; there may be a million of them."""

    info: Info
    index: np.ndarray
    length: np.ndarray
    tasks: np.ndarray
    """Number in `task_texts`."""
    task_texts: Sequence[tuple[str, ...]]
    places: Mapping[str, np.ndarray]
    """Of version 3.0: `data` and each video, the numbers of chunk and file `(episodes, 2)`."""
    starts: Mapping[str, np.ndarray]
    """Of version 3.0: seconds of each video before an episode's first frame."""

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, number: int) -> EpisodePlace:
        return EpisodePlace(
            index=int(self.index[number]),
            length=int(self.length[number]),
            tasks=self.task_texts[self.tasks[number]],
            data=self._file("data", number),
            videos={
                key: VideoPlace(
                    path=self._file(key, number),
                    start=float(self.starts[key][number]) if key in self.starts else 0.0,
                )
                for key in video_features(self.info)
            },
        )

    def those(self, chosen: np.ndarray) -> EpisodeList:
        """Return some of the episodes, by number or mask."""
        return replace(
            self,
            index=self.index[chosen],
            length=self.length[chosen],
            tasks=self.tasks[chosen],
            places={name: place[chosen] for name, place in self.places.items()},
            starts={name: start[chosen] for name, start in self.starts.items()},
        )

    def files(self) -> Iterator[Path]:
        """Yield every file of the episodes once."""
        for key in ("data", *video_features(self.info)):
            numbers = np.arange(len(self))
            if key in self.places:
                numbers = np.unique(self.places[key], axis=0, return_index=True)[1]
            yield from (self._file(key, int(number)) for number in numbers)

    def _file(self, key: str, number: int) -> Path:
        template = self.info.data_path if key == "data" else self.info.video_path
        values: dict[str, int | str] = {} if key == "data" else {"video_key": key}
        if key in self.places:
            chunk, file = (int(each) for each in self.places[key][number])
            return self.info.file(template, **values, chunk_index=chunk, file_index=file)
        episode = int(self.index[number])
        chunk = episode // self.info.chunk_size
        return self.info.file(template, **values, episode_chunk=chunk, episode_index=episode)


def video_features(info: Info) -> list[str]:
    """Return the cameras whose frames lie in videos."""
    return [name for name in info.cameras.values() if info.is_video(name)]


def find_episodes(info: Info) -> EpisodeList:
    """Return the episodes in the order of their numbers. Raises `VRLError`."""
    read = _listed_in_tables if info.version.startswith("v3") else _listed_in_lines
    episodes = read(info)
    if not len(episodes):
        raise VRLError(f"The LeRobot dataset {info.folder} lists no episodes.")
    episodes = episodes.those(np.argsort(episodes.index, kind="stable"))
    twice = np.flatnonzero(np.diff(episodes.index) == 0)
    if len(twice):
        raise DamagedDataError(
            f"{info.folder / 'meta'} lists episode {episodes.index[twice[0]]} twice, so where it "
            "lies is not known. Fetch the dataset again."
        )
    return episodes


def of_instruction(episodes: EpisodeList, instruction: str | None) -> EpisodeList:
    """Return the episodes of one task text, or all. Raises `VRLError` when there are none."""
    if instruction is None:
        return episodes
    fits = np.array([instruction in texts for texts in episodes.task_texts], bool)
    chosen = fits[episodes.tasks]
    if not chosen.any():
        known = {task for texts in episodes.task_texts for task in texts}
        raise unknown_name("task text in the dataset", instruction, known)
    return episodes.those(chosen)


def require_files(episodes: EpisodeList, *, skip_damaged: bool) -> None:
    """Raise `DamagedDataError` for tables and videos that are missing, unless they are skipped."""
    if skip_damaged:
        return
    count, missing = 0, 0
    first: Path | None = None
    for path in episodes.files():
        count += 1
        if not path.is_file():
            missing, first = missing + 1, first or path
    if missing:
        raise DamagedDataError(
            f"{missing} of {count} files are missing, the first {first}. Fetch "
            "them, or leave their episodes out with --dataset.skip-damaged."
        )


def require_totals(episodes: EpisodeList, *, skip_damaged: bool) -> list[str]:
    """Compare the list with what `info.json` counts, and note what differs.

    Raises `DamagedDataError` for it unless damage is skipped.
    """
    counts = {"total_episodes": len(episodes), "total_frames": int(episodes.length.sum())}
    wrong = [
        f"{told} {name} and the list of episodes has {counts[name]}"
        for name, told in episodes.info.totals.items()
        if told != counts[name]
    ]
    if wrong and not skip_damaged:
        raise DamagedDataError(
            f"{episodes.info.folder / INFO} says {', '.join(wrong)}. Some are missing. "
            "--dataset.skip-damaged takes those that are listed."
        )
    return [f"info.json says {each}" for each in wrong]


class _TaskTexts:
    """Numbers the task texts of episodes."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, ...], int] = {}

    def number(self, texts: Iterable[str] | None) -> int:
        return self._numbers.setdefault(tuple(texts or ()), len(self._numbers))

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        return iter(self._numbers)


def _listed_in_tables(info: Info) -> EpisodeList:
    files = sorted((info.folder / "meta/episodes").glob("*/*.parquet"))
    if not files:
        raise VRLError(f"The LeRobot dataset {info.folder} has no meta/episodes/*/*.parquet.")
    videos, texts = video_features(info), _TaskTexts()
    keys = {"data": "data", **{key: f"videos/{key}" for key in videos}}
    numbers = ["episode_index", "length"]
    numbers += [f"{key}/{each}_index" for key in keys.values() for each in ("chunk", "file")]
    numbers += [f"videos/{key}/from_timestamp" for key in videos]
    found: dict[str, list[np.ndarray]] = {name: [] for name in (*numbers, "tasks")}
    for file in files:
        # Reads the columns named here and not the statistics, which are most of the file.
        with damaged(file, TypeError):
            table = parquet.ParquetFile(file).read(columns=[*numbers, "tasks"])
            for name in numbers:
                found[name].append(_numbers(table, name))
            tasks = [texts.number(each) for each in table["tasks"].to_pylist()]
            found["tasks"].append(np.array(tasks, np.int64))
    whole = {name: np.concatenate(parts) for name, parts in found.items()}
    return EpisodeList(
        info=info,
        index=whole["episode_index"].astype(np.int64),
        length=whole["length"].astype(np.int64),
        tasks=whole["tasks"],
        task_texts=tuple(texts),
        places={
            name: np.stack([whole[f"{key}/{each}_index"] for each in ("chunk", "file")], axis=1)
            for name, key in keys.items()
        },
        starts={key: whole[f"videos/{key}/from_timestamp"] for key in videos},
    )


def _numbers(table: Any, name: str) -> np.ndarray:
    if table[name].null_count:
        raise ValueError(f"{name} is not given for every episode")
    return np.asarray(table[name].to_numpy())


def _listed_in_lines(info: Info) -> EpisodeList:
    path, texts = info.folder / "meta/episodes.jsonl", _TaskTexts()
    found = array.array("q")
    for row in _json_lines(path):
        with damaged(path, TypeError):
            task = texts.number(row.get("tasks"))
            found.extend((int(row["episode_index"]), int(row["length"]), task))
    index, length, tasks = np.array(found, np.int64).reshape(-1, 3).T
    return EpisodeList(
        info=info,
        index=index,
        length=length,
        tasks=tasks,
        task_texts=tuple(texts),
        places={},
        starts={},
    )


def action_bounds(info: Info) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the largest of each number of the actions, `(action,)`.

    Raises `VRLError` when the dataset has no statistics of them.
    """
    whole, by_episode = info.folder / "meta/stats.json", info.folder / "meta/episodes_stats.jsonl"
    if whole.is_file():
        with damaged(whole):
            found = iter([json.loads(whole.read_text(encoding="utf-8"))])
    elif by_episode.is_file():
        found = (row["stats"] for row in _json_lines(by_episode))
    else:
        raise VRLError(
            f"The LeRobot dataset {info.folder} has no statistics (meta/stats.json), so its "
            "actions cannot be scaled into [-1, 1]. Do they lie there already? "
            "--dataset.actions unit"
        )
    with damaged(whole if whole.is_file() else by_episode, TypeError):
        low, high = np.array(np.inf), np.array(-np.inf)
        for each in found:
            low = np.asarray(np.minimum(low, np.asarray(each["action"]["min"], np.float64)))
            high = np.asarray(np.maximum(high, np.asarray(each["action"]["max"], np.float64)))
    low, high = low.reshape(-1), high.reshape(-1)
    if len(low) != info.width("action") or not (np.isfinite(low) & np.isfinite(high)).all():
        raise VRLError(
            f"The statistics of {info.folder} give actions the bounds {low.tolist()} to "
            f"{high.tolist()}; finite ones for {info.width('action')} numbers are needed."
        )
    return low, high


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    with damaged(path), path.open(encoding="utf-8") as file:
        for line in file:
            if line.strip():
                yield json.loads(line)
