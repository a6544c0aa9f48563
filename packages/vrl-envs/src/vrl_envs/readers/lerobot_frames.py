"""Frames of LeRobot's cameras, one after the other: of images in tables, and of videos."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import chain, islice
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


class FrameStream:
    """The frames of an episode, taken a few at a time; each taking begins with the last frame."""

    def __init__(self, frames: Iterator[np.ndarray], where: str) -> None:
        self._frames, self._where = frames, where
        self._last: np.ndarray | None = None

    def take(self, count: int) -> np.ndarray:
        """Return frames `(count, height, width, 3)` uint8, the last of the taking before first.

        Raises `DamagedDataError` when they differ in size, and what decoding them raises.
        """
        before = [] if self._last is None else [self._last]
        found: np.ndarray | None = None
        row = -1
        for row, frame in enumerate(islice(chain(before, self._frames), count)):
            if found is None:
                found = np.empty((count, *frame.shape), np.uint8)
            if frame.shape != found.shape[1:]:
                raise DamagedDataError(
                    f"{self._where} has frames of {found.shape[1:]} and of {frame.shape}."
                )
            found[row] = frame
        if found is None or row + 1 < count:
            raise DamagedDataError(f"{self._where} has fewer frames than its episode.")
        self._last = found[-1].copy()
        return found


def video_frames(
    path: Path, times: Sequence[float], *, fps: float, size: int | None
) -> Iterator[np.ndarray]:
    """Yield the frames `(height, width, 3)` uint8 shown at these seconds of a video.

    The times ascend. A frame may be half a period off, or it is missing. Decoding begins at the
    key frame before the first. Raises `DamagedDataError`.
    """
    found = 0
    with damaged(path, av.error.FFmpegError):
        for frame in _shown_at(path, times, 0.5 / fps):
            found += 1
            yield resized(frame, size)
    if found < len(times):
        raise DamagedDataError(
            f"{path} has no frame at {times[found]:.3f} s: {found} of the "
            f"{len(times)} frames of an episode were found. Fetch it again."
        )


def _shown_at(path: Path, times: Sequence[float], tolerance: float) -> Iterator[np.ndarray]:
    with av.open(str(path)) as container:
        if not container.streams.video:
            raise ValueError("it has no video stream")
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1  # as many processes as cores read episodes
        container.seek(int(max(times[0] - tolerance, 0.0) * MICROSECONDS))
        found = 0
        for frame in container.decode(stream):
            seconds = frame.time
            if frame.is_corrupt:  # and made up by the decoder; what follows builds on it
                raise ValueError(f"the frame at {seconds} s cannot be decoded")
            if seconds is None or seconds < times[found] - tolerance:
                continue
            if seconds > times[found] + tolerance:
                return
            yield frame.to_ndarray(format="rgb24")
            found += 1
            if found == len(times):
                return


def decoded_image(cell: Any, path: Path, *, size: int | None) -> np.ndarray:
    """Return the frame `(height, width, 3)` uint8 of a table's encoded image.

    A cell holds the bytes of a file, or where a file lies beside the table. Raises
    `DamagedDataError`.
    """
    with damaged(path, Image.DecompressionBombError, TypeError, SyntaxError):
        content = cell.get("bytes") if isinstance(cell, dict) else cell
        if content is None:
            named = cell and cell.get("path")
            raise ValueError(f"a row names the image {named} and does not hold it")
        with Image.open(io.BytesIO(content)) as image:
            return resized(np.asarray(image.convert("RGB")), size)


def resized(frame: np.ndarray, size: int | None) -> np.ndarray:
    """Stretch a frame to a square; pixels are averaged where it shrinks."""
    if size is None or frame.shape[:2] == (size, size):
        return frame
    return np.asarray(Image.fromarray(frame).resize((size, size), Image.Resampling.BILINEAR))
