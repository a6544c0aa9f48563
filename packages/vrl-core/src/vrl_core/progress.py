"""Shows how far a run is: a bar with speed and time left on a terminal, quiet lines in a log."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

QUIET_SECONDS = 10.0
"""Seconds between two lines in a log, at least."""
REFRESH_SECONDS = 0.2
SPEED_WINDOW = 30
"""Seconds over which the speed is measured."""


class Speed:
    """Updates a second over the last half minute."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()

    def mark(self, step: int, now: float) -> None:
        """Note that `step` updates are done at the time `now`, in seconds."""
        self._marks.append((now, step))
        while len(self._marks) > 2 and now - self._marks[0][0] > SPEED_WINDOW:
            self._marks.popleft()

    def restart(self) -> None:
        """Forget, after a pause such as an evaluation."""
        self._marks.clear()

    @property
    def updates_per_second(self) -> float:
        """Zero as long as it is unknown."""
        if len(self._marks) < 2:
            return 0.0
        (first, start), (last, end) = self._marks[0], self._marks[-1]
        return (end - start) / (last - first) if last > first else 0.0


class TrainingProgress:
    """Progress of a run of `total` updates; use it as a context manager.

    On a terminal there is one bar; elsewhere a line at most every ten seconds. Both go to standard
    error.
    """

    def __init__(self, total: int, *, stream: TextIO | None = None, start: int = 0):
        self._total = total
        self._stream = stream or sys.stderr
        self._console = Console(file=self._stream, highlight=False)
        self._speed = Speed()
        self._bar = _bar(self._console) if self._console.is_terminal else None
        self._task = (
            self._bar.add_task("", total=total, completed=start, note="") if self._bar else None
        )
        self._shown = self._printed = float("-inf")

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, step: int, phase: str) -> None:
        """Note that `step` updates are done; cheap enough to be called after each."""
        now = time.monotonic()
        if now - self._shown < REFRESH_SECONDS and step != self._total:
            return
        self._shown = now
        self._speed.mark(step, now)
        if self._bar and self._task is not None:
            note = describe_pace(self._speed.updates_per_second, self._total - step)
            self._bar.update(self._task, completed=step, description=phase, note=note)

    def log(self, step: int, phase: str, metrics: Mapping[str, float]) -> None:
        """Show metrics that were read: a line in a log, nothing on a terminal."""
        now = time.monotonic()
        if self._bar or (now - self._printed < QUIET_SECONDS and step != self._total):
            return
        self._printed = now
        pace = describe_pace(self._speed.updates_per_second, self._total - step)
        values = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        self.say(f"{phase} {step}/{self._total}  {pace}  {values}")

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if self._bar:
            self._console.print(text, markup=False)
        else:
            print(text, file=self._stream, flush=True)

    def pause(self) -> None:
        """Leave the time from here to the next `advance` out of the speed."""
        self._speed.restart()


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        refresh_per_second=5,
    )


def describe_pace(updates_per_second: float, updates_left: int) -> str:
    """Word the speed and the time left, such as `12.5 updates/s, 3 min left`."""
    if updates_per_second <= 0:
        return "starting"
    left = describe_seconds(updates_left / updates_per_second)
    return f"{updates_per_second:.3g} updates/s, {left} left"


def describe_seconds(seconds: float) -> str:
    """Word a duration in its two largest units at most, such as `1 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
