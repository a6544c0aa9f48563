"""Shows how far a store is: a bar with frames a second and time left, or quiet lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as ProgressBar

from vrl_core.ingest import Progress
from vrl_core.progress import QUIET_SECONDS, describe_seconds


@contextmanager
def shown_progress(
    title: str, *, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[Progress], None]]:
    """Yield an `on_progress` for `write_store` that shows on standard error how far it is."""
    console = Console(file=stream or sys.stderr, highlight=False)
    started = clock()
    if not console.is_terminal:
        yield _printer(title, console, started, clock)
        return
    with _bar(console) as bar:
        task = bar.add_task(title, total=None, note="starting")

        def on_progress(progress: Progress) -> None:
            note = pace(progress, clock() - started)
            bar.update(task, completed=progress.episodes, total=progress.total, note=note)

        yield on_progress


@contextmanager
def shown_reading(
    title: str, *, stream: TextIO | None = None
) -> Iterator[Callable[[int, int], None]]:
    """Yield a function of (done, total) that draws a bar on a terminal and nothing elsewhere."""
    console = Console(file=stream or sys.stderr, highlight=False)
    if not console.is_terminal:
        yield lambda _done, _total: None
        return
    with _bar(console) as bar:
        task = bar.add_task(title, total=None, note="")
        yield lambda done, total: bar.update(task, completed=done, total=total)


def pace(progress: Progress, seconds: float) -> str:
    """Word the speed of this run, earlier ones left out, such as `458 frames/s, 3 min left`."""
    made = progress.episodes - progress.resumed
    if made <= 0 or seconds <= 0:
        return "starting"
    frames = (progress.frames - progress.resumed_frames) / seconds
    left = (progress.total - progress.episodes) * seconds / made
    return f"{frames:,.0f} frames/s, {describe_seconds(left)} left"


def _printer(
    title: str, console: Console, started: float, clock: Callable[[], float]
) -> Callable[[Progress], None]:
    printed = started

    def on_progress(progress: Progress) -> None:
        nonlocal printed
        now = clock()
        if now - printed >= QUIET_SECONDS or progress.episodes == progress.total:
            printed = now
            state = f"{progress.episodes} of {progress.total} episodes"
            console.print(f"{title}: {state}, {pace(progress, now - started)}", soft_wrap=True)

    return on_progress


def _bar(console: Console) -> ProgressBar:
    return ProgressBar(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )
