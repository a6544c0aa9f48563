"""Conversion of every format into a store, beside what decompressing the same files costs.

    python benchmarks/convert.py [--formats lompo d4rl] [--episodes 8] [--size 64] [--rounds 3]

Writes episodes of 501 rows into a temporary folder, reads all their arrays by the format's own
library alone (`numpy.load`, h5py, pyarrow and Pillow, PyAV, safetensors, memory maps), reads them
as VRL's episodes, does the first and writes their bytes into one file, and converts them as `vrl
data convert` does, with one worker: with checks, checksums, a journal and a manifest. Times are of
the processor. No converter is faster than the third.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from vrl_core.hooks import DatasetConfig
from vrl_core.ingest import write_store

sys.path.append(str(Path(__file__).parent.parent / "packages/vrl-envs/tests"))
from format_files import FORMATS, Format

ROWS = 501
MORE = 20
"""Times as many episodes of the formats whose rows are narrow, which are read in no time."""
LOAD, READ, WRITE, CONVERT = "load", "read", "load, bytes written", "vrl data convert"


def main() -> None:
    """Measure in turn and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--formats", nargs="+", choices=tuple(FORMATS), default=tuple(FORMATS))
    parser.add_argument("--episodes", type=int, default=8)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    table = Table()
    for name in ("format", "rows/s", "reading to load", "all to load", "all to load and write"):
        table.add_column(name, justify="right" if table.columns else "left")
    for name in options.formats:
        taken = measured(FORMATS[name], options)
        pace = options.episodes * (1 if FORMATS[name].images else MORE) * ROWS / taken[CONVERT]
        pairs = ((READ, LOAD), (CONVERT, LOAD), (CONVERT, WRITE))
        ratios = [f"{taken[one] / taken[other]:.2f}" for one, other in pairs]
        print(name, f"{pace:,.0f}", *ratios, flush=True)
        table.add_row(name, f"{pace:,.0f}", *ratios)
    Console().print(table)


def measured(each: Format, options: argparse.Namespace) -> dict[str, float]:
    """Return the median seconds of each way, of rounds in which they alternate."""
    taken: dict[str, list[float]] = {name: [] for name in (LOAD, READ, WRITE, CONVERT)}
    episodes = options.episodes * (1 if each.images else MORE)
    with tempfile.TemporaryDirectory() as root:
        files = Path(root) / "files"
        config = each.write(files, [ROWS] * episodes, options.size)
        seconds_of_converting(config, Path(root) / "warm")
        for round_ in range(options.rounds):
            taken[LOAD].append(seconds_of_loading(each, files, None))
            taken[READ].append(seconds_of_reading(config))
            taken[WRITE].append(seconds_of_loading(each, files, Path(root) / "bytes"))
            store = Path(root) / f"store{round_}"
            taken[CONVERT].append(seconds_of_converting(config, store))
    return {name: statistics.median(found) for name, found in taken.items()}


def seconds_of_loading(each: Format, files: Path, output: Path | None) -> float:
    """Return the processor time of reading every array, and of writing all into a file."""
    start = time.process_time()
    if output is None:
        for _ in each.load(files):
            pass
    else:
        with output.open("wb") as kept:
            for array in each.load(files):
                kept.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return time.process_time() - start


def seconds_of_reading(config: DatasetConfig) -> float:
    """Return the processor time of opening a dataset and reading its episodes."""
    start = time.process_time()
    dataset = config.build()
    for index in range(len(dataset)):
        dataset[index]
    return time.process_time() - start


def seconds_of_converting(config: DatasetConfig, store: Path) -> float:
    """Return the processor time of the whole conversion, from finding the files to the manifest."""
    start = time.process_time()
    write_store(config, store, workers=1)
    return time.process_time() - start


if __name__ == "__main__":
    main()
