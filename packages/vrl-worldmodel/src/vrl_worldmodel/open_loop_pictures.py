"""Film strips, films and the error curve of a world model's imagination."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vrl_core.curves import COLOURS
from vrl_core.statistics import Summary
from vrl_core.video import visible_frames
from vrl_worldmodel.open_loop import OpenLoop

ROWS = ("truth", "reconstruction", "imagination")
STRIP_SIDE = 96
FILM_SIDE = 256
MARGIN, HEADER, GAP, LINE = 118, 24, 4, 16
CONTEXT_COLOUR, IMAGINED_COLOUR = (150, 156, 168), (217, 98, 43)
INK = (28, 35, 51)


def frame_rows(frames: OpenLoop, clip: int) -> dict[str, np.ndarray]:
    """Return truth, reconstruction and imagination of a clip, `(time, height, width, channel)`.

    During the context there is nothing to imagine: the third row shows the reconstruction.
    """
    truth, reconstruction, imagined = (
        (each[clip] * 255).round().byte().cpu().numpy()
        for each in (frames.truth, frames.reconstruction, frames.imagination)
    )
    whole = np.concatenate([reconstruction[: frames.context], imagined])
    return dict(zip(ROWS, (truth, reconstruction, whole), strict=True))


def join_rows(rows_of_models: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Put what several models make of a clip below one truth, each named; one stays as it is."""
    first = next(iter(rows_of_models.values()))
    if len(rows_of_models) == 1:
        return dict(first)
    named = {
        f"{model}\n{name}": rows[name]
        for model, rows in rows_of_models.items()
        for name in ROWS[1:]
    }
    return {"truth": first["truth"], **named}


def strip_columns(length: int, context: int, pictures: int) -> list[int]:
    """Choose the frames of a strip: the context's first and last, then evenly to the end."""
    shown = sorted({0, context - 1})
    rest = np.linspace(context, length - 1, min(pictures - len(shown), length - context))
    return [*shown, *dict.fromkeys(rest.round().astype(int).tolist())]


def write_strip(rows: Mapping[str, np.ndarray], context: int, path: Path, pictures: int) -> Path:
    """Write a PNG: one row of frames each, its name before it, the number of the step above.

    A bar above the columns tells the context (grey) from what is imagined (orange).
    """
    length = len(rows["truth"])
    columns = strip_columns(length, context, pictures)
    small = {name: visible_frames(frames[columns], STRIP_SIDE) for name, frames in rows.items()}
    height, width = small["truth"].shape[1:3]
    font = ImageFont.load_default(13)
    widest = max(font.getlength(line) for name in small for line in name.split("\n"))
    margin = max(MARGIN, round(widest) + 12)
    size = (margin + len(columns) * (width + GAP), HEADER + len(small) * (height + GAP))
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for index, column in enumerate(columns):
        left = margin + index * (width + GAP)
        imagined = column >= context
        colour = IMAGINED_COLOUR if imagined else CONTEXT_COLOUR
        pen.rectangle((left, HEADER - 5, left + width - 1, HEADER - 2), fill=colour)
        text = f"+{column - context + 1}" if imagined else f"{column + 1}"
        pen.text((left + 2, 2), text, fill=INK, font=font)
        for row, frames in enumerate(small.values()):
            sheet.paste(Image.fromarray(frames[index]), (left, HEADER + row * (height + GAP)))
    for row, name in enumerate(small):
        middle = HEADER + row * (height + GAP) + height // 2
        pen.text((4, middle), name, fill=INK, font=font, anchor="lm")
    path.write_bytes(_png(sheet))
    return path


def film(rows: Mapping[str, np.ndarray], context: int) -> np.ndarray:
    """Return frames `(time, height, width, 3)`: the rows side by side, named, with a bar above.

    The bar is grey during the context and orange while the model imagines.
    """
    panes = [visible_frames(frames, FILM_SIDE) for frames in rows.values()]
    body = np.concatenate(panes, axis=2)
    headers = [_film_header(list(rows), panes[0].shape[2], imagined) for imagined in (False, True)]
    bands = np.stack([headers[int(step >= context)] for step in range(len(body))])
    return np.concatenate([bands, body], axis=1)


def _film_header(names: list[str], width: int, imagined: bool) -> np.ndarray:
    height = HEADER + LINE * max(name.count("\n") for name in names)
    colour = IMAGINED_COLOUR if imagined else CONTEXT_COLOUR
    bands = []
    for name in names:
        shown = name if imagined else name.replace("imagination", "context")
        band = Image.new("RGB", (width, height), "white")  # one each, so that long names are cut
        pen = ImageDraw.Draw(band)
        pen.text((6, 2), shown, fill=INK, font=ImageFont.load_default(13))
        pen.rectangle((0, height - 4, width, height), fill=colour)
        bands.append(np.asarray(band))
    return np.concatenate(bands, axis=1)


def draw_errors(
    curves: Mapping[str, list[Summary]], path: Path, title: str = ""
) -> tuple[Path, Path]:
    """Write error over imagined steps to `<path>.png` and `<path>.svg`; bands are 95% intervals."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    paths = path.with_name(f"{path.name}.png"), path.with_name(f"{path.name}.svg")
    with rc_context({"svg.hashsalt": "vrl", "font.size": 10, "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(7.2, 4.0), layout="constrained")
        axes = figure.add_subplot()
        for (label, points), colour in zip(curves.items(), COLOURS, strict=False):
            steps = range(1, len(points) + 1)
            means = [point.mean for point in points]
            axes.plot(steps, means, color=colour, linewidth=2, label=label)
            low, high = [point.low for point in points], [point.high for point in points]
            axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.set_xlabel("imagined steps")
        axes.set_ylabel("mean squared pixel error")
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.15, linewidth=0.6)
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
        axes.legend(frameon=False)
        figure.savefig(paths[0], dpi=160, facecolor="white")
        figure.savefig(paths[1], facecolor="white", metadata={"Date": None})
    return paths


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()
