"""Dynamics steps, imagined transitions and policy updates a second of MOPO, and its peak memory.

    python benchmarks/mopo.py                               # 1e6 transitions of 17 numbers
    python benchmarks/mopo.py --transitions 100000 --updates 50 --rounds 3 --json out.json

Every measurement is a process of its own on random data in a store on disk, at the published sizes
(seven networks of 4 x 200, batches of 256, rollouts of 5 steps); VRL and a straightforward version,
written as public code is, alternate, so that both meet the same machine. `whole` goes through all
of the algorithm once; its peak is the memory that a run takes. The public figures are those of
OfflineRL-Kit on two threads of such a machine, measured elsewhere.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from measurement import Measurement, measure, run_process, summarise
from straightforward_mopo import Straightforward
from vrl_core.device import choose_device, use_free_cores
from vrl_core.episodes import DataSpec, Episode, FieldSpec
from vrl_core.replay import Replay
from vrl_core.store import Store
from vrl_core.store_writer import StoreWriter
from vrl_worldmodel.mopo import MOPO
from vrl_worldmodel.mopo_config import MOPOConfig

STATES, ACTIONS, LENGTH, HORIZON = 17, 6, 1_000, 5
PUBLIC = {"dynamics": 61.0, "rollouts": 21_400.0, "policy": 113.0}
"""Updates or transitions a second of OfflineRL-Kit on two threads."""
PUBLIC_MEGABYTES = 2_100.0
VARIANTS = {
    "straightforward": "straightforward",
    "vrl": "VRL as it runs",
    "bfloat16": "VRL, --precision bfloat16",
}
UNITS = {"dynamics": "steps/s", "rollouts": "transitions/s", "policy": "updates/s", "whole": ""}
WARM_UP = 3


def main() -> None:
    """Measure, print a table, and write JSON if asked."""
    arguments = parse_arguments()
    if arguments.child:
        print(json.dumps(dataclasses.asdict(measure_here(*arguments.child, arguments=arguments))))
        return
    found: dict[str, dict[str, list[Measurement]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        write_random_states(store, arguments.transitions)
        for _ in range(arguments.rounds):
            for work in arguments.works:
                for variant in arguments.variants:
                    taken = measure_work(work, variant, store, arguments)
                    found.setdefault(work, {}).setdefault(variant, []).append(taken)
    rows = [
        row_of(work, row, arguments)
        for work, variants in found.items()
        for row in summarise(variants)
    ]
    show(rows, arguments)
    if arguments.json:
        machine = {"threads": torch.get_num_threads(), "torch": torch.__version__}
        arguments.json.write_text(json.dumps({"machine": machine, "results": rows}, indent=2))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--works", nargs="+", choices=UNITS, default=list(UNITS))
    add("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    add("--transitions", type=int, default=1_000_000, help="in the data, in whole episodes")
    add("--updates", type=int, default=100, help="timed updates in each process")
    add("--rollouts", type=int, default=10_000, help=f"rollouts of {HORIZON} steps at a time")
    add("--rounds", type=int, default=2, help="processes for each variant, alternating")
    add("--device", default="cpu")
    add("--json", type=Path, help="file for the results")
    add("--child", nargs=3, metavar=("WORK", "VARIANT", "STORE"), help=argparse.SUPPRESS)
    return parser.parse_args()


def write_random_states(folder: Path, transitions: int) -> None:
    """Write episodes of noise: an update costs the same on them."""
    episodes = max(1, transitions // LENGTH)
    states = {"state": FieldSpec((STATES,), "float32")}
    spec = DataSpec(
        task="halfcheetah", observations=states, action_size=ACTIONS, behaviour="random"
    )
    random, none = np.random.default_rng(0), np.zeros(LENGTH, bool)
    with StoreWriter(folder, spec, episodes=episodes, origin={"benchmark": "noise"}) as writer:
        for _ in range(episodes):
            noise = random.standard_normal((LENGTH + 1, STATES), dtype=np.float32)
            writer.append(
                Episode(
                    observations={"state": noise},
                    actions=random.uniform(-1, 1, (LENGTH, ACTIONS)).astype(np.float32),
                    rewards=random.random(LENGTH, dtype=np.float32),
                    terminations=none,
                    truncations=none,
                )
            )
        writer.finish()


def measure_work(
    work: str, variant: str, store: Path, arguments: argparse.Namespace
) -> Measurement:
    """Measure in a fresh process; VRL's has the allocator settings of `vrl train`."""
    options = ["--child", work, variant, str(store), "--device", arguments.device]
    options += ["--updates", str(arguments.updates), "--rollouts", str(arguments.rollouts)]
    started = time.perf_counter()
    taken = run_process(__file__, options, allocator=variant != "straightforward")
    print(
        f"{work}, {VARIANTS[variant]}: {time.perf_counter() - started:.0f} s",
        file=sys.stderr,
        flush=True,
    )
    return taken


def measure_here(
    work: str, variant: str, folder: str, *, arguments: argparse.Namespace
) -> Measurement:
    """Time one kind of work in this process, with the drawing of its batches."""
    use_free_cores()
    torch.manual_seed(0)
    device = choose_device(arguments.device)
    store = Store.open(folder)
    if variant == "straightforward":
        return measure_straightforward(work, store, arguments, device)
    config = MOPOConfig(rollouts=arguments.rollouts, rollout_length=HORIZON)
    if variant == "bfloat16":
        config = dataclasses.replace(config, precision="bfloat16")
    learner = config.build(store.spec, device)
    return WORKS[work](learner, Replay(store, device), arguments, device)


