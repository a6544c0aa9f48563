"""Model and behaviour updates a second of Offline DV2, beside a straightforward version.

    python benchmarks/worldmodel.py                             # 16 x 50 and 64 x 50
    python benchmarks/worldmodel.py --batch-sizes 16 --updates 5 --rounds 3 --json out.json
    python benchmarks/worldmodel.py --batch-sizes 64 --updates 200 --device cuda

The paper's sizes: 64 px, windows of 50 observations, seven heads, horizon 5. Every measurement is a
process of its own and includes drawing the batch; VRL's and the straightforward one alternate, so
that both meet the same machine. VRL runs as `vrl train` runs it: from a store on disk, with the
training process's allocator settings, the `auto` precision, the behaviour phase's cached encodings
and, on a GPU, the whole update as one CUDA graph. From the rates at 64 x 50 follows the time of the
paper's schedule.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
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
from straightforward_worldmodel import Agent, Windows
from vrl_core.device import Captured, choose_device, use_free_cores
from vrl_core.replay import DeviceStream, Replay
from vrl_core.store import Store
from vrl_core.train import prepare_phase
from vrl_worldmodel.config import OfflineDV2Config

PHASES = ("model", "behaviour")
VARIANTS = {
    "straightforward": "straightforward",
    "straightforward-allocator": "same, VRL's allocator",
    "vrl-float32": "VRL in float32",
    "vrl-eager": "VRL, kernel by kernel",
    "vrl": "VRL as it runs",
}
SIZE, WINDOW, PAPERS_BATCH = 64, 50, 64
SCHEDULE = {"model": OfflineDV2Config().model_steps, "behaviour": OfflineDV2Config().steps}
"""Updates of the paper's run on 100,000 transitions: 800 and 2400 epochs."""
PUBLIC_CODE = {
    ("model", 16): 0.23,
    ("behaviour", 16): 0.66,
    ("model", 64): 0.052,
    ("behaviour", 64): 0.17,
}
"""Updates a second of V-D4RL's own code with two threads, measured elsewhere."""


