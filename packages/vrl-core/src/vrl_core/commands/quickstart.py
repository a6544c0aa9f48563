"""`vrl quickstart`: the whole way once, from no data to a learned policy and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vrl_core.quickstart_config import QuickstartConfig

if TYPE_CHECKING:
    from vrl_core.registry import Registry

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def main(arguments: Sequence[str], registry: Registry) -> int:
    """Run what is left of the quickstart; after Ctrl-C say how to go on."""
    import tyro

    from vrl_core.allocator import reexec_with_allocator

    config = tyro.cli(QuickstartConfig, args=list(arguments), prog="vrl quickstart")
    reexec_with_allocator()
    from rich.console import Console

    from vrl_core.quickstart import Quickstart

    console = Console(highlight=False)
    try:
        Quickstart(config=config, registry=registry, console=console).run()
    except KeyboardInterrupt:
        console.print("\nStopped. The same command goes on from here.")
        return INTERRUPTED
    return 0
