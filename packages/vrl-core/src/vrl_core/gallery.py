"""A page with a picture of every task that environments show.

What is shown, `EnvironmentConfig.gallery` says: an environment of a plugin appears by itself.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vrl_core.atomic import write_text
from vrl_core.errors import VRLError
from vrl_core.hooks import EnvironmentConfig
from vrl_core.registry import Registry, help_line

TILE = 104
"""Height in pixels of the picture for people; the task's own stands beside it, if smaller."""
DRAWN = 2 * TILE
"""Size at which that is drawn; made smaller, it has smooth edges."""
GAP = 4
COLUMNS = 4
EXERTION = 0.5
"""Largest action; full ones have bodies on the floor too soon."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One setting that an environment shows."""

    environment: str
    name: str
    config: EnvironmentConfig

    @property
    def file(self) -> str:
        """Name of its picture."""
        words = f"{self.environment}-{self.name}".lower()
        return "".join(letter if letter.isalnum() or letter in "_-" else "-" for letter in words)


@dataclass(frozen=True, kw_only=True)
class Tile:
    """What became of a setting: a picture, or the reason that there is none."""

    shown: Shown
    picture: bytes | None = None
    """PNG."""
    size: str = ""
    """Width and height of the task's own frames."""
    reason: str = ""


@dataclass(frozen=True)
class Gallery:
    """All tiles, in the order of the page."""

    tiles: tuple[Tile, ...]

    @property
    def pictures(self) -> list[Tile]:
        """Those that have a picture."""
        return [tile for tile in self.tiles if tile.picture is not None]

    @property
    def missing(self) -> list[Tile]:
        """Those that have none."""
        return [tile for tile in self.tiles if tile.picture is None]


def shown_settings(registry: Registry, environments: Sequence[str] | None = None) -> list[Shown]:
    """Return what environments show, by default all of them. Raises `VRLError` for other names."""
    names = registry.names("environments") if environments is None else environments
    return [
        Shown(environment=environment, name=name, config=config)
        for environment in names
        for name, config in registry.get("environments", environment).gallery().items()
    ]


def write_gallery(
    registry: Registry,
    output: Path,
    *,
    environments: Sequence[str] | None = None,
    steps: int = 6,
    seed: int = 0,
) -> Gallery:
    """Write the page to `output`, and the pictures into the folder of its name beside it.

    Raises `VRLError` for an environment that does not exist and when a file cannot be written.
    """
    if output.suffix != ".md":
        raise VRLError(f"The gallery is a Markdown page; --output {output} does not end in .md.")
    shown = shown_settings(registry, environments)
    gallery = Gallery(tuple(make_tile(each, steps=steps, seed=seed) for each in shown))
    folder = output.with_suffix("")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for tile in gallery.pictures:
            (folder / f"{tile.shown.file}.png").write_bytes(tile.picture or b"")
        write_text(output, page(gallery, folder.name, registry))
    except OSError as error:
        raise VRLError(f"The gallery cannot be written to {output}: {error.strerror}.") from error
    return gallery


def make_tile(shown: Shown, *, steps: int, seed: int) -> Tile:
    """Draw a setting; where something for it is not installed, the tile says so."""
    try:
        own = frame_of(shown.config, steps=steps, seed=seed)
        large = frame_of(larger(shown.config, own), steps=steps, seed=seed)
    except (VRLError, ImportError) as error:
        return Tile(shown=shown, reason=str(error))
    size = f"{own.shape[1]}×{own.shape[0]}"
    return Tile(shown=shown, picture=png(side_by_side(large, own)), size=size)


def frame_of(config: EnvironmentConfig, *, steps: int, seed: int) -> np.ndarray:
    """Return the frame `(height, width, channel)` uint8 after some random steps.

    Raises `VRLError` when the environment cannot be built or shows no images.
    """
    environment = config.build()
    try:
        random = np.random.default_rng(seed)
        observation, _ = environment.reset(seed=seed)
        for _ in range(steps):
            action = random.uniform(-EXERTION, EXERTION, environment.action_space.shape or ())
            observation, _, terminated, truncated, _ = environment.step(action.astype(np.float32))
            if terminated or truncated:
                break
        return _image(environment, observation)
    finally:
        environment.close()


