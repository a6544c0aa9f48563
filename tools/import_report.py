"""Measure what importing the command line costs, module by module.

    python tools/import_report.py                          the modules that must stay light
    python tools/import_report.py vrl_core.train --top 20  any module, with its slowest imports

Each module is imported in an interpreter of its own. The columns are milliseconds beyond a bare
interpreter (the least of three), and the heavy libraries that came along. Exits with 1 when a
module that must stay light (the default ones) brings one.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from dataclasses import dataclass

HEAVY = ("torch", "numpy", "gymnasium", "mujoco", "dm_control", "matplotlib", "h5py", "scipy")
LIGHT = (
    "vrl_core.cli",
    "vrl_core.hooks",
    "vrl_core.registry",
    "vrl_core.config",
    "vrl_core.run_config",
    "vrl_core.flags",
    "vrl_core.protocols",
    "vrl_core.episodes",
    "vrl_core.errors",
    "vrl_core.plugin",
    "vrl_envs.plugin",
    "vrl_modelfree.plugin",
    "vrl_theory.plugin",
    "vrl_worldmodel.plugin",
)
REPEATS = 3

PROBE = """
import json, sys, time
start = time.perf_counter()
__import__(sys.argv[1])
seconds = time.perf_counter() - start
print(json.dumps([seconds, [name for name in sys.argv[2:] if name in sys.modules]]))
"""


@dataclass(frozen=True)
class Cost:
    """What one import costs: milliseconds, heavy libraries, and the error if it failed."""

    module: str
    milliseconds: float
    heavy: tuple[str, ...]
    error: str = ""


def measure(module: str, repeats: int = REPEATS) -> Cost:
    """Import `module` in fresh interpreters; keep the quickest."""
    command = [sys.executable, "-c", PROBE, module, *HEAVY]
    best: Cost | None = None
    for _ in range(repeats):
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            return Cost(module, 0.0, (), run.stderr.strip().splitlines()[-1])
        seconds, heavy = json.loads(run.stdout.splitlines()[-1])
        if best is None or 1000 * seconds < best.milliseconds:
            best = Cost(module, 1000 * seconds, tuple(heavy))
    assert best is not None
    return best


def slowest(module: str, count: int) -> list[tuple[float, str]]:
    """Return the modules whose own code takes longest in this import, in milliseconds."""
    command = [sys.executable, "-X", "importtime", "-c", f"import {module}"]
    trace = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    lines = re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", trace)
    return sorted(((int(own) / 1000, name) for own, name in lines), reverse=True)[:count]


def line(cost: Cost) -> str:
    """Return the row of one module."""
    return f"{cost.module:24} {cost.milliseconds:8.1f} ms  {cost.error or ', '.join(cost.heavy)}"


def main() -> int:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module", nargs="*", help="modules to import; default: the light ones")
    parser.add_argument("--top", type=int, default=0, help="also list this many slowest imports")
    arguments = parser.parse_args()
    costs = []
    for module in arguments.module or LIGHT:
        costs.append(measure(module))
        print(line(costs[-1]), flush=True)
        for milliseconds, name in slowest(module, arguments.top) if arguments.top else ():
            print(f"    {name:40} {milliseconds:8.1f} ms")
    bad = [cost for cost in costs if cost.error or (cost.heavy and cost.module in LIGHT)]
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
