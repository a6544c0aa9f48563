"""Shows a store to a person: a self-contained HTML page, or a video."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vrl_core.atomic import write_text
from vrl_core.data_page import EpisodeSection, page
from vrl_core.episodes import Episode
from vrl_core.errors import VRLError
from vrl_core.observations import side_by_side
from vrl_core.store import Store
from vrl_core.video import film_strip, visible_frames, write_video
from vrl_core.writing import explained

STRIP_PICTURES = 12
SPRITE_PICTURES = 100
"""Frames of the small film that follows the pointer over the curves."""
SPRITE_COLUMNS = 10
SPRITE_SIDE = 96


def view(
    store: Store, output: Path, episodes: Sequence[int] = (), *, frames_per_second: float = 20.0
) -> Path:
    """Write a page (`.html`) or a video (`.mp4`) of some episodes and return its path.

    Without `episodes`, those of the lowest, the median and the highest return. Raises `VRLError`
    for another ending, an episode that does not exist or is damaged, or a video of data without
    images.
    """
    chosen = _chosen_episodes(store, episodes)
    store.require_sound(chosen)
    with explained(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    if output.suffix == ".html":
        return _write_page(store, output, chosen)
    if output.suffix == ".mp4":
        return _write_video(store, output, chosen, frames_per_second)
    raise VRLError(f"{output} ends in neither .html (a page) nor .mp4 (a video).")


def telling_episodes(returns: np.ndarray) -> list[int]:
    """Return the episodes of lowest, median and highest return, each once."""
    order = np.argsort(returns, kind="stable")
    picks = (order[0], order[(len(order) - 1) // 2], order[-1])
    return list(dict.fromkeys(int(pick) for pick in picks))


def image_field(episode: Episode) -> np.ndarray | None:
    """Return an episode's frames `(T+1, height, width, channel)`; None when it has none.

    Several cameras are side by side, `image` at the left.
    """
    images = {
        name: value
        for name, value in episode.observations.items()
        if value.ndim == 4 and value.dtype == np.uint8
    }
    return side_by_side(images)


def _chosen_episodes(store: Store, episodes: Sequence[int]) -> list[int]:
    for index in episodes:
        if not 0 <= index < len(store):
            raise VRLError(
                f"There is no episode {index}; {store.path} has episodes 0 to {len(store) - 1}."
            )
    return list(episodes) or telling_episodes(store.returns)


def _write_page(store: Store, output: Path, chosen: Sequence[int]) -> Path:
    text = page(store, [_section(store, index) for index in chosen])
    with explained(output):
        write_text(output, text)
    return output


def _section(store: Store, index: int) -> EpisodeSection:
    episode = store[index]
    frames = image_field(episode)
    return EpisodeSection(
        index=index,
        undiscounted_return=float(store.returns[index]),
        rewards=np.asarray(episode.rewards),
        actions=np.asarray(episode.actions),
        ending=_ending(episode),
        info=dict(episode.info),
        strip=None if frames is None else _data_url("png", film_strip(frames, STRIP_PICTURES)),
        sprite=None if frames is None else _data_url("jpeg", sprite(frames)),
        sprite_count=0 if frames is None else min(SPRITE_PICTURES, len(frames)),
        sprite_columns=SPRITE_COLUMNS,
    )


def _ending(episode: Episode) -> str:
    if episode.terminations[-1]:
        return "terminated"
    return "cut off by the time limit" if episode.truncations[-1] else "ends with the data"


def sprite(frames: np.ndarray) -> bytes:
    """Return a JPEG of evenly spaced frames, row by row in `SPRITE_COLUMNS` columns."""
    from PIL import Image

    count = min(SPRITE_PICTURES, len(frames))
    picks = np.linspace(0, len(frames) - 1, count).round().astype(int)
    small = visible_frames(frames[picks], SPRITE_SIDE)
    rows = -(-count // SPRITE_COLUMNS)
    _, height, width, channels = small.shape
    sheet = np.zeros((rows * SPRITE_COLUMNS, height, width, channels), np.uint8)
    sheet[:count] = small
    grid = sheet.reshape(rows, SPRITE_COLUMNS, height, width, channels).swapaxes(1, 2)
    file = io.BytesIO()
    flat = grid.reshape(rows * height, SPRITE_COLUMNS * width, channels)
    Image.fromarray(np.ascontiguousarray(flat)).save(file, "JPEG", quality=80, optimize=True)
    return file.getvalue()


def _data_url(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _write_video(store: Store, output: Path, chosen: Sequence[int], speed: float) -> Path:
    films = [frames for index in chosen if (frames := image_field(store[index])) is not None]
    if not films:
        raise VRLError(f"{store.path} holds no images, so there is no video. Make an .html page.")
    return write_video(np.concatenate(films), output, speed)
