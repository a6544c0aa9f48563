"""`vrl gallery`: a page with a picture of every task that is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vrl_core.arguments import Arguments

if TYPE_CHECKING:
    from vrl_core.registry import Registry

DESCRIPTION = """\
Play a few random steps of every task that the environments show, and write a Markdown page with
the pictures beside it. What cannot be drawn here is listed with the reason.

examples:
  vrl gallery                                     gallery.md and gallery/
  vrl gallery --environments dmc --output dmc.md  of one environment
"""


def main(arguments: Sequence[str], registry: Registry) -> int:
    """Write the page; say where it is and what is not on it."""
    parser = Arguments("vrl gallery", DESCRIPTION)
    add = parser.add_argument
    add("--output", type=Path, default=Path("gallery.md"), help="the page; default: gallery.md")
    add("--environments", nargs="+", default=None, help="their names; default: all")
    add("--steps", type=int, default=6, help="steps before the picture is taken; default: 6")
    add("--seed", type=int, default=0, help="of first states and actions; default: 0")
    options = parser.parse_args(arguments)
    from rich.console import Console

    from vrl_core.gallery import write_gallery

    console = Console(highlight=False, soft_wrap=True)
    gallery = write_gallery(
        registry,
        options.output,
        environments=options.environments,
        steps=options.steps,
        seed=options.seed,
    )
    for tile in gallery.missing:
        where = f"{tile.shown.environment}: {tile.shown.name}"
        console.print(f"[yellow]not shown:[/yellow] {where}: {tile.reason}")
    console.print(f"{len(gallery.pictures)} pictures: [bold]{options.output}[/bold]")
    return 0
