"""`vrl data tasks`: what can be collected here, from which dataset, in which qualities."""

from __future__ import annotations

import json as json_format
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tyro

from vrl_core.errors import unknown_name

if TYPE_CHECKING:
    from vrl_core.registry import Registry

QUALITIES_WIDTH = 24
"""Characters of a line that qualities have, in which the longest, `medium_expert`, fits."""


@dataclass(frozen=True, kw_only=True)
class Tasks:
    """List every task that data can be collected for here, with the qualities it comes in."""

    words: tyro.conf.Positional[tuple[str, ...]] = ()
    """Only tasks, or datasets, with one of these words in their name."""
    json: bool = False
    """Print JSON instead of a table."""


def tasks(words: Sequence[str], registry: Registry) -> int:
    """Run `vrl data tasks`. Raises `VRLError` when nothing has the words in its name."""
    given = tyro.cli(Tasks, prog="vrl data tasks", args=list(words))
    found = collectable(registry, given.words)
    if not found:
        known = [name for each in collectable(registry, ()) for name in each["tasks"]]
        said = " ".join(given.words)
        raise unknown_name("task to collect", said, known, listed_by="vrl data tasks")
    if given.json:
        print(json_format.dumps(found, indent=2))
    else:
        _print(found)
    return 0


def collectable(registry: Registry, words: Sequence[str]) -> list[dict[str, list[str] | str]]:
    """Return dataset, tasks and qualities of every dataset that is collected here.

    With words, only tasks with one of them in their name, or all where the dataset's has it.
    """
    found: list[dict[str, list[str] | str]] = []
    for name, cls in registry.options("datasets").items():
        whole = not words or any(word in name for word in words)
        chosen = [task for task in cls.tasks if whole or any(word in task for word in words)]
        if chosen:
            found.append({"dataset": name, "tasks": chosen, "qualities": list(cls.qualities)})
    return found


def _print(found: Sequence[dict[str, list[str] | str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=True)
    table.add_column("dataset", no_wrap=True)
    table.add_column("tasks")
    table.add_column("qualities", width=QUALITIES_WIDTH, overflow="fold")
    for each in found:
        table.add_row(str(each["dataset"]), ", ".join(each["tasks"]), ", ".join(each["qualities"]))
    console = Console(highlight=False)
    # Names are there to be typed: a line may be too long for the terminal, but loses none.
    whole = Measurement.get(console, console.options.update(max_width=sys.maxsize), table)
    console.width = max(console.width, whole.minimum)
    console.print(table)
    first = found[0]
    task, quality = first["tasks"][0], (*first["qualities"], "random")[0]
    console.print("Not every task has every quality: collecting says which behaviours there are.")
    console.print(
        f"vrl data collect --task {task} --quality {quality}", style="dim", soft_wrap=True
    )
