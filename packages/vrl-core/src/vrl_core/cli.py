"""The `vrl` command: finds the command's module, hands it its words, and prints errors."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vrl_core.errors import VRLError, unknown_name

if TYPE_CHECKING:
    from vrl_core.registry import Registry

INTERRUPTED = 128 + signal.SIGINT
"""Exit status after Ctrl-C, as shells have it."""

COMMANDS: Mapping[str, str] = {
    "train": "Train an algorithm on logged episodes, or resume a run",
    "evaluate": "Evaluate the policy of one or several runs in the simulator",
    "report": "Make a page of tables, curves and videos from runs",
    "data": "Collect, convert, download, check, describe, view and export datasets",
    "plugins": "List what is installed, what it adds, and what is broken",
    "quickstart": "The whole way once: collect, train, evaluate, report",
}
"""Every command with its line of help; `commands/<name>.py` holds it."""

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
        print_help()
        return 0
    command, *words = invocation.words
    if command == "--version":
        print(f"vrl {version()}")
        return 0
    if command not in COMMANDS:
        raise unknown_name("command", command, COMMANDS, "See: vrl --help")
    module = importlib.import_module(f"vrl_core.commands.{command}")
    return int(module.main(words, load_registry(invocation.plugins)))


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


def print_help() -> None:
    """Print what `vrl` can do."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print("[bold]vrl[/bold]: policies from pixels, learnt from logged episodes\n")
    console.print("usage: [bold]vrl[/bold] COMMAND ...      vrl COMMAND --help\n")
    sections = (
        ("Commands", tuple(COMMANDS.items())),
        ("Flags of every command", GLOBAL_FLAGS),
        ("Examples", EXAMPLES),
    )
    for title, rows in sections:
        console.print(f"[bold]{title}[/bold]")
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
        table.add_column(style="cyan", overflow="fold", no_wrap=title != "Examples")
        table.add_column(style="dim" if title == "Examples" else "")
        for name, meaning in rows:
            table.add_row(name, meaning)
        console.print(table)
        console.print()


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
