"""`vrl data`: make datasets, look at them, hand them on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import tyro

from vrl_core.errors import VRLError, unknown_name
from vrl_core.plugin_choices import flag_names, refuse_unknown_flag

if TYPE_CHECKING:
    from vrl_core.registry import Registry

COMMANDS: Mapping[str, str] = {
    "tasks": "List the tasks that can be collected here, and in which qualities",
    "collect": "Make a dataset in a simulator, with a shipped policy",
    "convert": "Turn files of another format into a store",
    "download": "Fetch a published dataset and turn it into a store",
    "check": "Read stores whole and list everything that is wrong",
    "stats": "Returns, in the columns of V-D4RL's Table 5",
    "view": "A page of film strips, rewards and actions, or a video",
    "export": "Write Minari's format",
}
EXAMPLES = (
    "vrl data tasks walker",
    "vrl data collect --task walker_walk --quality expert --size 64 --episodes 200",
    "vrl data download v-d4rl/walker_walk/medium_expert/84px",
    "vrl data convert downloads/walker_walk/expert/64px data/walker",
    "vrl data stats data/walker_walk/*/*",
    "vrl data view data/walker_walk/expert/64px",
)
FlagsT = TypeVar("FlagsT")


def main(arguments: Sequence[str], registry: Registry) -> int:
    """Run one data command and return its exit status."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print_help()
        return 0
    command, *words = arguments
    if command not in COMMANDS:
        raise unknown_name("data command", command, COMMANDS, "See: vrl data --help")
    if command == "collect":
        _refuse_unknown_flags(words, registry)
    if command in ("tasks", "collect", "convert", "download"):
        return _source_command(command)(words, registry)
    return {"check": check, "stats": stats, "view": view, "export": export}[command](words)


def _refuse_unknown_flags(words: Sequence[str], registry: Registry) -> None:
    """Raise `VRLError` for a flag that no dataset has, where no task says which of them is meant.

    Without it a misspelt `--task` would be answered with a question for the task.
    """
    if any(word.partition("=")[0] == "--task" for word in words):
        return
    collectors = [kind for kind in registry.options("datasets").values() if kind.tasks]
    flags = {flag for kind in collectors for flag in flag_names(kind)}
    for word in words if flags else ():
        refuse_unknown_flag(word, flags | {"--output", "--workers"}, "vrl data collect")


def print_help() -> None:
    """Print what `vrl data` can do."""
    print_commands("vrl data", COMMANDS, EXAMPLES)


def print_commands(name: str, commands: Mapping[str, str], examples: Sequence[str]) -> None:
    """Print the commands of a command, such as `vrl data`, with examples."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(f"usage: [bold]{name}[/bold] COMMAND ...      {name} COMMAND --help\n")
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column()
    for command, meaning in commands.items():
        table.add_row(command, meaning)
    console.print(table)
    console.print("\n[bold]Examples[/bold]")
    for example in examples:
        console.print(f"  [dim]{example}[/dim]", soft_wrap=True)


def _source_command(command: str) -> Callable[[Sequence[str], Registry], int]:
    from vrl_core.commands import data_sources
    from vrl_core.commands.data_tasks import tasks

    return {
        "tasks": tasks,
        "collect": data_sources.collect,
        "convert": data_sources.convert,
        "download": data_sources.download,
    }[command]


def flags(kind: type[FlagsT], command: str, words: Sequence[str]) -> FlagsT:
    """Parse a data command's words."""
    return tyro.cli(kind, prog=f"vrl data {command}", args=list(words))


Stores = Annotated[tuple[Path, ...], tyro.conf.arg(metavar="STORE [STORE ...]")]


@dataclass(frozen=True, kw_only=True)
class Check:
    """Read stores whole and list every truncated, corrupted, missing or foreign file.

    Exits with 1 when anything is wrong. An unfinished store (`<store>.partial`) can be checked too.
    """

    stores: tyro.conf.Positional[Stores]
    """Folders of stores."""


SIGNS = ("action.npy", "journal.jsonl")
"""Files that tell a store which lost its manifest, or has none yet, from any other folder."""


def check(words: Sequence[str]) -> int:
    """Run `vrl data check`."""
    given = _required(flags(Check, "check", words).stores, "check")
    return max([_checked(folder) for folder in given])


