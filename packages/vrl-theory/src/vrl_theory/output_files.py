"""Tables, numbers and figures, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vrl_core.atomic import write_text
from vrl_core.errors import VRLError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Line = Sequence[str]
INK = "#1c2333"
WIDEST = 10_000


def markdown_table(lines: Sequence[Line]) -> str:
    """Return a Markdown table; the first line is its header, the first column its names."""
    header, *rest = lines
    rule = [":--", *["--:"] * (len(header) - 1)]
    return "".join("| " + " | ".join(line) + " |\n" for line in [header, rule, *rest])


def print_table(lines: Sequence[Line], title: str) -> None:
    """Print the same for the terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
    header, *rest = lines
    for index, name in enumerate(header):
        table.add_column(name, justify="left" if index == 0 else "right", no_wrap=True)
    for line in rest:
        table.add_row(*line)
    # In a narrow terminal rich would cut numbers; wrapped lines can still be read.
    needed = Console(width=WIDEST).measure(table).maximum
    console = Console(highlight=False)
    console.width = max(console.width, needed)
    console.print(table)


def publish(
    folder: Path, name: str, lines: Sequence[Line], data: Any, *, title: str, as_json: bool
) -> None:
    """Write `<name>.md` and `<name>.json` into the folder, and print one of them.

    Raises `VRLError` when the folder cannot be written.
    """
    text = json.dumps(data, indent=2) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / f"{name}.json", text)
        write_text(folder / f"{name}.md", markdown_table(lines))
    except OSError as error:
        raise VRLError(
            f"Cannot write to {folder}: {error.strerror}. Choose another --output."
        ) from error
    if as_json:
        print(text, end="")
        return
    print_table(lines, title)
    print(f"wrote {folder / name}.md, .json, .png and .svg")


def number(value: float | None) -> str:
    """Return four digits, or a dash for nothing."""
    return "–" if value is None else f"{value:.4g}"


def percent(share: float) -> str:
    """Return a share in percent, with as many digits as thousands of trials give."""
    return f"{100 * share:.1f}%"


def draw(path: Path, panels: Sequence[Callable[[Axes], None]]) -> tuple[Path, Path]:
    """Draw panels side by side into `<path>.png` and `<path>.svg` and return both paths."""
    from matplotlib.figure import Figure

    path.parent.mkdir(parents=True, exist_ok=True)
    paths = path.with_name(f"{path.name}.png"), path.with_name(f"{path.name}.svg")
    with _style():
        figure = Figure(figsize=(5.2 * len(panels), 4.0), layout="constrained")
        for axes, panel in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
        ):
            panel(axes)
            _dress(axes)
        figure.savefig(paths[0], dpi=160, facecolor="white")
        figure.savefig(paths[1], facecolor="white", metadata={"Date": None})
    return paths


def _style() -> AbstractContextManager[None]:
    """Set the font, and fixed ids, so that the same numbers give the same file."""
    from matplotlib import rc_context

    return rc_context({"svg.hashsalt": "vrl", "font.size": 10, "font.family": "DejaVu Sans"})


def _dress(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=INK, alpha=0.12, linewidth=0.6)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8.5)
