"""Where the episodes of a LeRobot dataset lie, and the bounds of its actions.

Version 3.0 keeps many episodes in a table and in a video, listed in `meta/episodes`; 2.0 and 2.1
have a table and a video for each episode, listed in `meta/episodes.jsonl`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet

from vrl_core.errors import DamagedDataError, VRLError, unknown_name
from vrl_envs.readers.damage import damaged
from vrl_envs.readers.lerobot_info import Info


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


def find_episodes(info: Info) -> list[EpisodePlace]:
    """Return the episodes in the order of their numbers. Raises `VRLError`."""
    read = _listed_in_tables if info.version.startswith("v3") else _listed_in_lines
    episodes = sorted(read(info), key=lambda episode: episode.index)
    if not episodes:
        raise VRLError(f"The LeRobot dataset {info.folder} lists no episodes.")
    for before, episode in pairwise(episodes):
        if before.index == episode.index:
            raise DamagedDataError(
                f"{info.folder / 'meta'} lists episode {episode.index} twice, so where it lies is "
                "not known. Fetch the dataset again."
            )
    return episodes


def of_instruction(episodes: Sequence[EpisodePlace], instruction: str | None) -> list[EpisodePlace]:
    """Return the episodes of one task text, or all. Raises `VRLError` when there are none."""
    if instruction is None:
        return list(episodes)
    chosen = [episode for episode in episodes if instruction in episode.tasks]
    if not chosen:
        known = {task for episode in episodes for task in episode.tasks}
        raise unknown_name("task text in the dataset", instruction, known)
    return chosen


def require_files(episodes: Sequence[EpisodePlace], *, skip_damaged: bool) -> None:
    """Raise `DamagedDataError` for tables and videos that are missing, unless they are skipped."""
    paths = {path for each in episodes for path in (each.data, *_videos(each))}
    missing = sorted(path for path in paths if not path.is_file())
    if missing and not skip_damaged:
        raise DamagedDataError(
            f"{len(missing)} of {len(paths)} files are missing, the first {missing[0]}. Fetch "
            "them, or leave their episodes out with --dataset.skip-damaged."
        )


def _videos(episode: EpisodePlace) -> list[Path]:
    return [video.path for video in episode.videos.values()]


def _listed_in_tables(info: Info) -> Iterator[EpisodePlace]:
    videos = [name for name in info.cameras.values() if info.is_video(name)]
    places = ("chunk_index", "file_index")
    columns = ["episode_index", "length", "tasks", *(f"data/{each}" for each in places)]
    columns += [f"videos/{key}/{each}" for key in videos for each in (*places, "from_timestamp")]
    files = sorted((info.folder / "meta/episodes").glob("*/*.parquet"))
    if not files:
        raise VRLError(f"The LeRobot dataset {info.folder} has no meta/episodes/*/*.parquet.")
    for file in files:
        # Reads the columns named here and not the statistics, which are most of the file.
        with damaged(file):
            rows = parquet.ParquetFile(file).read(columns=columns).to_pylist()
        for row in rows:
            with damaged(file, TypeError):
                yield _place_in_tables(info, row, videos)


def _place_in_tables(info: Info, row: Mapping[str, Any], videos: Sequence[str]) -> EpisodePlace:
    def numbers(prefix: str) -> dict[str, int]:
        return {name: int(row[f"{prefix}/{name}"]) for name in ("chunk_index", "file_index")}

    return EpisodePlace(
        index=int(row["episode_index"]),
        length=int(row["length"]),
        tasks=tuple(row["tasks"] or ()),
        data=info.file(info.data_path, **numbers("data")),
        videos={
            key: VideoPlace(
                path=info.file(info.video_path, video_key=key, **numbers(f"videos/{key}")),
                start=float(row[f"videos/{key}/from_timestamp"]),
            )
            for key in videos
        },
    )


def _listed_in_lines(info: Info) -> Iterator[EpisodePlace]:
    videos = [name for name in info.cameras.values() if info.is_video(name)]
    path = info.folder / "meta/episodes.jsonl"
    for row in _json_lines(path):
        with damaged(path, TypeError):
            yield _place_of_line(info, row, videos)


def _place_of_line(info: Info, row: Mapping[str, Any], videos: Sequence[str]) -> EpisodePlace:
    index = int(row["episode_index"])
    numbers = {"episode_chunk": index // info.chunk_size, "episode_index": index}
    return EpisodePlace(
        index=index,
        length=int(row["length"]),
        tasks=tuple(row.get("tasks") or ()),
        data=info.file(info.data_path, **numbers),
        videos={
            key: VideoPlace(path=info.file(info.video_path, video_key=key, **numbers), start=0)
            for key in videos
        },
    )


def action_bounds(info: Info) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the largest of each number of the actions, `(action,)`.

    Raises `VRLError` when the dataset has no statistics of them.
    """
    whole, by_episode = info.folder / "meta/stats.json", info.folder / "meta/episodes_stats.jsonl"
    if whole.is_file():
        with damaged(whole):
            found = [json.loads(whole.read_text(encoding="utf-8"))]
    elif by_episode.is_file():
        found = [row["stats"] for row in _json_lines(by_episode)]
    else:
        raise VRLError(
            f"The LeRobot dataset {info.folder} has no statistics (meta/stats.json), so its "
            "actions cannot be scaled into [-1, 1]. Do they lie there already? "
            "--dataset.actions unit"
        )
    with damaged(whole if whole.is_file() else by_episode, TypeError):
        low = np.min([np.asarray(each["action"]["min"], np.float64) for each in found], axis=0)
        high = np.max([np.asarray(each["action"]["max"], np.float64) for each in found], axis=0)
    low, high = low.reshape(-1), high.reshape(-1)
    if len(low) != info.width("action") or not (np.isfinite(low) & np.isfinite(high)).all():
        raise VRLError(
            f"The statistics of {info.folder} give actions the bounds {low.tolist()} to "
            f"{high.tolist()}; finite ones for {info.width('action')} numbers are needed."
        )
    return low, high


def _json_lines(path: Path) -> list[dict[str, Any]]:
    with damaged(path):
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