def _checked(folder: Path) -> int:
    """Check a store; one that is missing or unreadable keeps no other from being checked."""
    try:
        return _check_one(folder)
    except VRLError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _check_one(folder: Path) -> int:
    from rich.console import Console

    from vrl_core.ingest_progress import shown_reading
    from vrl_core.store import Store, staging_folder
    from vrl_core.store_check import check_staging, check_store
    from vrl_core.store_manifest import MANIFEST, STAGING_SUFFIX

    console = Console(highlight=False, soft_wrap=True)
    if not folder.exists() and staging_folder(folder).is_dir():
        folder = staging_folder(folder)
    unfinished = folder.suffix == STAGING_SUFFIX
    if not folder.is_dir() or not any((folder / n).exists() for n in (MANIFEST, *SIGNS)):
        Store.open(folder)  # says why there is none
    problems = []
    with shown_reading(f"checking {folder}") as on_episode:
        for problem in (check_staging if unfinished else check_store)(folder, on_episode):
            problems.append(problem)
    for problem in problems:
        console.print(f"[red]{folder}[/red]: {problem}", markup=True)
    if not problems:
        console.print(_sound(folder, unfinished))
    return 1 if problems else 0


def _sound(folder: Path, unfinished: bool) -> str:
    from vrl_core.store import Store
    from vrl_core.store_manifest import read_journal

    if not unfinished:
        store = Store.open(folder)
        rows = f"{len(store)} episodes, {int(store.lengths.sum()):,} steps"
        return f"[green]{folder}: OK[/green] ({rows}, every checksum matches)"
    journal = read_journal(folder)
    assert journal is not None
    state = f"{len(journal.episodes)} of {journal.total} episodes are written"
    return (
        f"[yellow]{folder}: sound so far[/yellow] ({state} and match their checksums; the command "
        "that was writing it continues)"
    )


@dataclass(frozen=True, kw_only=True)
class Stats:
    """Print the distribution of returns in the columns of V-D4RL's Table 5."""

    stores: tyro.conf.Positional[Stores]
    """Folders of stores."""
    json: bool = False
    """All digits, as JSON."""
    markdown: bool = False
    """A Markdown table."""


def stats(words: Sequence[str]) -> int:
    """Run `vrl data stats`."""
    from vrl_core import data_statistics
    from vrl_core.store import Store

    given = flags(Stats, "stats", words)
    stores = [Store.open(folder) for folder in _required(given.stores, "stats")]
    if given.json:
        print(data_statistics.statistics_json(stores))
    elif given.markdown:
        print(data_statistics.statistics_markdown(stores), end="")
    else:
        data_statistics.print_statistics(stores)
    return 0


@dataclass(frozen=True, kw_only=True)
class View:
    """Write a self-contained page of episodes, or a video.

    Shows the episodes of lowest, median and highest return unless told otherwise.
    """

    store: tyro.conf.Positional[Path]
    """Folder of the store."""
    episodes: tuple[int, ...] = ()
    """Numbers of the episodes, from 0."""
    output: Path | None = None
    """File ending in .html or .mp4; by default a page beside the store."""
    frames_per_second: float = 20.0
    """Speed of the video."""


def view(words: Sequence[str]) -> int:
    """Run `vrl data view`."""
    from vrl_core.data_view import view as write_view
    from vrl_core.store import Store

    given = flags(View, "view", words)
    store = Store.open(given.store)
    output = given.output or Path(f"{given.store}.html")
    print(write_view(store, output, given.episodes, frames_per_second=given.frames_per_second))
    return 0


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a store in Minari's format, frames unchanged unless --jpeg."""

    store: tyro.conf.Positional[Path]
    """Folder of the store."""
    output: Path | None = None
    """The dataset's folder (its name ends in -v0), or a Minari root; by default Minari's own."""
    identifier: str | None = None
    """Name for minari.load_dataset; by default the folder's, or vrl/<task>/<behaviour>-v0."""
    data_format: Literal["hdf5", "arrow", "parquet"] = "hdf5"
    """Minari's way of storing; arrow and parquet need pyarrow."""
    jpeg: bool = False
    """Store frames as JPEG: smaller, and no longer what the agent saw."""


def export(words: Sequence[str]) -> int:
    """Run `vrl data export`."""
    from vrl_core.data_export import export_minari, minari_place
    from vrl_core.ingest_progress import shown_reading
    from vrl_core.store import Store

    given = flags(Export, "export", words)
    store = Store.open(given.store)
    place = minari_place(store.spec, given.output, given.identifier)
    with shown_reading("exporting") as on_episode:
        folder = export_minari(
            store, place, data_format=given.data_format, jpeg=given.jpeg, on_episode=on_episode
        )
    print(f"{folder}\nRead it with MINARI_DATASETS_PATH={place.root} and")
    print(f'  minari.load_dataset("{place.identifier}")')
    return 0


def _required(stores: Sequence[Any], command: str) -> Sequence[Any]:
    if not stores:
        raise VRLError(f"Name at least one store: vrl data {command} data/walker_walk/expert/64px")
    return stores
