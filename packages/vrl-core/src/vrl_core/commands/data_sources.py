"""`vrl data collect | convert | download`: from a source to a store."""

from __future__ import annotations

import dataclasses
import inspect
import shlex
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING
from itertools import islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import tyro

from vrl_core.errors import VRLError, known_names, unknown_name

if TYPE_CHECKING:
    from vrl_core.episodes import DataSpec
    from vrl_core.hooks import DatasetConfig
    from vrl_core.registry import Registry
    from vrl_core.store import Store

LISTED_BY = "vrl data tasks"
"""Command that lists all tasks."""
COUNTED_FILES = 10_000
"""Files of a folder that are counted to say what is in it."""
LEVELS_BELOW, INSIDE, LISTED_BELOW = 4, 1_000, 8
"""Levels of folders in which datasets are looked for, the most entries of a level that are looked
at, and the datasets that are listed."""
Workers = Annotated[int | None, tyro.conf.arg(help="Processes; by default one for each core.")]
Output = Annotated[
    Path | None,
    tyro.conf.arg(
        help="Folder of the store; by default data/<task>/<quality>/<size>px[-fast][-<variant>]."
    ),
]
Target = tyro.conf.Positional[
    Annotated[
        Path | None,
        tyro.conf.arg(metavar="[STORE]", help="Folder of the store; the same as --output."),
    ]
]


def collect(words: Sequence[str], registry: Registry) -> int:
    """Run `vrl data collect`."""
    kind = _collector(words, registry)
    given = _parse(
        "collect",
        "Make a dataset in a simulator. Run it again after an interruption: it continues.",
        [
            ("dataset", Annotated[kind, tyro.conf.arg(name="")], MISSING),
            ("output", Output, None),
            ("workers", Workers, None),
        ],
        words,
    )
    _require_known("quality", getattr(given.dataset, "quality", None), kind.qualities)
    _write(given.dataset, given.output, given.workers)
    return 0


def _collector(words: Sequence[str], registry: Registry) -> type[DatasetConfig]:
    """Return the dataset that `--task` can be collected with."""
    collectors = [kind for kind in registry.options("datasets").values() if kind.tasks]
    task = _value_of("--task", words)
    if not any(task in kind.tasks for kind in collectors):
        _refuse_contested(task, registry)
    if not collectors:
        raise VRLError(
            "No installed package can collect data. Install one, such as: pip install vrl-envs. "
            "See: vrl plugins"
        )
    tasks: dict[str, type[DatasetConfig]] = {
        task: kind for kind in reversed(collectors) for task in kind.tasks
    }
    if task is None:
        if any(word in ("-h", "--help") for word in words):
            return collectors[0]
        known = known_names(tasks, listed_by=LISTED_BY)
        raise VRLError(f"Say which task with --task. Known: {known}.")
    if task in tasks:
        return tasks[task]
    for kind in collectors:
        if kind.task_prefix and task.startswith(kind.task_prefix):
            return kind
    raise unknown_name("task", task, tasks, listed_by=LISTED_BY)


def _refuse_contested(task: str | None, registry: Registry) -> None:
    """Raise `VRLError` when the dataset that knows the task is one that two plugins add."""
    for name, kinds in registry.contested("datasets").items():
        if any(task in kind.tasks for kind in kinds):
            registry.get("datasets", name)  # says who adds it and how to leave one out


def _value_of(flag: str, words: Sequence[str]) -> str | None:
    for word, following in zip_longest(words, words[1:]):
        if word == flag:
            return following
        if word.startswith(flag + "="):
            return word.removeprefix(flag + "=")
    return None


def _require_known(noun: str, name: str | None, known: Sequence[str]) -> None:
    if known and name is not None and name not in known:
        raise unknown_name(noun, name, known)


def convert(words: Sequence[str], registry: Registry) -> int:
    """Run `vrl data convert`."""
    first, rest = (words[0], words[1:]) if words else ("--help", [])
    if first in ("-h", "--help"):
        return _convert_help(registry)
    if first in registry.names("datasets"):
        name = first
    else:
        name, rest = _recognised(Path(first), registry), ["--dataset.path", first, *rest]
    kind = registry.get("datasets", name)
    given = _parse(
        f"convert {name}",
        "Turn files of another format into a store. Run it again after an interruption.",
        [
            ("dataset", kind, MISSING),
            ("store", Target, None),
            ("output", Output, None),
            ("workers", Workers, None),
        ],
        rest,
    )
    _write(given.dataset, given.output or given.store, given.workers)
    return 0


