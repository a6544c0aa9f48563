"""Writes small LeRobot datasets, versions 3.0 and 2.1, whose numbers tell row and episode."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow
import pyarrow.parquet as parquet
from PIL import Image

FPS = 10
LENGTHS = (4, 3, 5)
SIZE = 16
TASKS = ("push the block", "lift the block")
TOP, WRIST = "observation.images.top", "observation.images.wrist"


def frame(episode: int, row: int, blue: int) -> np.ndarray:
    """A frame of one colour that survives a lossless codec and an encoded picture alike."""
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[:] = (20 * row, 60 * episode, blue)
    return image


def png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="png")
    return stream.getvalue()


def features(kind: str, **changes: Any) -> dict[str, Any]:
    camera = {"dtype": kind, "shape": [3, 99, 99], "names": ["height", "width", "channels"]}
    found = {
        TOP: camera,
        WRIST: camera,
        "observation.state": {"dtype": "float32", "shape": [2], "names": None},
        "observation.gripper-force": {"dtype": "float32", "shape": [1], "names": None},
        "action": {"dtype": "float32", "shape": [3], "names": None},
        "next.reward": {"dtype": "float32", "shape": [1], "names": None},
        "next.done": {"dtype": "bool", "shape": [1], "names": None},
        "next.success": {"dtype": "bool", "shape": [1], "names": None},
        **{name: {"dtype": "int64", "shape": [1]} for name in ("frame_index", "episode_index")},
        "timestamp": {"dtype": "float32", "shape": [1], "names": None},
    } | changes
    return {name: feature for name, feature in found.items() if feature is not None}


def rows_of(episode: int, length: int, columns: dict[str, Any], kind: str) -> dict[str, list[Any]]:
    """Row t: state 10 e + t, action (t, -t, 5), reward e + t/10; episode 1 ends in success."""
    row = np.arange(length)
    values = {
        "observation.state": np.stack([10.0 * episode + row, -1.0 * row], 1).tolist(),
        "observation.gripper-force": (0.5 * row).tolist(),
        "action": np.stack([row, -row, np.full(length, 5)], 1).astype(float).tolist(),
        "next.reward": (episode + row / 10).tolist(),
        "next.done": (row == length - 1).tolist(),
        "next.success": ((row == length - 1) & (episode == 1)).tolist(),
        "frame_index": row.tolist(),
        "episode_index": [episode] * length,
        "timestamp": (row / FPS).tolist(),
    }
    if kind == "image":
        for name, blue in ((TOP, 10), (WRIST, 200)):
            values[name] = [{"bytes": png(frame(episode, t, blue)), "path": None} for t in row]
    return {name: value for name, value in values.items() if name in columns}


def write_video(path: Path, frames: list[np.ndarray], codec: str = "libx264rgb") -> None:
    """Write frames without loss unless by another codec, several between key frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.width = stream.height = SIZE
        stream.pix_fmt = "rgb24" if codec == "libx264rgb" else "yuv420p"
        stream.options = {"qp": "0" if codec == "libx264rgb" else "20", "g": "3", "bf": "0"}
        for image in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def stats() -> dict[str, Any]:
    return {"action": {"min": [0.0, -4.0, 5.0], "max": [4.0, 0.0, 5.0]}}


def write_info(folder: Path, version: str, columns: dict[str, Any], **changes: Any) -> None:
    old = version != "v3.0"
    number = "episode_{episode_index:06d}" if old else "file-{file_index:03d}"
    chunk = "chunk-{episode_chunk:03d}" if old else "chunk-{chunk_index:03d}"
    videos = f"{chunk}/{{video_key}}" if old else f"{{video_key}}/{chunk}"
    info = {
        "codebase_version": version,
        "fps": FPS,
        "chunks_size": 2,
        "data_path": f"data/{chunk}/{number}.parquet",
        "video_path": f"videos/{videos}/{number}.mp4",
        "features": columns,
    } | changes
    (folder / "meta").mkdir(parents=True, exist_ok=True)
    (folder / "meta/info.json").write_text(json.dumps(info))


def write_v3(folder: Path, *, kind: str = "video", groups: int = 4, **changes: Any) -> Path:
    """Episodes 0 and 1 share a table and a video, 2 has its own; groups of rows cut across them."""
    columns = features(kind, **changes)
    write_info(folder, "v3.0", columns)
    (folder / "meta/stats.json").write_text(json.dumps(stats()))
    listed = []
    for file, episodes in enumerate(((0, 1), (2,))):
        parts = [rows_of(e, LENGTHS[e], columns, kind) for e in episodes]
        table = pyarrow.table({k: [cell for part in parts for cell in part[k]] for k in parts[0]})
        path = folder / f"data/chunk-000/file-{file:03d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(table, path, row_group_size=groups)
        start = 0.0
        for episode in episodes:
            place: dict[str, Any] = {"data/chunk_index": 0, "data/file_index": file}
            for key in (TOP, WRIST) if kind == "video" else ():
                place |= {f"videos/{key}/chunk_index": 0, f"videos/{key}/file_index": file}
                place |= {f"videos/{key}/from_timestamp": start}
            text = [TASKS[episode % 2]]
            listed.append(
                {"episode_index": episode, "tasks": text, "length": LENGTHS[episode], **place}
            )
            start += LENGTHS[episode] / FPS
        for key, blue in ((TOP, 10), (WRIST, 200)) if kind == "video" else ():
            frames = [frame(e, t, blue) for e in episodes for t in range(LENGTHS[e])]
            write_video(folder / f"videos/{key}/chunk-000/file-{file:03d}.mp4", frames)
    place_list = folder / "meta/episodes/chunk-000"
    place_list.mkdir(parents=True)
    # The files of the list are not in the order of the episodes.
    parquet.write_table(pyarrow.Table.from_pylist(listed[1:]), place_list / "file-000.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(listed[:1]), place_list / "file-001.parquet")
    return folder


def write_v2(folder: Path, *, kind: str = "video", **changes: Any) -> Path:
    """A table and a video for each episode; two episodes a folder."""
    columns = features(kind, **changes)
    write_info(folder, "v2.1", columns)
    meta = {"episodes": [], "episodes_stats": []}
    for episode, length in enumerate(LENGTHS):
        meta["episodes"].append(
            {"episode_index": episode, "tasks": [TASKS[episode % 2]], "length": length}
        )
        last = float(length - 1)
        mine = {"min": [0.0, -last, 5.0], "max": [last, 0.0, 5.0]}
        meta["episodes_stats"].append({"episode_index": episode, "stats": {"action": mine}})
        name = f"chunk-{episode // 2:03d}/{{}}episode_{episode:06d}"
        path = folder / "data" / f"{name.format('')}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pyarrow.table(rows_of(episode, length, columns, kind)), path)
        for key, blue in ((TOP, 10), (WRIST, 200)) if kind == "video" else ():
            frames = [frame(episode, row, blue) for row in range(length)]
            write_video(folder / "videos" / f"{name.format(key + '/')}.mp4", frames)
    for file, lines in meta.items():
        (folder / f"meta/{file}.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    return folder
