"""Run everything that must hold: lint, types, each package alone, all together.

Called by `hatch run test`. Every stage runs even if an earlier one failed, and the last lines say
which failed and how long each took. Arguments name the stages to run: `hatch run test lint envs`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping

from monorepo import ROOT, packages


def stages() -> dict[str, tuple[str, ...]]:
    """Return the commands by name, the quickest first."""
    return {
        "lint": ("run", "lint:check"),
        "types": ("run", "types"),
        **{p.short_name: ("run", f"test.{p.short_name}:run") for p in packages().values()},
        "together": ("run", "together:run"),
    }


def environment() -> dict[str, str]:
    """Return the variables for another Hatch: this one's marks of an active environment removed."""
    marks = ("HATCH_ENV_ACTIVE", "HATCH_ENV", "VIRTUAL_ENV")
    return {key: value for key, value in os.environ.items() if key not in marks}


def run(names: list[str]) -> dict[str, tuple[bool, float]]:
    """Run the stages; return for each whether it passed and the seconds it took."""
    hatch = shutil.which("hatch")
    if hatch is None:
        sys.exit("error: `hatch` is not on the PATH; `. tools/setup.sh` puts it there.")
    results = {}
    for name in names:
        command = [hatch, *stages()[name]]
        print(f"\n=== {name}: hatch {' '.join(command[1:])}", flush=True)
        start = time.monotonic()
        finished = subprocess.run(command, cwd=ROOT, env=environment(), check=False)
        results[name] = (finished.returncode == 0, time.monotonic() - start)
    return results


def summary(results: Mapping[str, tuple[bool, float]]) -> str:
    """Return a line for each stage, with its outcome and its minutes and seconds."""
    lines = []
    for name, (passed, duration) in results.items():
        minutes, seconds = divmod(round(duration), 60)
        lines.append(f"  {'passed' if passed else 'FAILED'} {minutes:3d}:{seconds:02d}  {name}")
    return "\n".join(["", "=== summary (minutes:seconds)", *lines])


def main() -> int:
    """Run the stages asked for; exit with 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", nargs="*", help=f"any of: {', '.join(stages())}; default: all")
    chosen = parser.parse_args().stage
    if unknown := sorted(set(chosen) - set(stages())):
        parser.error(f"no stage {', '.join(unknown)}; there are {', '.join(stages())}")
    results = run(chosen or list(stages()))
    print(summary(results), flush=True)
    return 0 if all(passed for passed, _ in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
