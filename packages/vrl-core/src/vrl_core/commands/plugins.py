"""`vrl plugins`: what is installed, what it adds, and what is broken and why."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vrl_core.arguments import Arguments
from vrl_core.hooks import API_VERSION
from vrl_core.registry import KINDS, Registry, help_line

if TYPE_CHECKING:
    from rich.table import Table

DESCRIPTION = """\
List the installed plugins, what each adds, and those that were set aside with the reason.

examples:
  vrl plugins
  vrl plugins --json
  vrl plugins --plugin mine.py          with a file of your own
  VRL_BLOCK=some-package vrl plugins    without a plugin that gets in the way
"""


def main(arguments: Sequence[str], registry: Registry) -> int:
    """List plugins; the status is 0 even when some are broken, so that the list can be read."""
    parser = Arguments("vrl plugins", DESCRIPTION)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    if parser.parse_args(arguments).json:
        print(json.dumps(listing(registry), indent=2))
    else:
        print_tables(registry)
    return 0


def listing(registry: Registry) -> dict[str, Any]:
    """Return the plugins and problems as plain data, with each name's class and help."""
    return {
        "api_version": API_VERSION,
        "plugins": [
            {
                **dataclasses.asdict(plugin.provider),
                "adds": {kind: list(names) for kind, names in plugin.adds.items()},
            }
            for plugin in registry.plugins
        ],
        "problems": [dataclasses.asdict(problem) for problem in registry.problems],
        "help": {
            kind: {name: help_line(cls) for name, cls in registry.options(kind).items()}
            for kind in KINDS
        },
    }


def print_tables(registry: Registry) -> None:
    """Print the plugins, what there is to choose from, and the problems."""
    from rich.console import Console

    console = Console(highlight=False)
    console.print(_plugins_table(registry))
    console.print(_names_table(registry))
    if registry.problems:
        console.print(_problems_table(registry))


def _plugins_table(registry: Registry) -> Table:
    table = _table("Plugins", "distribution", "version", "adds")
    for plugin in registry.plugins:
        adds = [f"[dim]{kind}[/dim] {', '.join(names)}" for kind, names in plugin.adds.items()]
        provider = plugin.provider
        table.add_row(_literal(provider.distribution), provider.version, "\n".join(adds))
    return table


def _names_table(registry: Registry) -> Table:
    table = _table("What there is to choose from", "kind", "name", "what it is")
    for kind in KINDS:
        for row, (name, cls) in enumerate(registry.options(kind).items()):
            table.add_row(f"[dim]{kind}[/dim]" if row == 0 else "", name, _literal(help_line(cls)))
    return table


def _problems_table(registry: Registry) -> Table:
    table = _table("[red]Set aside[/red]", "what", "version", "module", "why")
    for problem in registry.problems:
        columns = (problem.source, problem.version, problem.module, problem.reason)
        table.add_row(*(_literal(text) for text in columns))
    return table


def _table(title: str, *columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, title_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _literal(text: str) -> str:
    from rich.markup import escape

    return escape(text)