def _convert_help(registry: Registry) -> int:
    names = ", ".join(registry.names("datasets"))
    print("usage: vrl data convert FILES [STORE] [--dataset.<setting> ...] [--workers N]")
    print("       vrl data convert DATASET --dataset.path FILES [STORE] ...\n")
    print("FILES is a file or folder whose format an installed dataset recognises by its content;")
    print(f"DATASET names one: {names}.\n")
    print("Settings of a dataset: vrl data convert DATASET --help")
    return 0


def _recognised(path: Path, registry: Registry) -> str:
    """Return the one dataset that says it can read this path."""
    if not path.exists():
        hint = f"There is also no file or folder {path}."
        raise unknown_name("dataset", str(path), registry.names("datasets"), hint)
    if (path / "manifest.json").is_file():
        raise VRLError(f"{path} is a store already. Train on it with --data {path}")
    options: Mapping[str, Any] = registry.options("datasets")
    names = _readers_of(path, options)
    if len(names) == 1:
        return names[0]
    problem = "may be read by several datasets" if names else "is of no format known here"
    below = [] if names else list(_datasets_below(path, options))
    reasons = {kind.unreadable(path) for kind in options.values() if hasattr(kind, "unreadable")}
    answers = sorted(reason for reason in reasons if reason)
    if below:
        answers.insert(0, _one_of(below))
    elif names or not answers:
        answers.append(_name_the_dataset(path, options, names))
    listed = "\n".join(answers)
    raise VRLError(f"{path} {problem}: it {found_at(path)}. {listed}")


def _readers_of(path: Path, options: Mapping[str, Any]) -> list[str]:
    return [
        name
        for name, kind in options.items()
        if hasattr(kind, "recognises") and kind.recognises(path)
    ]


def _datasets_below(path: Path, options: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """Yield what lies below a folder that one dataset recognises, with its name."""
    folders = [path]
    for _ in range(LEVELS_BELOW):
        inside = (each for folder in folders for each in sorted(folder.glob("[!.]*")))
        folders = []
        for each in list(islice(inside, INSIDE)):
            names = _readers_of(each, options)
            if len(names) == 1:
                yield names[0], each
            else:
                folders.append(each)


def _one_of(below: Sequence[tuple[str, Path]]) -> str:
    listed = "; ".join(f"{path} ({name})" for name, path in below[:LISTED_BELOW])
    more = f" and {len(below) - LISTED_BELOW} more" if len(below) > LISTED_BELOW else ""
    command = f"vrl data convert {shlex.quote(str(below[0][1]))} STORE"
    if len(below) == 1:
        return f"Below it lies a dataset: {listed}. Give its path: {command}"
    return f"Below it lie {len(below)} datasets: {listed}{more}. Give the path of one: {command}"


def _name_the_dataset(path: Path, options: Mapping[str, Any], names: Sequence[str]) -> str:
    readers = names or [name for name, kind in options.items() if hasattr(kind, "recognises")]
    known = "; ".join(f"{name} ({_summary(options[name])})" for name in readers)
    return (
        f"Name the dataset: vrl data convert DATASET --dataset.path {path} STORE, with DATASET one "
        f"of: {known or 'none'}."
    )


def found_at(path: Path) -> str:
    """Say in words which kinds of files lie at or below a path."""
    if path.is_file():
        return f"is a file of {path.stat().st_size:,} bytes"
    files = islice((each for each in path.rglob("*") if each.is_file()), COUNTED_FILES)
    kinds = Counter(each.suffix.lower() or "nameless" for each in files)
    if not kinds:
        return "holds no files"
    more = "more than " if kinds.total() == COUNTED_FILES else ""
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5))
    return f"holds {more}{kinds.total():,} files ({listed})"


def _summary(kind: Any) -> str:
    return (inspect.getdoc(kind) or "").partition("\n")[0].rstrip(".")


