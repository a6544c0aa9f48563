"""The `vrl` command: finds the command's module, hands it its words, and prints errors."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vrl_core.commands import COMMANDS
from vrl_core.errors import VRLError, unknown_name

if TYPE_CHECKING:
    from vrl_core.registry import Registry

INTERRUPTED = 128 + signal.SIGINT
"""Exit status after Ctrl-C, as shells have it."""
MISUSED = 2
"""Exit status of parsers."""

EXAMPLES = (
    ("vrl plugins", "what there is to choose from"),
    ("vrl data collect --task walker_walk --quality expert --episodes 200", "make a dataset"),
    ("vrl train drq-bc --preset small --data data/walker_walk/expert/64px-fast", "learn from it"),
    ("vrl train --resume runs/walker_walk/drq-bc/…", "go on after an interruption"),
    ("vrl report runs/walker_walk/*/*", "tables, curves, videos"),
)

GLOBAL_FLAGS = (
    ("--plugin FILE.py", "load a file as a plugin (repeatable; also VRL_PLUGINS)"),
    ("--traceback", "show the traceback of an error (also VRL_TRACEBACK=1)"),
    ("--version", "show VRL's version"),
    ("-h, --help", "show this, or a command's help"),
)


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """A command line taken apart."""

    words: tuple[str, ...]
    """The command and its own words."""
    plugins: tuple[Path, ...] = ()
    """Files given with `--plugin`."""
    traceback: bool = False
    """Whether errors show where they were raised."""


def parse(arguments: Sequence[str]) -> Invocation:
    """Take the flags that every command knows out of the words, wherever they stand."""
    words: list[str] = []
    plugins: list[Path] = []
    traceback = os.environ.get("VRL_TRACEBACK", "") not in ("", "0")
    rest = iter(arguments)
    for word in rest:
        if word == "--":
            words += ["--", *rest]
        elif word == "--traceback":
            traceback = True
        elif word == "--plugin":
            plugins.append(Path(_value_of("--plugin", next(rest, None))))
        elif word.startswith("--plugin="):
            plugins.append(Path(word.removeprefix("--plugin=")))
        else:
            words.append(word)
    return Invocation(words=tuple(words), plugins=tuple(plugins), traceback=traceback)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; nothing a user can cause shows a traceback."""
    if arguments is None:
        arguments = sys.argv[1:]
        warnings.formatwarning = _one_line_warning
    else:
        # Called from Python, the process is not ours to start again (see `allocator.py`).
        os.environ["VRL_ALLOCATOR"] = "default"
    try:
        invocation = parse(arguments)
    except VRLError as error:
        return _fail(error)
    try:
        status = run(invocation)
        sys.stdout.flush()
        return status
    except VRLError as error:
        if invocation.traceback:
            raise
        return _fail(error)
    except SystemExit as stop:
        # Parsers print what they do not understand and leave with 2, which is an error like others.
        if stop.code != MISUSED:
            raise
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough; without this, Python complains once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _one_line_warning(message: Warning | str, *_: object, **__: object) -> str:
    """Word a warning as a user reads it: the source line that gave it is of no use to them."""
    return f"warning: {message}\n"


def run(invocation: Invocation) -> int:
    """Run the command that was asked for."""
    if not invocation.words or invocation.words[0] in ("-h", "--help", "help"):
        print_help(load_registry(invocation.plugins))
        return 0
    command, *words = invocation.words
    if command == "--version":
        print(f"vrl {version()}")
        return 0
    registry = load_registry(invocation.plugins)
    if command in COMMANDS:
        module = importlib.import_module(f"vrl_core.commands.{command}")
        return int(module.main(words, registry))
    return run_plugin_command(command, words, registry)


def run_plugin_command(name: str, words: Sequence[str], registry: Registry) -> int:
    """Run a command that a plugin adds; raises `VRLError` with the nearest when none does."""
    if name not in registry.names("commands"):
        known = [*COMMANDS, *registry.names("commands")]
        raise unknown_name("command", name, known, f"{registry.hint} and vrl --help")
    command = registry.get("commands", name)

    from vrl_core.command_flags import parse_command

    # A plugin's run() that returns nothing has not failed.
    return int(parse_command(command, name, words, registry).run(registry) or 0)


def load_registry(files: Sequence[Path] = ()) -> Registry:
    """Return the installed plugins and those in these files; a file must load, or it is an error.

    An installed plugin that is broken is set aside, but a file was asked for by name.
    """
    from vrl_core.registry import Registry

    registry = Registry(files=files)
    for problem in registry.problems:
        if any(problem.source == str(file) for file in files):
            raise VRLError(f"The plugin file {problem.source} does not load: {problem.reason}")
    return registry


def version() -> str:
    """Return the installed version of the core."""
    from importlib.metadata import version as installed_version

    return installed_version("vrl-core")


def print_help(registry: Registry) -> None:
    """Print what `vrl` can do, with the commands that plugins add."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    console.print("[bold]vrl[/bold]: policies from pixels, learnt from logged episodes\n")
    console.print("usage: [bold]vrl[/bold] COMMAND ...      vrl COMMAND --help\n")
    sections = (
        ("Commands", tuple(COMMANDS.items())),
        ("Commands of plugins", plugin_commands(registry)),
        ("Flags of every command", GLOBAL_FLAGS),
        ("Examples", EXAMPLES),
    )
    for title, rows in sections:
        if not rows:
            continue
        console.print(f"[bold]{title}[/bold]")
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
        table.add_column(style="cyan", overflow="fold", no_wrap=title != "Examples")
        table.add_column(style="dim" if title == "Examples" else "")
        for name, meaning in rows:
            table.add_row(name, escape(meaning))
        console.print(table)
        console.print()


def plugin_commands(registry: Registry) -> tuple[tuple[str, str], ...]:
    """Return the commands that plugins add, each with its line of help and who brings it."""
    from vrl_core.registry import help_line

    options = registry.options("commands").items()
    return tuple(
        (name, f"{help_line(cls)} ({registry.provider('commands', name)})") for name, cls in options
    )


def _value_of(flag: str, value: str | None) -> str:
    if value is None:
        raise VRLError(f"{flag} needs a file, such as: {flag} mine.py")
    return value


def _fail(error: VRLError) -> int:
    from rich.console import Console
    from rich.text import Text

    message = Text.assemble(("error: ", "bold red"), str(error))
    # Long lines are left to the terminal: a message must stay searchable when it is logged.
    Console(stderr=True).print(message, soft_wrap=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
