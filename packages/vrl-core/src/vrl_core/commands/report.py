"""`vrl report`: tables, learning curves and videos of runs, on one page."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vrl_core.arguments import Arguments

if TYPE_CHECKING:
    from vrl_core.registry import Registry

DESCRIPTION = """\
Join runs into a report: runs that differ in their seed alone are one line, with means,
interquartile means and 95% bootstrap intervals. Writes index.html (one self-contained page),
report.md and the learning curves as PNG and SVG.

examples:
  vrl report runs                             every run under a folder
  vrl report runs/walker_walk/*/* --output walker
"""


def main(arguments: Sequence[str], registry: Registry) -> int:
    """Write the report, print its tables and what is missing from it."""
    parser = Arguments("vrl report", DESCRIPTION)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs, or folders of those")
    parser.add_argument("--output", type=Path, default=Path("report"), help="default: report")
    options = parser.parse_args(arguments)
    _report([folder for path in options.runs for folder in runs_under(path)], options, registry)
    return 0


def runs_under(path: Path) -> list[Path]:
    """Return the folders of runs at or below a path; the path itself when there are none."""
    if (path / "config.yaml").is_file():
        return [path]
    return sorted(file.parent for file in path.rglob("config.yaml")) or [path]


def _report(folders: list[Path], options: argparse.Namespace, registry: Registry) -> None:
    from rich.console import Console

    from vrl_core.report import gather, write_report
    from vrl_core.result_table import results_table

    report = gather(folders, registry)
    files = write_report(report, options.output)
    console = Console(highlight=False)
    for section in report.sections:
        console.print(results_table(section.rows, section.title))
    for where, what in report.problems:
        console.print(f"[yellow]missing:[/yellow] {where}: {what}", soft_wrap=True)
    console.print(f"report: [bold]{files.page}[/bold]", soft_wrap=True)
