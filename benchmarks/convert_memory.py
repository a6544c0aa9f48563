"""Peak memory of `vrl data convert`, for files of every format that are larger than the bound.

    python benchmarks/convert_memory.py [--formats d4rl lompo] [--megabytes 1500] [--shape many]

Writes files of so many decompressed megabytes into a temporary folder, as many episodes of 501 rows
or as one huge episode, converts them in processes of their own, and watches these: the largest
resident memory that any of them ever had, and the largest sum over them, in which pages that they
share count once.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from vrl_core.cli import load_registry
from vrl_core.hooks import DatasetConfig
from vrl_core.store import Store

sys.path.append(str(Path(__file__).parent.parent / "packages/vrl-envs/tests"))
import format_columns
import format_files

FORMATS = format_files.FORMATS
WIDTHS = {"d4rl": 4 * (2 * 111 + 8), "minari states": 8 * 111, "td-mpc2": 4 * 45, "relabelled": 92}
"""Bytes of a row of the formats without images."""
EPISODE = 501


@dataclasses.dataclass(frozen=True)
class Memory:
    """Megabytes."""

    process: float
    """The largest that one process had."""
    together: float
    """The largest that all had at a time."""


def main() -> None:
    """Measure in turn and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--formats", nargs="+", choices=tuple(FORMATS), default=tuple(FORMATS))
    parser.add_argument("--megabytes", type=int, default=1500)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--shape", choices=("many", "one"), default="many")
    parser.add_argument("--workers", type=int)
    options = parser.parse_args()
    format_columns.NOISE = False
    table = Table()
    for name in ("format", "MB converted", "largest process, MB", "together, MB"):
        table.add_column(name, justify="right" if table.columns else "left")
    for name in options.formats:
        with tempfile.TemporaryDirectory() as root:
            written, memory = measured(name, Path(root), options)
        cells = [f"{written:,.0f}", f"{memory.process:,.0f}", f"{memory.together:,.0f}"]
        print(name, *cells, flush=True)
        table.add_row(name, *cells)
    Console().print(table)


def measured(name: str, root: Path, options: argparse.Namespace) -> tuple[float, Memory]:
    """Write files, convert them, and return the megabytes of the store and of memory."""
    row = WIDTHS.get(name, 3 * options.size**2)
    rows = int(options.megabytes * 1e6 / row)
    lengths = [rows] if options.shape == "one" else [EPISODE] * (rows // EPISODE)
    config = FORMATS[name].write(root / "files", lengths, options.size)
    command = command_of(config, root / "converted")
    if options.workers:
        command += ["--workers", str(options.workers)]
    memory = watched(command)
    size = Store.open(root / "converted").size / 1e6
    shutil.rmtree(root / "converted")
    return size, memory


def command_of(config: DatasetConfig, store: Path) -> list[str]:
    """Return the command line that converts what a configuration names."""
    known = load_registry().options("datasets")
    name = next(name for name, kind in known.items() if kind is type(config))
    command = [sys.executable, "-m", "vrl_core.cli", "data", "convert", name]
    for field in dataclasses.fields(config):
        value, flag = getattr(config, field.name), f"--dataset.{field.name.replace('_', '-')}"
        if value == field.default or value == ():
            continue
        command.append(flag)
        if value is not True:
            command += map(str, value if isinstance(value, tuple) else (value,))
    return [*command, "--output", str(store)]


def watched(command: list[str]) -> Memory:
    """Run a command and watch its processes until it ends. Raises when it fails."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    largest, together = 0.0, 0.0
    while process.poll() is None:
        family = list(processes_of(process.pid))
        largest = max([largest, *(megabytes(pid, "status", "VmHWM") for pid in family)])
        together = max(together, sum(megabytes(pid, "smaps_rollup", "Pss") for pid in family))
        time.sleep(0.05)
    if process.returncode:
        assert process.stderr is not None
        raise RuntimeError(process.stderr.read().decode())
    return Memory(largest, together)


def processes_of(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue
        for child in children:
            found += processes_of(int(child))
    return found


def megabytes(pid: int, file: str, line: str) -> float:
    """Return a number of a process's `/proc` files, zero when it has just ended."""
    try:
        text = Path(f"/proc/{pid}/{file}").read_text()
    except OSError:
        return 0.0
    found = [each for each in text.splitlines() if each.startswith(f"{line}:")]
    return int(found[0].split()[1]) / 1e3 if found else 0.0


if __name__ == "__main__":
    main()
