"""Conversion of V-D4RL's files into a store, beside what decompressing them costs.

    python benchmarks/convert.py [--episodes 8] [--size 64] [--rounds 3]

Writes episodes of the walker as V-D4RL's compressed `.npz` into a temporary folder, reads all their
arrays by `numpy.load` alone, does that and writes their bytes into one file, and converts them as
`vrl data convert` does, with one worker: with checks, checksums, a journal and a manifest. Rates
are of processor time. No converter is faster than the second.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from vrl_core.ingest import write_store
from vrl_envs.dmc.config import DMCDataset
from vrl_envs.readers.vd4rl_config import VD4RL

LOAD, WRITE, CONVERT = "numpy.load alone", "numpy.load, and the bytes written", "vrl data convert"


def main() -> None:
    """Measure in turn and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--episodes", type=int, default=8)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "walker_walk" / "random" / f"{options.size}px"
        rows = write_files(folder, options.episodes, options.size)
        taken: dict[str, list[float]] = {name: [] for name in (LOAD, WRITE, CONVERT)}
        for round_ in range(options.rounds):
            taken[LOAD].append(seconds_of_loading(folder, None))
            taken[WRITE].append(seconds_of_loading(folder, Path(root) / f"bytes{round_}"))
            store = Path(root) / f"store{round_}"
            taken[CONVERT].append(seconds_of_converting(folder, store))
    show({name: statistics.median(found) for name, found in taken.items()}, rows)


def write_files(folder: Path, episodes: int, size: int) -> int:
    """Write episodes as V-D4RL has them; return the number of their rows."""
    folder.mkdir(parents=True)
    dataset = DMCDataset(quality="random", size=size, episodes=episodes).build()
    rows = 0
    for index in range(episodes):
        episode = dataset[index]
        count = len(episode) + 1
        rows += count
        np.savez_compressed(
            folder / f"20220101T00000{index}-{'ab' * 16}-{count}.npz",
            image=episode.observations["image"],
            # A row holds what led to it; the first one nothing.
            action=np.concatenate([np.zeros_like(episode.actions[:1]), episode.actions]),
            reward=np.concatenate([[0.0], episode.rewards]),
            discount=np.ones(count),
            is_first=np.arange(count) == 0,
            is_last=np.arange(count) == count - 1,
            is_terminal=np.zeros(count, bool),
        )
    return rows


def seconds_of_loading(folder: Path, output: Path | None) -> float:
    """Return the processor time of decompressing every array, and of writing all into a file."""
    start = time.process_time()
    with (output or Path(os.devnull)).open("wb") as kept:
        for path in sorted(folder.glob("*.npz")):
            with np.load(path) as file:
                for name in file.files:
                    array = file[name]
                    if output is not None:
                        kept.write(array.data)
    return time.process_time() - start


def seconds_of_converting(folder: Path, store: Path) -> float:
    """Return the processor time of the whole conversion, from finding the files to the manifest."""
    start = time.process_time()
    write_store(VD4RL(path=str(folder)), store, workers=1)
    return time.process_time() - start


def show(taken: dict[str, float], rows: int) -> None:
    """Print the table."""
    table = Table(title=f"{rows:,} frames")
    table.add_column("")
    for name in ("frames/s of processor time", "times numpy.load's time"):
        table.add_column(name, justify="right")
    for name, seconds in taken.items():
        ratio = seconds / taken[LOAD]
        table.add_row(name, f"{rows / seconds:,.0f}", f"{ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
