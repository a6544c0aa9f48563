"""What the benchmarks of updates share: processes, timed updates, peak memory, random data."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vrl_core.allocator import SETTINGS
from vrl_core.episodes import DataSpec, Episode, FieldSpec
from vrl_core.store_writer import StoreWriter

ACTIONS, LENGTH = 6, 250
"""Size of an action, and steps of an episode, of the random data."""


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What one process measured: time of each update, peak megabytes."""

    seconds: list[float]
    processor_seconds: list[float]
    """Seconds summed over cores; on a busy machine the fairer figure, with one thread."""
    megabytes: float
    """Resident memory, or on a GPU what torch reserved there."""


def write_random_store(folder: Path, size: int, episodes: int) -> None:
    """Write episodes of noise: an update costs the same on them."""
    images = {"image": FieldSpec((size, size, 3), "uint8")}
    spec = DataSpec(
        task="walker_walk", observations=images, action_size=ACTIONS, behaviour="expert"
    )
    random = np.random.default_rng(0)
    none = np.zeros(LENGTH, bool)
    with StoreWriter(folder, spec, episodes=episodes, origin={"benchmark": "noise"}) as writer:
        for _ in range(episodes):
            shape = (LENGTH + 1, size, size, 3)
            writer.append(
                Episode(
                    observations={"image": random.integers(0, 256, shape, dtype=np.uint8)},
                    actions=random.uniform(-1, 1, (LENGTH, ACTIONS)).astype(np.float32),
                    rewards=random.random(LENGTH, dtype=np.float32),
                    terminations=none,
                    truncations=none,
                )
            )
        writer.finish()


def run_process(script: str, arguments: Sequence[str], *, allocator: bool) -> Measurement:
    """Measure in a fresh process, which prints a `Measurement` as JSON in its last line.

    It has VRL's allocator settings, as `vrl train` gives them to its process, or the defaults.
    """
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    if allocator:
        environment |= SETTINGS
    command = [sys.executable, script, *arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return Measurement(**json.loads(done.stdout.splitlines()[-1]))


def measure(
    update: Callable[[], Any], updates: int, warm_up: int, device: torch.device
) -> Measurement:
    """Run a few updates to warm up, then time each of the others; a GPU is waited for."""
    timings = []
    for number in range(warm_up + updates):
        wall, processor = time.perf_counter(), time.process_time()
        update()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if number >= warm_up:
            timings.append((time.perf_counter() - wall, time.process_time() - processor))
    return Measurement(
        seconds=[wall for wall, _ in timings],
        processor_seconds=[processor for _, processor in timings],
        megabytes=peak_megabytes(device),
    )


def peak_megabytes(device: torch.device) -> float:
    """Return this process's peak: of resident memory, or of what it reserved on a GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / 1e6
    # Linux counts kilobytes, macOS bytes.
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def summarise(found: dict[str, list[Measurement]]) -> list[dict[str, Any]]:
    """Return a row for each variant: medians over single updates; ratios are to the first one."""
    rows: list[dict[str, Any]] = []
    for variant, measurements in found.items():
        middle = statistics.median(second for one in measurements for second in one.seconds)
        processor = statistics.median(s for one in measurements for s in one.processor_seconds)
        first = rows[0] if rows else None
        rows.append(
            {
                "variant": variant,
                "updates_per_second": 1 / middle,
                "ratio": 1 / middle / first["updates_per_second"] if first else 1.0,
                "processor_seconds": processor,
                "processor_ratio": first["processor_seconds"] / processor if first else 1.0,
                "peak_megabytes": max(one.megabytes for one in measurements),
            }
        )
    return rows
