"""Lines of texts as a table for Markdown and for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def markdown_table(lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first line is its header, the first column its names."""
    header, *rest = lines
    rule = [":--", *["--:"] * (len(header) - 1)]
    return "".join("| " + " | ".join(line) + " |\n" for line in [header, rule, *rest])


def rich_table(lines: Sequence[Sequence[str]], title: str) -> Table:
    """Return the same as a rich table."""
    from rich import box
    from rich.table import Table

    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
    header, *rest = lines
    for index, name in enumerate(header):
        table.add_column(name, justify="left" if index == 0 else "right", no_wrap=index == 0)
    for line in rest:
        table.add_row(*line)
    return table
