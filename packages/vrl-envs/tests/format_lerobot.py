"""LeRobot's files, written here for the benchmarks and tests of conversions; see `format_files`."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from format_columns import actions, blocks, frames
from vrl_core.hooks import DatasetConfig
from vrl_envs.readers.lerobot_config import LeRobot

FPS = 10


def load_parquet(folder: Path) -> Iterator[np.ndarray]:
    """Read all Parquet files by pyarrow, and decode images in them."""
    from pyarrow import parquet

    for path in sorted(folder.rglob("*.parquet")):
        if "episodes" in str(path.relative_to(folder)):
            continue
        file = parquet.ParquetFile(path)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            for name in table.column_names:
                if name.startswith("observation.images"):
                    yield from decoded(table[name].to_pylist())
                elif name == "observations":
                    yield table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)


def decoded(cells: Sequence[Any]) -> Iterator[np.ndarray]:
    """Decode images of a table."""
    from PIL import Image

    for cell in cells:
        yield np.asarray(Image.open(io.BytesIO(cell["bytes"])))


def lerobot_folder(folder: Path, kind: str, size: int) -> Path:
    """Begin a LeRobot dataset of one camera."""
    path = folder / "push"
    (path / "meta/episodes/chunk-000").mkdir(parents=True)
    (path / "data/chunk-000").mkdir(parents=True)
    numbers = {"observation.state": 7, "action": 7, "next.reward": 1, "timestamp": 1}
    features = {k: {"dtype": "float32", "shape": [n]} for k, n in numbers.items()}
    features["observation.images.top"] = {"dtype": kind, "shape": [size, size, 3]}
    info = {
        "codebase_version": "v3.0",
        "fps": FPS,
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": features,
    }
    (path / "meta/info.json").write_text(json.dumps(info))
    bounds = {"action": {"min": [-1.0] * 7, "max": [1.0] * 7}}
    (path / "meta/stats.json").write_text(json.dumps(bounds))
    return path


def lerobot_rows(episode: int, rows: int) -> dict[str, Any]:
    """Return an episode's columns."""
    row = np.arange(rows)
    return {
        "observation.state": list(actions(rows, 7)),
        "action": list(actions(rows, 7)),
        "next.reward": np.zeros(rows, np.float32),
        "timestamp": (row / FPS).astype(np.float32),
        "frame_index": row,
        "episode_index": np.full(rows, episode),
    }


def list_lerobot(path: Path, lengths: Sequence[int], video: bool) -> None:
    """Write the list of episodes, all of which lie in the first files."""
    from pyarrow import Table, parquet

    starts = np.cumsum([0, *lengths[:-1]]) / FPS
    listed: list[dict[str, Any]] = []
    for episode, rows in enumerate(lengths):
        line = {"episode_index": episode, "length": rows, "tasks": ["push"]}
        places = ["data", *(["videos/observation.images.top"] if video else [])]
        line |= {f"{each}/{key}_index": 0 for each in places for key in ("chunk", "file")}
        if video:
            line["videos/observation.images.top/from_timestamp"] = float(starts[episode])
        listed.append(line)
    parquet.write_table(
        Table.from_pylist(listed), path / "meta/episodes/chunk-000/file-000.parquet"
    )


def write_lerobot_video(folder: Path, lengths: Sequence[int], size: int) -> DatasetConfig:
    """LeRobot 3.0 with one video of all episodes."""
    import av
    import pyarrow
    from pyarrow import parquet

    path = lerobot_folder(folder, "video", size)
    list_lerobot(path, lengths, video=True)
    writer = None
    for episode, rows in enumerate(lengths):
        table = pyarrow.table(lerobot_rows(episode, rows))
        writer = writer or parquet.ParquetWriter(
            path / "data/chunk-000/file-000.parquet", table.schema
        )
        writer.write_table(table)
    assert writer is not None
    writer.close()
    video = path / "videos/observation.images.top/chunk-000/file-000.mp4"
    video.parent.mkdir(parents=True)
    with av.open(str(video), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.options = {"g": "10", "preset": "ultrafast"}
        for start, count in blocks(sum(lengths)):
            for image in frames(start, count, size):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return LeRobot(path=str(path))


def load_video(folder: Path) -> Iterator[np.ndarray]:
    """Decode videos by PyAV, and read the tables."""
    import av

    for path in sorted(folder.rglob("*.mp4")):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            for frame in container.decode(stream):
                yield frame.to_ndarray(format="rgb24")
    yield from load_parquet(folder)


def write_lerobot_images(folder: Path, lengths: Sequence[int], size: int) -> DatasetConfig:
    """LeRobot 3.0 with PNGs in its tables, a group of rows an episode."""
    import pyarrow
    from PIL import Image
    from pyarrow import parquet

    path = lerobot_folder(folder, "image", size)
    list_lerobot(path, lengths, video=False)
    writer = None
    for episode, rows in enumerate(lengths):
        columns = lerobot_rows(episode, rows)
        cells = []
        for start, count in blocks(rows):
            for image in frames(start, count, size):
                stream = io.BytesIO()
                Image.fromarray(image).save(stream, "png", compress_level=1)
                cells.append({"bytes": stream.getvalue(), "path": None})
        table = pyarrow.table({**columns, "observation.images.top": cells})
        target = path / "data/chunk-000/file-000.parquet"
        writer = writer or parquet.ParquetWriter(target, table.schema)
        writer.write_table(table, row_group_size=rows)
    assert writer is not None
    writer.close()
    return LeRobot(path=str(path))
