"""Rows of results with intervals, as a table for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from vrl_core.hooks import ReferenceReturns
from vrl_core.statistics import Summary, summary

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("", "mean", "95% CI", "IQM", "95% CI", "episodes")
"""Each interval belongs to the number before it."""


@dataclass(frozen=True, kw_only=True)
class ResultRow:
    """What one policy, or the data, earns."""

    name: str
    summary: Summary
    normalised: float | None = None
    """Mean as a normalised score in percent, when the environment's reference returns are known."""
    success: float | None = None
    """Share of successful episodes, when the environment reports success."""
    origin: str | None = None
    """Said instead of the number of episodes when that is unknown, such as `reference`."""


def result_row(
    name: str,
    returns: ArrayLike,
    *,
    references: ReferenceReturns | None = None,
    runs: Sequence[Hashable] | None = None,
    success: float | None = None,
    seed: int = 0,
) -> ResultRow:
    """Summarise returns; `runs` names the run of each, see `statistics.summary`."""
    numbers = summary(returns, runs=runs, seed=seed)
    normalised = references.normalise(numbers.mean) if references else None
    return ResultRow(name=name, summary=numbers, normalised=normalised, success=success)


def known_row(
    name: str, mean: float, *, origin: str, references: ReferenceReturns | None = None
) -> ResultRow:
    """Row of a mean that is known without its episodes; `origin` says where it comes from."""
    normalised = references.normalise(mean) if references else None
    return ResultRow(name=name, summary=summary([mean]), normalised=normalised, origin=origin)


def reference_rows(
    *,
    random: ArrayLike,
    data: ArrayLike,
    learned: ArrayLike,
    references: ReferenceReturns | None = None,
    runs: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> list[ResultRow]:
    """Rows `random policy`, `data` and `learned policy` from episode returns.

    `runs` names the training run of each of the learned policy's returns.
    """
    return [
        result_row("random policy", random, references=references, seed=seed),
        result_row("data", data, references=references, seed=seed),
        result_row("learned policy", learned, references=references, runs=runs, seed=seed),
    ]


def results_table(rows: Sequence[ResultRow], title: str | None = None) -> Table:
    """Return a rich table; columns that no row fills are left out."""
    from rich import box
    from rich.table import Table

    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        caption="CI: bootstrap over runs and episodes. IQM: mean of the middle half.",
        caption_justify="left",
    )
    header, *lines = cells(rows)
    first, *others = header
    table.add_column(first, overflow="fold")  # long names are wrapped, numbers never cut
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    return table


def markdown_table(rows: Sequence[ResultRow]) -> str:
    """Return a Markdown table of the same columns."""
    header, *lines = cells(rows)
    rule = [":--", *["--:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *lines]) + "\n"


def cells(rows: Sequence[ResultRow]) -> list[list[str]]:
    """Return the header and one line of texts a row."""
    optional = {
        "score": [percent(row.normalised) for row in rows],
        "success": [percent(None if row.success is None else 100 * row.success) for row in rows],
    }
    shown = {name: texts for name, texts in optional.items() if any(texts)}
    lines = [
        [
            row.name,
            *_numbers(row.summary),
            row.origin or _count(row.summary),
            *(texts[index] for texts in shown.values()),
        ]
        for index, row in enumerate(rows)
    ]
    return [[*COLUMNS, *shown], *lines]


def _numbers(numbers: Summary) -> list[str]:
    if numbers.n == 1:  # one value has no interval, and no quarters to leave out
        return [number(numbers.mean), "", "", ""]
    return [
        number(numbers.mean),
        interval(numbers.low, numbers.high),
        number(numbers.iqm),
        interval(numbers.iqm_low, numbers.iqm_high),
    ]


def number(value: float) -> str:
    """Write a return to three significant digits or more, without an exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def interval(low: float, high: float) -> str:
    """Write an interval."""
    return f"{number(low)}–{number(high)}" if low >= 0 else f"{number(low)} to {number(high)}"


def percent(value: float | None) -> str:
    """Write a percentage; nothing where there is none."""
    return "" if value is None else f"{value:.1f}%"


def _count(numbers: Summary) -> str:
    return f"{numbers.n} ({numbers.runs} seeds)" if numbers.runs > 1 else str(numbers.n)