def download(words: Sequence[str], registry: Registry) -> int:
    """Run `vrl data download`; the dataset named before the first `/` does the work."""
    sources = {
        name: kind
        for name, kind in registry.options("datasets").items()
        if hasattr(kind, "download")
    }
    identifier, rest = (words[0], words[1:]) if words else ("--help", [])
    if identifier in ("-h", "--help"):
        print("usage: vrl data download DATASET/... [--output STORE] ...\n")
        print(f"Datasets: {', '.join(sources) or 'none is installed'}.")
        print("Settings: vrl data download DATASET/... --help")
        return 0
    name = identifier.split("/")[0]
    if name not in sources:
        raise unknown_name("dataset to download", name, sources, "See: vrl plugins")
    fetch: Any = sources[name].download
    description = (inspect.getdoc(fetch) or "").partition("\n\n")[0]
    given = _parse(f"download {identifier}", description, _parameters(fetch), rest)
    with _readable_warnings():
        result = fetch(identifier, **vars(given))
    _report(result)
    return 0


def _parameters(function: Any) -> list[tuple[str, Any, Any]]:
    """Return name, type and default of a function's parameters but the first, which is given.

    Only their annotations are resolved: what a function returns may be known to type checkers only.
    """
    _, *parameters = inspect.signature(function).parameters.values()
    annotations = {each.name: each.annotation for each in parameters}
    holder = type("Parameters", (), {"__annotations__": annotations})
    module = vars(sys.modules[function.__module__])
    hints = get_type_hints(holder, globalns=module, include_extras=True)
    missing = inspect.Parameter.empty
    return [
        (each.name, hints[each.name], MISSING if each.default is missing else each.default)
        for each in parameters
    ]


def _parse(
    command: str, description: str, fields: Sequence[tuple[str, Any, Any]], words: Sequence[str]
) -> Any:
    """Parse words into an object of these fields: name, type, default."""
    kind = dataclasses.make_dataclass(
        "Flags",
        [
            (name, annotation)
            if default is MISSING
            else (name, annotation, dataclasses.field(default=default))
            for name, annotation, default in fields
        ],
        kw_only=True,
    )
    return tyro.cli(kind, prog=f"vrl data {command}", description=description, args=list(words))


def _write(config: DatasetConfig, output: Path | None, workers: int | None) -> None:
    from vrl_core.ingest import write_store
    from vrl_core.ingest_progress import shown_progress

    folder = output or _default_folder_of(config)
    try:
        with _readable_warnings(), shown_progress(str(folder)) as on_progress:
            store = write_store(config, folder, workers=workers, on_progress=on_progress)
    except KeyboardInterrupt:
        kept = f"{folder}: what was written is kept; the same command continues."
        print(kept, file=sys.stderr)
        raise
    _report(store)


def _default_folder_of(config: DatasetConfig) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the dataset is opened once more for writing
        folder = default_folder(config.build().spec)
    variant = config.variant()
    return folder.with_name(f"{folder.name}-{variant}") if variant else folder


@contextmanager
def _readable_warnings() -> Iterator[None]:
    """Print warnings as a line for a reader, without the place in the code that gave them."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        print(f"warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def default_folder(spec: DataSpec) -> Path:
    """Return `data/<task>/<quality>/<size>px[-fast]`, or `.../state` for data without images."""
    images = [field.shape for field in spec.observations.values() if len(field.shape) == 3]
    if not images:
        return Path("data", spec.task, spec.behaviour, "state")
    height, width = images[0][:2]
    size = f"{height}px" if height == width else f"{height}x{width}px"
    suffix = "-fast" if spec.render_quality == "fast" else ""
    return Path("data", spec.task, spec.behaviour, size + suffix)


def _report(result: Store | Path | None) -> None:
    """Say what there is now, and what one can do with it."""
    from rich.console import Console

    from vrl_core.data_statistics import print_statistics
    from vrl_core.store import Store

    if not isinstance(result, Store):
        if result is not None:
            print(result)
        return
    console = Console(highlight=False, soft_wrap=True)
    print_statistics([result])
    console.print(f"{result.path}  ({len(result)} episodes, {result.size / 1e6:,.0f} MB)")
    console.print(f"[dim]look at it: vrl data view {result.path}[/dim]")
