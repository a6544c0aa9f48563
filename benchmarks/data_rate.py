"""Rates at which batches are made: DrQ+BC's, BC's and a world model's, from memory maps.

    python benchmarks/data_rate.py [--frames 20000] [--size 84] [--seconds 5] [--json]

Writes a store of random frames into a temporary folder (deleted at the end), draws batches on the
CPU by each placement, and prints the milliseconds a batch takes (by the clock, and of processor
time, which other processes do not disturb), the rate in frames and in bytes, and how much anonymous
memory the process grew by: the store's frames stay in the page cache.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from vrl_core.batches import Batch
from vrl_core.episodes import DataSpec, Episode, FieldSpec
from vrl_core.hooks import DatasetConfig
from vrl_core.ingest import write_store
from vrl_core.protocols import Sequences, TransitionBatch, Transitions
from vrl_core.replay import Placement, Replay
from vrl_core.store import Store

REQUESTS: dict[str, Transitions | Sequences] = {
    "DrQ+BC: 256 x 3-step, stack 3": Transitions(batch_size=256, frame_stack=3, return_steps=3),
    "BC: 256 x 1-step, stack 3": Transitions(batch_size=256, frame_stack=3),
    "world model: 16 x 50": Sequences(batch_size=16, length=50),
}

PLACEMENTS: tuple[Placement, ...] = ("device", "stream")


@dataclass(frozen=True, kw_only=True)
class RandomFrames(DatasetConfig):
    """Episodes of 500 steps of random pixels."""

    episodes: int
    size: int

    def build(self) -> RandomEpisodes:
        """Create the sequence of episodes."""
        return RandomEpisodes(self)


class RandomEpisodes:
    """Episode i is drawn with seed i."""

    def __init__(self, config: RandomFrames):
        self.config = config
        image = FieldSpec((config.size, config.size, 3), "uint8")
        self.spec = DataSpec(task="random", observations={"image": image}, action_size=6)

    def __len__(self) -> int:
        return self.config.episodes

    def __getitem__(self, index: int, /) -> Episode:
        generator = np.random.default_rng(index)
        size = self.config.size
        return Episode(
            observations={"image": generator.integers(0, 256, (501, size, size, 3), np.uint8)},
            actions=generator.uniform(-1, 1, (500, 6)).astype(np.float32),
            rewards=generator.random(500, np.float32),
            terminations=np.zeros(500, bool),
            truncations=np.arange(500) == 499,
        )


def measure(
    store: Store, request: Transitions | Sequences, placement: Placement, seconds: float
) -> dict[str, Any]:
    """Draw batches for so many seconds, after five to warm up."""
    before = anonymous_megabytes()
    times = []
    replay = Replay(store, torch.device("cpu"), placement)
    with closing(replay.stream(request, seed=0)) as stream:
        for _ in range(5):
            next(stream)
        end, used = time.perf_counter() + seconds, time.process_time()
        while time.perf_counter() < end:
            start = time.perf_counter()
            batch = next(stream)
            times.append(time.perf_counter() - start)
        used = time.process_time() - used
        images = images_of(batch)
        frames = sum(image.shape[0] * image.shape[1] for image in images)
        size = frames * images[0][0, 0].nbytes
    mean = sum(times) / len(times)
    return {
        "processor_ms": 1e3 * used / len(times),
        "median_ms": 1e3 * float(np.median(times)),
        "mean_ms": 1e3 * mean,
        "batches_per_second": 1 / mean,
        "frames_per_second": frames / mean,
        "gigabytes_per_second": size / mean / 1e9,
        "grew_megabytes": anonymous_megabytes() - before,
    }


def images_of(batch: Batch) -> list[torch.Tensor]:
    """Return the frames of a batch, each `(batch, stack or time, height, width, channel)`."""
    if isinstance(batch, TransitionBatch):
        return [batch.observation["image"], batch.next_observation["image"]]
    return [batch.observations["image"]]


def anonymous_megabytes() -> float:
    """Return the memory that is the process's own, not the page cache's."""
    status = Path("/proc/self/status")
    if not status.exists():
        return float("nan")
    lines = status.read_text().splitlines()
    return next(float(line.split()[1]) / 1e3 for line in lines if line.startswith("RssAnon"))


def main() -> None:
    """Measure every request by every placement, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=84)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = RandomFrames(episodes=max(1, options.frames // 500), size=options.size)
        store = write_store(config, Path(folder) / "store", workers=1)
        results = [
            {
                "batch": name,
                "placement": placement,
                **measure(store, request, placement, options.seconds),
            }
            for name, request in REQUESTS.items()
            for placement in PLACEMENTS
        ]
    print(json.dumps(results, indent=2)) if options.json else print_table(results, options.size)


def print_table(results: list[dict[str, Any]], size: int) -> None:
    """Print a line for each request and placement."""
    table = Table(title=f"Batches from memory maps, {size} px, {torch.get_num_threads()} threads")
    columns = (
        "batch",
        "placement",
        "median ms",
        "CPU ms",
        "mean ms",
        "frames/s",
        "GB/s",
        "MB grown",
    )
    for column in columns:
        table.add_column(column, justify="left" if column in columns[:2] else "right")
    for result in results:
        table.add_row(
            result["batch"],
            result["placement"],
            f"{result['median_ms']:.1f}",
            f"{result['processor_ms']:.1f}",
            f"{result['mean_ms']:.1f}",
            f"{result['frames_per_second']:,.0f}",
            f"{result['gigabytes_per_second']:.1f}",
            f"{result['grew_megabytes']:.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