def main() -> None:
    """Measure, print tables, and write JSON if asked."""
    arguments = parse_arguments()
    if arguments.child:
        print(json.dumps(dataclasses.asdict(measure_here(*arguments.child, arguments=arguments))))
        return
    results: dict[tuple[str, int], dict[str, list[Measurement]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        write_random_store(store, SIZE, arguments.episodes)
        for _ in range(arguments.rounds):
            for batch in arguments.batch_sizes:
                for phase in arguments.phases:
                    for variant in arguments.variants:
                        taken = measure_variant(phase, batch, variant, store, arguments)
                        results.setdefault((phase, batch), {}).setdefault(variant, []).append(taken)
    rows = [
        {"phase": phase, "batch": batch, **row}
        for (phase, batch), found in results.items()
        for row in summarise(found)
    ]
    show(rows)
    runs = schedule_minutes(rows)
    for variant, minutes in runs.items():
        print(f"The paper's schedule, {VARIANTS[variant]}: {minutes:,.1f} minutes")
    if arguments.json:
        machine = describe_machine(choose_device(arguments.device))
        found = {"machine": machine, "results": rows, "schedule_minutes": runs}
        arguments.json.write_text(json.dumps(found, indent=2))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--phases", nargs="+", choices=PHASES, default=list(PHASES))
    add("--batch-sizes", nargs="+", type=int, default=[16, 64], help=f"windows of {WINDOW} frames")
    add("--variants", nargs="+", choices=VARIANTS, default=["straightforward", "vrl"])
    add("--updates", type=int, default=3, help="timed updates in each process")
    add("--warm-up", type=int, help="untimed ones before; 1 on a CPU, 8 on a GPU")
    add("--rounds", type=int, default=2, help="processes for each variant, alternating")
    add("--device", default="auto")
    add("--episodes", type=int, default=8, help=f"random episodes of {LENGTH} steps in the store")
    add("--json", type=Path, help="file for the results")
    add("--child", nargs=4, metavar=("PHASE", "BATCH", "VARIANT", "STORE"), help=argparse.SUPPRESS)
    return parser.parse_args()


def measure_variant(
    phase: str, batch: int, variant: str, store: Path, arguments: argparse.Namespace
) -> Measurement:
    """Measure in a fresh process with the variant's allocator settings."""
    options = ["--child", phase, str(batch), variant, str(store)]
    options += ["--updates", str(arguments.updates), "--device", arguments.device]
    if arguments.warm_up is not None:
        options += ["--warm-up", str(arguments.warm_up)]
    taken = run_process(__file__, options, allocator=variant != "straightforward")
    rate = 1 / statistics.median(taken.seconds)
    name = f"{phase} {batch} x {WINDOW}, {VARIANTS[variant]}"
    print(f"{name}: {rate:.3f} updates/s", file=sys.stderr, flush=True)
    return taken


def measure_here(
    phase: str, batch: str, variant: str, folder: str, *, arguments: argparse.Namespace
) -> Measurement:
    """Time updates in this process, each with the drawing of its batch."""
    use_free_cores()
    torch.manual_seed(0)
    device = choose_device(arguments.device)
    prepare = prepare_vrl if variant.startswith("vrl") else prepare_straightforward
    update = prepare(phase, int(batch), variant, Store.open(folder), device)
    warm_up = arguments.warm_up
    if warm_up is None:
        warm_up = 8 if device.type == "cuda" else 1  # Captured takes four
    return measure(update, arguments.updates, warm_up, device)


def prepare_vrl(
    phase: str, batch: int, variant: str, store: Store, device: torch.device
) -> Callable[[], Any]:
    """Return VRL's update with its batch from the store; the behaviour's has its encodings."""
    config = OfflineDV2Config(precision="float32" if variant == "vrl-float32" else "auto")
    config = replace(config, model=replace(config.model, batch_size=batch))
    learner = config.build(store.spec, device)
    chosen = next(each for each in learner.phases if each.name == phase)
    replay = Replay(store, device)
    prepare_phase(chosen, replay, seed=0)
    batches = replay.stream(chosen.batches, seed=0)

    def update() -> Any:
        return chosen.update(next(batches))

    if device.type == "cpu" or variant == "vrl-eager":
        return update
    if not isinstance(batches, DeviceStream):
        raise SystemExit("The store does not fit the GPU, so that nothing can be recorded.")
    warnings.simplefilter("error", RuntimeWarning)  # that nothing could be recorded is one
    return Captured(update, device)


def prepare_straightforward(
    phase: str, batch: int, variant: str, store: Store, device: torch.device
) -> Callable[[], Any]:
    """Return the straightforward update, with the frames in memory."""
    del variant  # only the process's environment differs
    images, actions = np.array(store.fields["observation.image"]), np.array(store.fields["action"])
    windows = Windows(images, actions, np.array(store.fields["reward"]), LENGTH)
    agent = Agent(ACTIONS, device)
    update = agent.update_model if phase == "model" else agent.update_behaviour
    return lambda: update(windows.sample(batch, WINDOW, device))


def schedule_minutes(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return the minutes that the updates of the paper's run take, for variants with both rates."""
    seconds: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["batch"] == PAPERS_BATCH:
            taken = SCHEDULE[row["phase"]] / row["updates_per_second"]
            seconds.setdefault(row["variant"], {})[row["phase"]] = taken
    return {name: sum(parts.values()) / 60 for name, parts in seconds.items() if len(parts) == 2}


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Return what the figures depend on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {"device": name, "threads": torch.get_num_threads(), "torch": torch.__version__}


def show(rows: list[dict[str, Any]]) -> None:
    """Print the table."""
    title = f"Windows of {WINDOW} frames of {SIZE} px, median of single updates"
    table = Table(title=title, caption="public code: V-D4RL's, 2 CPU threads, measured elsewhere")
    for name in ("update", "variant"):
        table.add_column(name, no_wrap=True)
    for name in ("updates/s", "ratio", "CPU s", "CPU ratio", "peak MB", "public code"):
        table.add_column(name, justify="right")
    for row in rows:
        figures = (
            f"{row['updates_per_second']:.3f}",
            f"{row['ratio']:.2f}",
            f"{row['processor_seconds']:.2f}",
            f"{row['processor_ratio']:.2f}",
            f"{row['peak_megabytes']:,.0f}",
            f"{PUBLIC_CODE.get((row['phase'], row['batch']), '')}",
        )
        name = f"{row['phase']} {row['batch']} x {WINDOW}"
        table.add_row(name, VARIANTS[row["variant"]], *figures)
    console = Console()
    Console(width=max(console.width, 110)).print(table)


if __name__ == "__main__":
    main()
