"""`vrl train`: train an algorithm on logged episodes, or go on with a run."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from vrl_core.allocator import reexec_with_allocator
from vrl_core.errors import VRLError
from vrl_core.flags import Request, load_config, parse_run, split_words
from vrl_core.registry import Registry
from vrl_core.run_config import RunConfig
from vrl_core.store_config import StoreDataset

USAGE = (
    ("vrl train ALGORITHM --data FOLDER [flags]", "learn from a store"),
    ("vrl train ALGORITHM dataset:NAME --dataset.FIELD VALUE [flags]", "or from any dataset"),
    ("vrl train --config FILE.yaml [flags]", "a file, with flags on top"),
    ("vrl train --resume RUN", "go on with a run that was interrupted"),
    ("vrl train --resume RUN --steps N", "or to N updates instead of those it began with"),
    ("vrl train ALGORITHM --help", "every flag of an algorithm"),
)
EXAMPLES = (
    "vrl train drq-bc --preset small --data data/walker_walk/expert/64px-fast",
    "vrl train bc dataset:v-d4rl --dataset.path vd4rl/main/walker_walk/expert/84px --seed 1",
    "vrl train my-algorithm --plugin my_algorithm.py --data data/walker_walk/expert/64px-fast",
)


def main(arguments: Sequence[str], registry: Registry) -> int:
    """Train; the status is 0 when the run came to its end."""
    request = split_words(arguments)
    if request.wants_help and request.algorithm is None and request.file is None:
        print_help(registry)
        return 0
    steps: dict[str, int] = {}
    if request.resume is not None:
        config, folder, steps = _to_resume(request, registry)
    else:
        config = parse_run(request, registry)
        folder = config.output or default_folder(config, registry)
    # Before torch is imported, and after everything that may be refused at once.
    reexec_with_allocator()

    from vrl_core.train import train

    print(f"run: {folder}", file=sys.stderr)
    resume = request.resume is not None
    train(config, registry=registry, folder=folder, resume=resume, steps=steps)
    print(f"Finished. See: vrl evaluate {folder}, vrl report {folder}", file=sys.stderr)
    return 0


def _to_resume(request: Request, registry: Registry) -> tuple[RunConfig, Path, dict[str, int]]:
    """Return configuration and folder of the run to go on with, and its new numbers of updates.

    Raises `VRLError` for further words, which would make it another run.
    """
    assert request.resume is not None
    steps, words = split_steps(request.words)
    others = [w for w in (request.algorithm, request.preset, request.file) if w is not None]
    if others or words:
        said = " ".join(str(word) for word in (*others, *words))
        raise VRLError(
            "--resume goes on with a run as it was begun and takes nothing else but how far: "
            f"--steps N, or --<phase>-steps N of the phase under way, and not {said}. "
            "For a run with other settings: vrl train --config "
            f"{request.resume / 'config.yaml'} --output FOLDER [flags]"
        )
    file = request.resume / "config.yaml"
    if not file.is_file():
        raise VRLError(f"There is no run in {request.resume}: it holds no config.yaml.")
    return load_config(file, registry), request.resume, steps


def split_steps(words: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    """Take out `--steps N` and `--<phase>-steps N`; return the numbers by setting, and the rest.

    Raises `VRLError` for what is no whole number.
    """
    steps: dict[str, int] = {}
    rest: list[str] = []
    remaining = iter(words)
    for word in remaining:
        flag, equals, value = word.partition("=")
        name = flag.removeprefix("--").replace("-", "_")
        if not (flag.startswith("--") and re.fullmatch(r"(\w+_)?steps", name)):
            rest.append(word)
            continue
        number = value if equals else next(remaining, "")
        if not number.isdecimal():
            raise VRLError(f"{flag} needs a whole number of updates, not {number or 'nothing'}.")
        steps[name] = int(number)
    return steps, rest


def default_folder(config: RunConfig, registry: Registry) -> Path:
    """Return `runs/<task>/<algorithm>/<time>-seed<k>`, under the current folder."""
    registered = registry.name_of(type(config.algorithm))
    algorithm = registered[1] if registered else type(config.algorithm).__name__
    moment = time.strftime("%Y-%m-%d-%H%M%S")
    return Path("runs") / task_name(config, registry) / algorithm / f"{moment}-seed{config.seed}"


def task_name(config: RunConfig, registry: Registry) -> str:
    """Return the task of the data without opening it, as far as that can be known."""
    task = getattr(config.dataset, "task", None)
    if isinstance(config.dataset, StoreDataset):
        task = _task_of_store(Path(config.dataset.path))
    registered = registry.name_of(type(config.dataset))
    name = task or (registered[1] if registered else type(config.dataset).__name__)
    return re.sub(r"[^\w.-]+", "-", str(name))


def _task_of_store(folder: Path) -> str | None:
    """Read a store's task; what is wrong with a store is said when it is opened."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        return str(manifest["spec"]["task"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def print_help(registry: Registry) -> None:
    """Print how to train, and which algorithms there are."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print("[bold]vrl train[/bold]: train an algorithm on logged episodes\n")
    algorithms = registry.options("algorithms")
    described = [(n, (cls.__doc__ or "").partition("\n")[0]) for n, cls in algorithms.items()]
    none = [("none", "install a package of algorithms, such as vrl-modelfree")]
    for title, rows in (("Usage", USAGE), ("Algorithms", described or none)):
        console.print(f"[bold]{title}[/bold]")
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
        table.add_column(style="cyan", overflow="fold")
        table.add_column(overflow="fold")
        for name, meaning in rows:
            table.add_row(name.replace("[", r"\["), meaning.replace("[", r"\["))
        console.print(table)
        console.print()
    console.print("[bold]Examples[/bold]")
    for example in EXAMPLES:
        console.print(f"  {example}", style="dim", soft_wrap=True)