def measure_straightforward(
    work: str, store: Store, arguments: argparse.Namespace, device: torch.device
) -> Measurement:
    """Time the straightforward version's work, its data in memory."""
    published = MOPOConfig()
    rollouts = published.rollouts if work == "whole" else arguments.rollouts
    capacity = rollouts * HORIZON * published.retained_rollouts
    agent = Straightforward(transitions_of(store), device, capacity)
    if work == "dynamics":
        return measure(agent.update_dynamics, arguments.updates, WARM_UP, device)
    if work == "rollouts":
        updates = max(3, arguments.updates // 20)
        return measure(lambda: agent.roll_out(rollouts, HORIZON), updates, 1, device)
    if work == "whole":
        agent.update_dynamics()
    for _ in range(published.retained_rollouts if work == "whole" else 1):
        agent.roll_out(rollouts, HORIZON)
    return measure(agent.update_policy, arguments.updates, WARM_UP, device)


def transitions_of(store: Store) -> dict[str, np.ndarray]:
    """Return the steps of a store as arrays with a row each."""
    steps = np.ones(len(store.fields["reward"]), bool)
    steps[store.offsets + store.lengths] = False  # an episode's last row begins no step
    state = np.asarray(store.fields["observation.state"])
    return {
        "observation": state[steps],
        "next_observation": state[np.flatnonzero(steps) + 1],
        "action": store.fields["action"][steps],
        "reward": store.fields["reward"][steps, None],
        "terminal": store.fields["termination"][steps, None].astype(np.float32),
    }


def measure_dynamics(
    learner: MOPO, replay: Replay, arguments: argparse.Namespace, device: torch.device
) -> Measurement:
    """Time updates of the ensemble."""
    update = dynamics_update(learner, replay)
    return measure(update, arguments.updates, WARM_UP, device)


def dynamics_update(learner: MOPO, replay: Replay) -> Callable[[], Any]:
    """Return an update of the dynamics' phase, as the training loop makes it."""
    phase = learner.phases[0]
    assert phase.prepare is not None
    assert phase.refresh is not None
    phase.prepare(replay, 0)
    phase.refresh(0)
    batches = replay.stream(phase.batches, seed=0)
    return lambda: phase.update(next(batches))


def measure_rollouts(
    learner: MOPO, replay: Replay, arguments: argparse.Namespace, device: torch.device
) -> Measurement:
    """Time rollouts in a model that has learnt little, whose cost is that of any other."""
    learner.trainer.finished = True
    learner.prepare_policy(replay, 0)
    return measure(lambda: learner.imagine(0), max(3, arguments.updates // 20), 1, device)


def measure_policy(
    learner: MOPO, replay: Replay, arguments: argparse.Namespace, device: torch.device
) -> Measurement:
    """Time updates of the policy on real and imagined transitions."""
    learner.trainer.finished = True
    learner.prepare_policy(replay, 0)
    learner.imagine(0)
    phase = learner.phases[1]
    batches = replay.stream(phase.batches, seed=0)
    return measure(lambda: phase.update(next(batches)), arguments.updates, WARM_UP, device)


def measure_whole(
    learner: MOPO, replay: Replay, arguments: argparse.Namespace, device: torch.device
) -> Measurement:
    """Go through everything: its peak is that of a run with as many rollouts as published."""
    published = MOPOConfig(rollout_length=HORIZON)
    learner = published.build(_spec_of(learner), device)
    update = dynamics_update(learner, replay)
    for _ in range(WARM_UP):
        update()
    learner.prepare_policy(replay, 0)
    for number in range(published.retained_rollouts):
        learner.imagine(number)
    phase = learner.phases[1]
    batches = replay.stream(phase.batches, seed=0)
    return measure(lambda: phase.update(next(batches)), arguments.updates, WARM_UP, device)


def _spec_of(learner: MOPO) -> DataSpec:
    states = {"state": FieldSpec((learner.state_size,), "float32")}
    return DataSpec(
        task="halfcheetah",
        observations=states,
        action_size=learner.action_size,
        behaviour="random",
    )


WORKS = {
    "dynamics": measure_dynamics,
    "rollouts": measure_rollouts,
    "policy": measure_policy,
    "whole": measure_whole,
}


def row_of(work: str, row: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """Return a variant's rate and peak, and the public ones; transitions for rollouts."""
    each = arguments.rollouts * HORIZON if work == "rollouts" else 1
    rate = None if work == "whole" else row["updates_per_second"] * each
    public = PUBLIC.get(work)
    return {
        "work": work,
        "variant": row["variant"],
        "unit": UNITS[work],
        "rate": rate,
        "ratio": None if work == "whole" else row["ratio"],
        "processor_ratio": None if work == "whole" else row["processor_ratio"],
        "public_rate": public,
        "rate_per_processor_second": None if rate is None else each / row["processor_seconds"],
        "peak_megabytes": row["peak_megabytes"],
        "public_megabytes": PUBLIC_MEGABYTES if work == "whole" else None,
    }


def show(rows: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    """Print the table."""
    title = f"MOPO on {arguments.transitions:,} transitions, {STATES} numbers, {ACTIONS} actions"
    table = Table(title=title)
    for name in ("work", "variant", "unit"):
        table.add_column(name, no_wrap=True)
    for name in ("rate", "ratio", "CPU ratio", "per CPU s", "public", "peak MB", "public MB"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        figures = ("rate", "ratio", "processor_ratio", "rate_per_processor_second", "public_rate")
        shown = [_short(row[name]) for name in figures]
        memory = [
            f"{row[name]:,.0f}" if row[name] else ""
            for name in ("peak_megabytes", "public_megabytes")
        ]
        table.add_row(row["work"], VARIANTS[row["variant"]], row["unit"], *shown, *memory)
    console = Console()
    # No figure is cut where the terminal is narrow.
    needed = Console(width=1_000).measure(table).maximum
    Console(width=max(console.width, needed)).print(table)


def _short(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
