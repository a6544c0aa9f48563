"""Updates a second and peak memory of BC, DrQ+BC and CQL, beside a straightforward version.

    python benchmarks/modelfree.py                          # all three, a few minutes
    python benchmarks/modelfree.py --algorithms drq-bc --updates 20 --rounds 3 --json out.json

Every measurement is a process of its own and includes drawing the batch; VRL's and the
straightforward one alternate, so that both meet the same machine. VRL runs as `vrl train` runs
it: from a store on disk, with the training process's allocator settings and the `auto` precision.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from measurement import (
    ACTIONS,
    LENGTH,
    Measurement,
    measure,
    run_process,
    summarise,
    write_random_store,
)
from straightforward import Agent, Frames
from vrl_core.device import use_free_cores
from vrl_core.replay import Replay
from vrl_core.store import Store
from vrl_modelfree.config import BCConfig, CQLConfig, DrQBCConfig

ALGORITHMS = {"bc": BCConfig, "drq-bc": DrQBCConfig, "cql": CQLConfig}
VARIANTS = {
    "straightforward": "straightforward",
    "straightforward-allocator": "same, VRL's allocator",
    "vrl-float32": "VRL in float32",
    "vrl": "VRL as it runs",
}
WARM_UP = 2


def main() -> None:
    """Measure, print a table, and write JSON if asked."""
    arguments = parse_arguments()
    if arguments.child:
        print(json.dumps(dataclasses.asdict(measure_here(*arguments.child, arguments=arguments))))
        return
    results: dict[str, dict[str, list[Measurement]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        write_random_store(store, arguments.size, arguments.episodes)
        for _ in range(arguments.rounds):
            for algorithm in arguments.algorithms:
                for variant in arguments.variants:
                    taken = measure_variant(algorithm, variant, store, arguments)
                    results.setdefault(algorithm, {}).setdefault(variant, []).append(taken)
    rows = [
        {"algorithm": algorithm, **row}
        for algorithm, found in results.items()
        for row in summarise(found)
    ]
    show(rows, arguments)
    if arguments.json:
        machine = {"threads": torch.get_num_threads(), "torch": torch.__version__}
        arguments.json.write_text(json.dumps({"machine": machine, "results": rows}, indent=2))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--algorithms", nargs="+", choices=ALGORITHMS, default=list(ALGORITHMS))
    add("--variants", nargs="+", choices=VARIANTS, default=["straightforward", "vrl"])
    add("--updates", type=int, default=10, help="timed updates in each process")
    add("--rounds", type=int, default=2, help="processes for each variant, alternating")
    add("--batch-size", type=int, default=256)
    add("--size", type=int, default=84, help="height and width of the images")
    add("--episodes", type=int, default=20, help=f"random episodes of {LENGTH} steps in the store")
    add("--json", type=Path, help="file for the results")
    add("--child", nargs=3, metavar=("ALGORITHM", "VARIANT", "STORE"), help=argparse.SUPPRESS)
    return parser.parse_args()


def measure_variant(
    algorithm: str, variant: str, store: Path, arguments: argparse.Namespace
) -> Measurement:
    """Measure in a fresh process with the variant's allocator settings."""
    options = ["--child", algorithm, variant, str(store)]
    options += ["--updates", str(arguments.updates), "--batch-size", str(arguments.batch_size)]
    taken = run_process(__file__, options, allocator=variant != "straightforward")
    rate = 1 / statistics.median(taken.seconds)
    print(f"{algorithm}, {VARIANTS[variant]}: {rate:.2f} updates/s", file=sys.stderr, flush=True)
    return taken


def measure_here(
    algorithm: str, variant: str, folder: str, *, arguments: argparse.Namespace
) -> Measurement:
    """Time updates in this process, each with the drawing of its batch."""
    use_free_cores()
    torch.manual_seed(0)
    prepare = prepare_vrl if variant.startswith("vrl") else prepare_straightforward
    update = prepare(algorithm, variant, Store.open(folder), arguments.batch_size)
    return measure(update, arguments.updates, WARM_UP, torch.device("cpu"))


def prepare_vrl(algorithm: str, variant: str, store: Store, batch: int) -> Callable[[], Any]:
    """Return VRL's update with its batch from the store."""
    precision = "float32" if variant == "vrl-float32" else "auto"
    config = ALGORITHMS[algorithm](batch_size=batch, precision=precision)
    learner = config.build(store.spec, torch.device("cpu"))
    (phase,) = learner.phases
    batches = Replay(store, torch.device("cpu")).stream(phase.batches, seed=0)
    return lambda: phase.update(next(batches))


def prepare_straightforward(
    algorithm: str, variant: str, store: Store, batch: int
) -> Callable[[], Any]:
    """Return the straightforward update, with the frames in memory."""
    del variant  # only the process's environment differs
    images = np.ascontiguousarray(store.fields["observation.image"].transpose(0, 3, 1, 2))
    actions, rewards = np.array(store.fields["action"]), np.array(store.fields["reward"])
    frames = Frames(images, actions, rewards, LENGTH)
    agent = Agent(algorithm, images.shape[-1], ACTIONS)
    steps = 1 if algorithm == "bc" else 3
    return lambda: agent.update(frames.sample(batch, steps))


def show(rows: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    """Print the table."""
    size, batch = arguments.size, arguments.batch_size
    table = Table(title=f"Batch {batch}, 9x{size}x{size}, median of single updates")
    for name in ("algorithm", "variant"):
        table.add_column(name, no_wrap=True)
    for name in ("updates/s", "ratio", "CPU s", "peak MB"):
        table.add_column(name, justify="right")
    for row in rows:
        figures = (row["updates_per_second"], row["ratio"], row["processor_seconds"])
        memory = f"{row['peak_megabytes']:,.0f}"
        name = VARIANTS[row["variant"]]
        table.add_row(row["algorithm"], name, *(f"{figure:.2f}" for figure in figures), memory)
    Console().print(table)


if __name__ == "__main__":
    main()
