"""Frames a second of `vrl data collect`, beside a plain loop in the same run.

    python benchmarks/collect.py                             # every task of the gallery
    python benchmarks/collect.py --tasks walker_walk drawer_open --episodes 3 --rounds 2

Every measurement is a fresh process. VRL's is the whole way into a store with one worker: random
actions, the quality `fast`, writing and checksums. The plain loop is the library's environment with
`mujoco.Renderer`, without multisampling, shadows and reflections, and keeps its frames in memory.
Rates are per second of processor time, so other work on the machine hardly changes them; those of
all cores are by the clock, from the first episode to the last.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from vrl_core.errors import VRLError
from vrl_core.gallery import Shown, shown_settings
from vrl_core.hooks import DatasetConfig
from vrl_core.ingest import Progress, available_cores, write_store
from vrl_core.registry import Registry

PUBLIC = {
    "dmc walker_walk": "458 to 737",
    "dmc cheetah_run": "489 to 922",
    "dmc humanoid_walk": "149 to 245",
    "metaworld drawer_open": "98 to 152",
    "metaworld door_open": "98 to 152",
    "metaworld sawyer_door_open": "75 to 122",
    "kitchen kitchen_mixed": "27 to 42",
    "adroit adroit_pen": "221",
}
"""Frames a second of such loops on one core of an idle machine, measured elsewhere; the larger
without reflections."""
VARIANTS = ("plain", "vrl", "vrl-all")


def main() -> None:
    """Measure, print the table, and write JSON if asked."""
    arguments = parse_arguments()
    registry = Registry()
    shown = [each for each in shown_settings(registry) if is_asked(each, arguments.tasks)]
    if arguments.child:
        place, variant = arguments.child
        found = measure(shown[int(place)], variant, arguments.episodes, registry)
        print(json.dumps(found), flush=True)
        if variant == "plain":
            os._exit(0)  # libraries' renderers complain when they are freed after OpenGL is
        return
    rows = []
    for place, each in enumerate(shown):
        rates: dict[str, list[float]] = {variant: [] for variant in arguments.variants}
        for _ in range(arguments.rounds):
            for variant in arguments.variants:
                rates[variant] += run_child(place, variant, arguments)
        name = f"{each.environment} {each.name}"
        middle = {v: statistics.median(found) for v, found in rates.items() if found}
        rows.append({"task": name, **middle})
        print(name, {v: round(rate) for v, rate in middle.items()}, file=sys.stderr, flush=True)
    show(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--tasks", nargs="+", help="names in the gallery; default: all")
    add("--episodes", type=int, default=3, help="of each measurement; the first is not counted")
    add("--rounds", type=int, default=1, help="processes for each variant, alternating")
    add("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    add("--json", type=Path, help="file for the results")
    add("--child", nargs=2, metavar=("PLACE", "VARIANT"), help=argparse.SUPPRESS)
    return parser.parse_args()


def is_asked(shown: Shown, tasks: list[str] | None) -> bool:
    """Whether a setting was asked for, by its name or with its environment's before it."""
    return not tasks or shown.name in tasks or f"{shown.environment} {shown.name}" in tasks


def run_child(place: int, variant: str, arguments: argparse.Namespace) -> list[float]:
    """Measure in a fresh process; nothing where there is nothing to measure."""
    options = ["--child", str(place), variant, "--episodes", str(arguments.episodes)]
    options += ["--tasks", *arguments.tasks] if arguments.tasks else []
    command = [sys.executable, __file__, *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    rate = json.loads(done.stdout.splitlines()[-1])
    return [] if rate is None else [rate]


def measure(shown: Shown, variant: str, episodes: int, registry: Registry) -> float | None:
    """Return frames a second; None where the task cannot be built or has no plain loop."""
    try:
        config = dataset_of(shown, registry, episodes)
        if variant == "plain":
            return plain_rate(shown, config)
        return collection_rate(config, 1 if variant == "vrl" else available_cores())
    except VRLError as error:
        print(f"{shown.environment} {shown.name}: {error}", file=sys.stderr)
        return None


def dataset_of(shown: Shown, registry: Registry, episodes: int) -> DatasetConfig:
    """Return the dataset of a setting's environment: random actions, drawn fast."""
    cls = registry.get("datasets", shown.environment)
    names = {field.name for field in fields(cls)}
    values: dict[str, Any] = {
        name: getattr(shown.config, name) for name in names if hasattr(shown.config, name)
    }
    values |= {"quality": "random", "episodes": episodes, "rendering": "fast"}
    config: DatasetConfig = cls(**{name: values[name] for name in values if name in names})
    return config


def collection_rate(config: DatasetConfig, workers: int) -> float:
    """Return frames a second into a store; of one worker, by its own processor time."""
    marks: list[tuple[float, int]] = []
    clock = time.process_time if workers == 1 else time.perf_counter

    def on_progress(progress: Progress) -> None:
        marks.append((clock(), progress.frames))

    with tempfile.TemporaryDirectory() as folder:
        write_store(config, Path(folder) / "store", workers=workers, on_progress=on_progress)
    first = 0 if workers == 1 else min(workers, len(marks) - 1) - 1
    (start, before), (end, after) = marks[first], marks[-1]
    return (after - before) / (end - start)


def plain_rate(shown: Shown, config: Any) -> float | None:
    """Return frames a second of the plain loop."""
    from straightforward_collect import plain_step

    step = plain_step(shown.environment, shown.config)
    if step is None:
        return None
    if "observation" in {field.name for field in fields(config)}:
        config = replace(config, observation="state")  # that draws nothing
    dataset = config.build()
    size, length = dataset.spec.action_size, len(dataset[0])
    random, kept = np.random.default_rng(0), []
    for _ in range(length):
        step(random.uniform(-1, 1, size).astype(np.float32))
    start, frames = time.process_time(), length * (len(dataset) - 1)
    for _ in range(frames):
        kept.append(step(random.uniform(-1, 1, size).astype(np.float32)))
    np.stack(kept)
    return frames / (time.process_time() - start)


def show(rows: list[dict[str, Any]]) -> None:
    """Print the table."""
    title = f"Frames a second, one core by processor time, {available_cores()} cores by the clock"
    table = Table(title=title, caption="public: such loops on one idle core, measured elsewhere")
    columns = ("plain loop", "VRL", "ratio", "all cores", "public")
    table.add_column("task", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right")
    for row in rows:
        plain, one, every = (row.get(variant) for variant in VARIANTS)
        ratio = f"{one / plain:.2f}" if one and plain else ""
        texts = [f"{rate:,.0f}" if rate else "" for rate in (plain, one)]
        last = [f"{every:,.0f}" if every else "", PUBLIC.get(row["task"], "")]
        table.add_row(row["task"], *texts, ratio, *last)
    console = Console()
    Console(width=max(console.width, 100)).print(table)


if __name__ == "__main__":
    main()
