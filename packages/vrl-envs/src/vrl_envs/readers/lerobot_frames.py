"""Frames of LeRobot's cameras as arrays: from encoded images in tables, and from videos."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from PIL import Image

from vrl_core.errors import DamagedDataError
from vrl_envs.readers.damage import damaged

MICROSECONDS = 1_000_000
"""Units of a second in which containers are sought."""


def read_video(path: Path, times: Sequence[float], *, fps: float, size: int | None) -> np.ndarray:
    """Return the frames `(rows, height, width, 3)` uint8 shown at these seconds of a video.

    The times ascend. A frame may be half a period off, or it is missing. Decoding begins at the
    key frame before the first. Raises `DamagedDataError`.
    """
    with damaged(path, av.error.FFmpegError):
        frames = list(_shown_at(path, times, 0.5 / fps, size))
    if len(frames) < len(times):
        raise DamagedDataError(
            f"{path} has no frame at {times[len(frames)]:.3f} s: {len(frames)} of the "
            f"{len(times)} frames of an episode were found. Fetch it again."
        )
    return np.stack(frames)


def _shown_at(
    path: Path, times: Sequence[float], tolerance: float, size: int | None
) -> Iterator[np.ndarray]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1  # as many processes as cores read episodes
        container.seek(int(max(times[0] - tolerance, 0.0) * MICROSECONDS))
        found = 0
        for frame in container.decode(stream):
            seconds = frame.time
            if seconds is None or seconds < times[found] - tolerance:
                continue
            if seconds > times[found] + tolerance:
                return
            yield resized(frame.to_ndarray(format="rgb24"), size)
            found += 1
            if found == len(times):
                return


def decode_images(cells: Iterable[Any], path: Path, *, size: int | None) -> np.ndarray:
    """Return frames `(rows, height, width, 3)` uint8 of a table's encoded images.

    A cell holds the bytes of a file, or where a file lies beside the table. Raises
    `DamagedDataError`.
    """
    with damaged(path, Image.DecompressionBombError, TypeError, SyntaxError):
        return np.stack([resized(_decoded(cell), size) for cell in cells])


def _decoded(cell: Any) -> np.ndarray:
    content = cell.get("bytes") if isinstance(cell, dict) else cell
    if content is None:
        raise ValueError(f"a row names the image {cell and cell.get('path')} and does not hold it")
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


def resized(frame: np.ndarray, size: int | None) -> np.ndarray:
    """Stretch a frame to a square; pixels are averaged where it shrinks."""
    if size is None or frame.shape[:2] == (size, size):
        return frame
    return np.asarray(Image.fromarray(frame).resize((size, size), Image.Resampling.BILINEAR))