def _image(environment: Any, observation: Any) -> np.ndarray:
    """Return what the policy sees, of several cameras the first; else what is rendered."""
    parts = observation.values() if isinstance(observation, dict) else [observation]
    cameras = [part for part in parts if part.dtype == np.uint8 and part.ndim == 3]
    if cameras:
        return np.asarray(cameras[0])
    if not environment.metadata.get("render_modes"):
        raise VRLError("it has no pictures: its observations are numbers and it draws nothing.")
    return np.asarray(environment.render())


def larger(config: EnvironmentConfig, own: np.ndarray) -> EnvironmentConfig:
    """Return the same setting with images large enough for people, if their size is a setting."""
    if max(own.shape[:2]) >= DRAWN or "size" not in {field.name for field in fields(config)}:
        return config
    return replace(config, size=DRAWN)  # type: ignore[call-arg]


def side_by_side(large: np.ndarray, own: np.ndarray) -> Image.Image:
    """Return the large frame `TILE` high, and right of it the task's own, pixel for pixel."""
    frame = Image.fromarray(large[..., :3] if large.shape[-1] >= 3 else large[..., 0])
    width = max(1, round(TILE * large.shape[1] / large.shape[0]))
    enlarged = large.shape[0] < TILE
    shown = frame.convert("RGB").resize(
        (width, TILE), Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX
    )
    height, own_width = own.shape[:2]
    if height > TILE or own.shape == large.shape:
        return shown
    tile = Image.new("RGBA", (width + GAP + own_width, TILE))
    tile.paste(shown, (0, 0))
    tile.paste(Image.fromarray(own[..., :3]), (width + GAP, TILE - height))
    return tile


def png(picture: Image.Image) -> bytes:
    """Return a picture as PNG."""
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


def page(gallery: Gallery, folder: str, registry: Registry) -> str:
    """Return the page; its pictures lie in `folder` beside it."""
    environments = dict.fromkeys(tile.shown.environment for tile in gallery.tiles)
    parts = ["# Gallery", INTRODUCTION]
    for environment in environments:
        told = help_line(registry.get("environments", environment))
        drawn = [tile for tile in gallery.pictures if tile.shown.environment == environment]
        parts += [f"## {environment}", told, *([_table(drawn, folder)] if drawn else [])]
        parts += _reasons([t for t in gallery.missing if t.shown.environment == environment])
    return "\n\n".join(parts) + "\n"


INTRODUCTION = (
    "Every task that the installed environments show, after a few random steps: large for people, "
    "and beside it, where that is smaller, as the policy sees it, pixel for pixel. `vrl gallery "
    "--output docs/gallery.md` makes this page anew."
)


def _table(tiles: Sequence[Tile], folder: str) -> str:
    cells = [
        f"![{tile.shown.name}]({folder}/{tile.shown.file}.png)<br>{tile.shown.name}, {tile.size}"
        for tile in tiles
    ]
    rows = [cells[first : first + COLUMNS] for first in range(0, len(cells), COLUMNS)]
    columns = len(rows[0])
    header = ["| " * columns + "|", "|" + "---|" * columns]
    lines = ["| " + " | ".join([*row, *[""] * (columns - len(row))]) + " |" for row in rows]
    return "\n".join([*header, *lines])


def _reasons(tiles: Sequence[Tile]) -> list[str]:
    """Say why settings have no picture, once for all that have the same reason."""
    named: dict[str, list[str]] = {}
    for tile in tiles:
        named.setdefault(tile.reason, []).append(tile.shown.name)
    return [f"Not shown: {', '.join(names)}: {reason}" for reason, names in named.items()]
