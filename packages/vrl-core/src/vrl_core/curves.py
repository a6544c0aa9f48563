"""Learning curves: return over updates, with the levels it is to be seen against."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vrl_core.errors import VRLError
from vrl_core.statistics import Summary, summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#2f6fde", "#d9622b", "#2a9d6f", "#a04bc0", "#c2a21c", "#c93a6a")
"""Readable on white and on near-black."""
INK = "#010203"
"""Stands for the page's text colour in a picture that is to be embedded."""


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """Returns over updates of one algorithm's runs."""

    label: str
    steps: tuple[int, ...]
    """Updates at which every run was evaluated."""
    summaries: tuple[Summary, ...]
    """Over all episodes of all runs at each of these."""
    runs: tuple[tuple[tuple[int, float], ...], ...]
    """For each run, `(step, mean return)` wherever it was evaluated."""


@dataclass(frozen=True)
class Level:
    """A return drawn across the picture, such as the data's mean."""

    label: str
    value: float
    line: str = "--"


def learning_curve(label: str, runs: Sequence[Mapping[int, Sequence[float]]]) -> LearningCurve:
    """Summarise runs, each a mapping from step to the returns of that step's evaluation.

    Means and intervals stand where every run was evaluated, so that no run's end moves the mean.
    """
    evaluated = [run for run in runs if run]
    if not evaluated:
        raise VRLError(f"{label}: none of the {len(runs)} runs was evaluated; nothing to draw.")
    common = sorted(set.intersection(*(set(run) for run in evaluated)))
    return LearningCurve(
        label=label,
        steps=tuple(common),
        summaries=tuple(_at(step, evaluated) for step in common),
        runs=tuple(
            tuple((step, float(np.mean(run[step]))) for step in sorted(run)) for run in evaluated
        ),
    )


def _at(step: int, runs: Sequence[Mapping[int, Sequence[float]]]) -> Summary:
    values = [float(value) for run in runs for value in run[step]]
    return summary(values, runs=[index for index, run in enumerate(runs) for _ in run[step]])


def draw_learning_curves(
    curves: Sequence[LearningCurve],
    path: Path,
    *,
    levels: Sequence[Level] = (),
    title: str = "",
) -> tuple[Path, Path]:
    """Write the picture to `<path>.png` and `<path>.svg` and return both paths.

    Each curve is the mean with its 95% bootstrap band; thin lines are the single runs.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.stem if path.suffix in (".png", ".svg") else path.name
    paths = path.with_name(f"{name}.png"), path.with_name(f"{name}.svg")
    with _style():
        figure = _figure(curves, levels, title, ink="#1c2333")
        figure.savefig(paths[0], dpi=160, facecolor="white")
        figure.savefig(paths[1], facecolor="white", metadata={"Date": None})
    return paths


def embedded_learning_curves(
    curves: Sequence[LearningCurve], *, levels: Sequence[Level] = (), title: str = ""
) -> str:
    """Return an `<svg>` element that takes the colour of the text around it, light or dark."""
    file = io.StringIO()
    with _style():
        figure = _figure(curves, levels, title, ink=INK)
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    opening, rest = text.split(">", 1)
    return re.sub(r' (width|height)="[^"]*"', "", opening) + ">" + rest


def _figure(
    curves: Sequence[LearningCurve], levels: Sequence[Level], title: str, ink: str
) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for curve, colour in zip(curves, _colours(len(curves)), strict=True):
        _draw_curve(axes, curve, colour)
    _draw_levels(axes, levels, ink)
    _dress(axes, curves, title, ink)
    _name_levels(axes, levels, ink)
    return figure


def _style() -> AbstractContextManager[None]:
    """Set the font, and fixed ids, so that the same data gives the same file."""
    from matplotlib import rc_context

    return rc_context({"svg.hashsalt": "vrl", "font.size": 10, "font.family": "DejaVu Sans"})


def _colours(count: int) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(count)]


def _draw_curve(axes: Axes, curve: LearningCurve, colour: str) -> None:
    if len(curve.runs) > 1:
        for run in curve.runs:
            axes.plot(*zip(*run, strict=True), color=colour, linewidth=0.8, alpha=0.4)
    if not curve.steps:
        return
    mean = [point.mean for point in curve.summaries]
    axes.plot(
        curve.steps, mean, color=colour, linewidth=2.2, marker="o", markersize=4, label=curve.label
    )
    low = [point.low for point in curve.summaries]
    high = [point.high for point in curve.summaries]
    axes.fill_between(curve.steps, low, high, color=colour, alpha=0.2, linewidth=0)


def _draw_levels(axes: Axes, levels: Sequence[Level], ink: str) -> None:
    for level in levels:
        axes.axhline(level.value, color=ink, linewidth=1, linestyle=level.line, alpha=0.55)


def _name_levels(axes: Axes, levels: Sequence[Level], ink: str) -> None:
    """Write the levels' names beside the picture, pushed apart where they would overlap."""
    bottom, top = axes.get_ylim()
    height = -1.0
    for level in sorted(levels, key=lambda level: level.value):
        height = max((level.value - bottom) / (top - bottom), height + 0.055)
        axes.annotate(
            f"{level.label} {level.value:,.0f}",
            (1.01, height),
            xycoords="axes fraction",
            va="center",
            color=ink,
            fontsize=8.5,
        )


def _dress(axes: Axes, curves: Sequence[LearningCurve], title: str, ink: str) -> None:
    axes.set_xlabel("updates", color=ink)
    axes.set_ylabel("return", color=ink)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.tick_params(colors=ink)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(ink)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.grid(color=ink, alpha=0.12, linewidth=0.6)
    if title:
        axes.set_title(title, loc="left", color=ink, fontsize=11, fontweight="bold")
    if any(curve.steps for curve in curves):
        axes.legend(frameon=False, labelcolor=ink, loc="best")
