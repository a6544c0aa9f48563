"""Videos and film strips of episodes, enlarged so that a person can see them."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from vrl_core.atomic import replacing
from vrl_core.errors import VRLError

SMALLEST_SIDE = 256
"""Frames are enlarged until both sides have at least this many pixels."""
SMALLEST_ROOM = 2**20
"""With fewer bytes free, a disk is called full: the encoder itself does not say."""


def visible_frames(frames: np.ndarray, smallest_side: int = SMALLEST_SIDE) -> np.ndarray:
    """Turn frames `(time, height, width, channel)` into larger RGB frames.

    Each pixel becomes a square of whole size, so nothing is blurred. One channel is shown as grey;
    of more than three, the last three. Sides are made even, which H.264 asks for.
    """
    if frames.ndim != 4 or frames.dtype != np.uint8 or not frames.size:
        raise VRLError(
            f"A video needs uint8 frames of shape (time, height, width, channel); these are "
            f"{frames.dtype} of shape {frames.shape}. Does the environment render images?"
        )
    colour = frames[..., -3:] if frames.shape[-1] >= 3 else frames[..., -1:].repeat(3, axis=-1)
    factor = max(1, -(-smallest_side // min(frames.shape[1:3])))
    large = colour.repeat(factor, axis=1).repeat(factor, axis=2)
    odd = [(0, side % 2) for side in large.shape[1:3]]
    return np.pad(large, [(0, 0), *odd, (0, 0)], mode="edge")


def write_video(frames: np.ndarray, path: Path, frames_per_second: float = 30.0) -> Path:
    """Write frames `(time, height, width, channel)` to an mp4 (H.264, 4:2:0) and return its path.

    The file appears whole or not at all. Raises `VRLError` when the encoder fails.
    """
    import imageio_ffmpeg

    height, width = visible_frames(frames[:1]).shape[1:3]
    with _written(path) as partial:
        writer = imageio_ffmpeg.write_frames(
            str(partial),
            (width, height),
            fps=frames_per_second,
            codec="libx264",
            pix_fmt_out="yuv420p",
            macro_block_size=2,
            output_params=["-crf", "20", "-preset", "veryfast", "-movflags", "+faststart"],
            ffmpeg_log_level="error",
        )
        writer.send(None)
        for frame in frames:
            writer.send(np.ascontiguousarray(visible_frames(frame[None])[0]))
        writer.close()
    return path


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    """Yield a file to write, which becomes `path`; a failure is a `VRLError` of one line."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            yield partial
    except (OSError, RuntimeError) as error:
        # The encoder's error goes on with its whole command line.
        reason = str(error).strip().partition("\n")[0]
        if path.parent.is_dir() and shutil.disk_usage(path.parent).free < SMALLEST_ROOM:
            reason = "the disk is full; make room"
        raise VRLError(f"The video {path} could not be written: {reason}.") from error


def write_gif(frames: np.ndarray, path: Path, frames_per_second: float = 30.0) -> Path:
    """Write an endlessly repeating GIF and return its path; larger than a video of the same."""
    images = [Image.fromarray(frame) for frame in visible_frames(frames)]
    with _written(path) as partial:
        images[0].save(
            partial,
            save_all=True,
            append_images=images[1:],
            duration=max(20, round(1000 / frames_per_second)),
            loop=0,
        )
    return path


def film_strip(frames: np.ndarray, pictures: int = 8, smallest_side: int = 96) -> bytes:
    """Return a PNG of evenly spaced frames side by side, the first and the last among them."""
    chosen = np.linspace(0, len(frames) - 1, min(pictures, len(frames))).round().astype(int)
    large = visible_frames(frames[chosen], smallest_side)
    file = io.BytesIO()
    Image.fromarray(np.concatenate(list(large), axis=1)).save(file, "PNG", optimize=True)
    return file.getvalue()


def read_video(path: Path) -> np.ndarray:
    """Read a video back as frames `(time, height, width, 3)` uint8."""
    import imageio_ffmpeg

    reader = imageio_ffmpeg.read_frames(str(path))
    width, height = next(reader)["size"]
    return np.stack([np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader])
