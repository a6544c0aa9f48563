"""Returns of stores, in the columns of V-D4RL's Tables 5 and 6 (Appendix A).

Timesteps  Mean  Std. Dev.  Min.  P25  Median  P75  Max.  and Success where the episodes tell of it
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vrl_core.store import Store

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("Timesteps", "Mean", "Std. Dev.", "Min.", "P25", "Median", "P75", "Max.")


@dataclass(frozen=True, kw_only=True)
class ReturnStatistics:
    """Distribution of undiscounted episode returns."""

    episodes: int
    timesteps: int
    """Actions in the data; the simulator took `action_repeat` times as many steps."""
    mean: float
    standard_deviation: float
    """Of the sample (n - 1); zero for one episode."""
    minimum: float
    percentile_25: float
    median: float
    percentile_75: float
    maximum: float


def return_statistics(returns: np.ndarray, lengths: np.ndarray) -> ReturnStatistics:
    """Describe returns and lengths `(episodes,)`; percentiles interpolate linearly."""
    low, median, high = np.percentile(returns, [25, 50, 75])
    return ReturnStatistics(
        episodes=len(returns),
        timesteps=int(lengths.sum()),
        mean=float(returns.mean()),
        standard_deviation=float(returns.std(ddof=1)) if len(returns) > 1 else 0.0,
        minimum=float(returns.min()),
        percentile_25=float(low),
        median=float(median),
        percentile_75=float(high),
        maximum=float(returns.max()),
    )


def store_statistics(store: Store) -> ReturnStatistics:
    """Describe the returns of a store; reads the manifest only."""
    return return_statistics(store.returns, store.lengths)


def success_rate(infos: Sequence[Mapping[str, Any]]) -> float | None:
    """Share of episodes whose info has a true `success`; None unless each says whether."""
    told = [bool(info["success"]) for info in infos if "success" in info]
    return sum(told) / len(told) if told and len(told) == len(infos) else None


def store_success(store: Store) -> float | None:
    """Share of a store's successful episodes, if they tell; reads the manifest only."""
    return success_rate([episode.info for episode in store.manifest.episodes])


def statistics_lines(stores: Sequence[Store]) -> list[list[str]]:
    """Return the header and a line of texts a store; Success is left out where none tells."""
    header, lines = ["Task", "Dataset", *COLUMNS], [statistics_cells(store) for store in stores]
    rates = [store_success(store) for store in stores]
    if any(rate is not None for rate in rates):
        header = [*header, "Success"]
        for line, rate in zip(lines, rates, strict=True):
            line.append("" if rate is None else f"{100 * rate:.1f}%")
    return [header, *lines]


def statistics_cells(store: Store) -> list[str]:
    """Return a store's row of the table: its task, its behaviour, and the columns as text."""
    numbers = store_statistics(store)
    values = (
        numbers.mean,
        numbers.standard_deviation,
        numbers.minimum,
        numbers.percentile_25,
        numbers.median,
        numbers.percentile_75,
        numbers.maximum,
    )
    texts = [f"{value:.1f}" for value in values]
    return [store.spec.task, store.spec.behaviour, f"{numbers.timesteps:,}", *texts]


def print_statistics(stores: Sequence[Store]) -> None:
    """Print the table, whole even where the terminal is narrower."""
    from rich.console import Console
    from rich.measure import Measurement

    table = statistics_table(stores)
    console = Console()
    unbounded = console.options.update(max_width=1000)
    console.width = max(console.width, Measurement.get(console, unbounded, table).maximum)
    console.print(table)


def statistics_table(stores: Sequence[Store]) -> Table:
    """Return the table for the terminal."""
    from rich import box
    from rich.table import Table

    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    header, *lines = statistics_lines(stores)
    for index, name in enumerate(header):
        table.add_column(name, justify="left" if index < 2 else "right", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    return table


def statistics_markdown(stores: Sequence[Store]) -> str:
    """Return the table in Markdown."""
    header, *lines = statistics_lines(stores)
    rule = [":--", ":--", *["--:"] * (len(header) - 2)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *lines]) + "\n"


def statistics_json(stores: Sequence[Store]) -> str:
    """Return all digits, with each store's path and what made it, as a JSON list."""
    return json.dumps([_described(store) for store in stores], indent=2)


def _described(store: Store) -> dict[str, Any]:
    spec = store.spec
    return {
        "path": str(store.path),
        "task": spec.task,
        "behaviour": spec.behaviour,
        "source": spec.source,
        "bytes": store.size,
        **asdict(store_statistics(store)),
        "success": store_success(store),
    }
