"""Pictures behind a distracted scene: procedural textures, or frames of videos on disk.

Both are pools of pictures from which a draw takes one; harder distractions draw from more.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from vrl_core.errors import VRLError
from vrl_core.preparation import home
from vrl_envs.readers.damage import damaged
from vrl_envs.settings import require_folder

POOL_SIZES: Mapping[str, int | None] = {"low": 4, "moderate": 8, "high": None}
"""Pictures to draw from; None is all."""
TEXTURES = 60
"""All procedural textures: as many as DAVIS 2017 has training videos."""
PICTURES = (".jpg", ".jpeg", ".png")
_TEXTURE_SEED = 0x74657874
_COLOURS, _WAVES = 5, 6


def texture_names(difficulty: str) -> list[str]:
    """Return the names of the procedural textures of a difficulty."""
    return [f"texture-{number}" for number in range(POOL_SIZES[difficulty] or TEXTURES)]


@functools.cache
def procedural_texture(number: int, size: int) -> np.ndarray:
    """Return texture `number`, `(size, size, 3)` uint8: bands of few colours along waves.

    A pure function of both numbers; data records only its name, so it is frozen.
    """
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence((_TEXTURE_SEED, number))))
    colours = random.uniform(0, 255, (_COLOURS, 3))
    frequencies = random.integers(-4, 5, (_WAVES, 2))
    phases = random.uniform(0, 2 * np.pi, _WAVES)
    place = np.linspace(0, 2 * np.pi, size, endpoint=False)
    height = np.zeros((size, size))
    for (down, right), phase in zip(frequencies, phases, strict=True):
        height += np.sin(down * place[:, None] + right * place[None, :] + phase)
    level = (height / _WAVES + 1) * random.uniform(4, 12)
    below = np.floor(level).astype(int)
    # Within a band the colour goes over to the next one's, then it jumps.
    mix = (0.5 * (level - below))[..., None]
    bands = (1 - mix) * colours[below % _COLOURS] + mix * colours[(below + 1) % _COLOURS]
    texture = np.asarray(bands.astype(np.uint8))
    texture.setflags(write=False)  # it is handed out again
    return texture


def video_frames(difficulty: str, folder: Path | None) -> dict[str, Path]:
    """Return the first frame, in the order of names, of each video of a difficulty.

    `folder` is DAVIS 2017's (with `JPEGImages/480p`, of which the training videos count) or holds
    a folder for each video; None is `DAVIS` in `$VRL_HOME`. Raises `VRLError` when the folder does
    not exist, there are fewer videos than the difficulty takes, or one has no frames.
    """
    require_folder("video_folder", folder)
    root = home() / "DAVIS" if folder is None else folder
    frames = root / "JPEGImages" / "480p"
    names = _video_names(root, frames if frames.is_dir() else root)
    wanted = POOL_SIZES[difficulty]
    if len(names) < (wanted or 1):
        raise VRLError(
            f"{root} has {len(names)} videos; the distraction {difficulty} takes {wanted or 'all'}."
            " It must hold a folder of frames (.jpg) for each video, or be that of DAVIS 2017 "
            "(JPEGImages/480p/<video>/*.jpg). Name it with video_folder, or take VRL's textures, "
            "distraction_background procedural, which need no files. For policies whose data has "
            "videos behind that is another background: train with --evaluation-episodes 0, then "
            "vrl evaluate RUN --environment distraction_background=procedural --allow-mismatch."
        )
    return {name: _first_frame(path) for name, path in list(names.items())[:wanted]}


def video_picture(path: Path, size: int) -> np.ndarray:
    """Return a frame as `(size, size, 3)` uint8, a grey one in three equal channels.

    Raises `VRLError`, which names it, when it cannot be read.
    """
    unreadable = (Image.DecompressionBombError, IndexError, SyntaxError, TypeError, struct.error)
    with damaged(f"The frame {path}", *unreadable), Image.open(path) as image:
        colours = np.asarray(image.convert("RGB"))
    return resized(colours, size)


def resized(image: np.ndarray, size: int) -> np.ndarray:
    """Return a picture `(height, width, 3)` uint8 as `(size, size, 3)`, bilinearly, cut to uint8.

    Samples at the centres of the new pixels and averages no others, as V-D4RL's environments do.
    """
    top, bottom, down = _neighbours(image.shape[0], size)
    left, right, across = _neighbours(image.shape[1], size)
    values = image.astype(np.float32)
    rows = values[top] + (values[bottom] - values[top]) * down[:, None, None]
    mixed = rows[:, left] + (rows[:, right] - rows[:, left]) * across[None, :, None]
    return np.asarray(mixed.astype(np.uint8))


def _neighbours(before: int, after: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    place = ((np.arange(after) + 0.5) * before / after - 0.5).astype(np.float32)
    below = np.floor(place)
    low, high = (np.clip(below + step, 0, before - 1).astype(int) for step in (0, 1))
    return low, high, place - below


def _video_names(root: Path, folder: Path) -> dict[str, Path]:
    listing = root / "ImageSets" / "2017" / "train.txt"
    if listing.is_file():
        return {name: folder / name for name in sorted(listing.read_text().split())}
    if not folder.is_dir():
        return {}
    return {path.name: path for path in sorted(folder.iterdir()) if path.is_dir()}


def _first_frame(video: Path) -> Path:
    frames = [path for path in video.glob("*") if path.suffix.lower() in PICTURES]
    if not frames:
        raise VRLError(f"The video {video} has no frames; they are files ending in .jpg or .png.")
    return min(frames)
