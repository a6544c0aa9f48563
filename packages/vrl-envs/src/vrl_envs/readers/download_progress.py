"""Shows how far a download is: a bar with speed and time left, or quiet lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from vrl_core.progress import QUIET_SECONDS


@contextmanager
def shown_bytes(
    title: str, *, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[int, int], None]]:
    """Yield a function of (bytes present, bytes in all) that shows them on standard error."""
    console = Console(file=stream or sys.stderr, highlight=False)
    if not console.is_terminal:
        yield _printer(title, console, clock)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=None)
        yield lambda present, total: bar.update(task, completed=present, total=total)


def _printer(
    title: str, console: Console, clock: Callable[[], float]
) -> Callable[[int, int], None]:
    printed = clock()
    shown = -1

    def on_bytes(present: int, total: int) -> None:
        nonlocal printed, shown
        now = clock()
        if present != shown and (now - printed >= QUIET_SECONDS or present == total):
            printed, shown = now, present
            state = f"{present / 1e6:,.1f} of {total / 1e6:,.1f} MB"
            console.print(f"{title}: {state}", soft_wrap=True, markup=False)

    return on_bytes
