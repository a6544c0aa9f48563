"""Build wheels of the project's packages and install them, alone, into this environment.

`install_wheels.py vrl-envs` leaves vrl-envs and what it requires of the project (vrl-core), and
proves that no other package of the project can be imported and that none comes from the tree.
The test requirements are those of the named package: its `test` extra. `--all` takes every package.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from monorepo import ROOT, Package, packages, requirements_within

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")

LOCATIONS = """
import importlib.util, json, sys
specs = {name: importlib.util.find_spec(name) for name in sys.argv[1:]}
print(json.dumps({name: spec and spec.origin for name, spec in specs.items()}))
"""


def pip(*arguments: str) -> None:
    """Run pip, quietly; its own message explains a failure."""
    subprocess.run([*PIP, *arguments], check=True, cwd=ROOT)


def build(chosen: Iterable[Package], folder: Path) -> dict[str, Path]:
    """Build the wheels of these packages from the tree as it is; return the files by name."""
    wheels = {}
    for package in chosen:
        target = folder / package.name
        pip(
            "wheel",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            str(target),
            str(package.folder),
        )
        (wheels[package.name],) = target.glob("*.whl")
    return wheels


def installed() -> set[str]:
    """Return the names of this project's distributions that are installed here."""
    names = {
        distribution.name.replace("_", "-") for distribution in importlib.metadata.distributions()
    }
    return names & set(packages())


def install(wheels: dict[str, Path], tested: Iterable[str]) -> None:
    """Install the wheels afresh, with the test requirements of the tested ones."""
    if stale := sorted(installed()):
        pip("uninstall", "-q", "-y", *stale)
    extras = {name: "[test]" if name in tested else "" for name in wheels}
    pip("install", "-q", *(f"{wheel}{extras[name]}" for name, wheel in wheels.items()))
    pip("check")


def locations() -> dict[str, str | None]:
    """Return where a fresh interpreter finds the import package of every package, if at all."""
    modules = [package.module for package in packages().values()]
    # Isolated and outside the tree, so that neither the folder nor PYTHONPATH lends a module.
    found = subprocess.run(
        [sys.executable, "-I", "-c", LOCATIONS, *modules],
        check=True,
        capture_output=True,
        text=True,
        cwd=os.sep,
    )
    answer: dict[str, str | None] = json.loads(found.stdout)
    return answer


def problems(expected: Iterable[str]) -> list[str]:
    """Say what makes this environment another than `expected` packages, from wheels."""
    wanted = set(expected)
    found = locations()
    report = []
    for name, package in packages().items():
        origin = found[package.module]
        if name in wanted and origin is None:
            report.append(f"{name} was installed but {package.module} cannot be imported")
        elif name in wanted and ROOT / "packages" in Path(str(origin)).resolve().parents:
            report.append(f"{package.module} comes from the tree ({origin}), not from its wheel")
        elif name not in wanted and origin is not None:
            report.append(f"{package.module} should not be here, but is at {origin}")
    return report


def main() -> int:
    """Install, check, and say what is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", nargs="*", help="packages to test, such as vrl-envs")
    parser.add_argument("--all", action="store_true", help="every package")
    arguments = parser.parse_args()
    tested = list(packages()) if arguments.all else arguments.package
    unknown = sorted(set(tested) - set(packages()))
    if unknown or not tested:
        parser.error(f"name some of {', '.join(packages())} (got: {', '.join(unknown) or 'none'})")
    names = requirements_within(tested)
    with tempfile.TemporaryDirectory() as folder:
        install(build([packages()[name] for name in names], Path(folder)), tested)
    if report := problems(names):
        print("error:", "; ".join(report), file=sys.stderr)
        return 1
    print(f"Installed from wheels: {', '.join(names)}; nothing else of the project.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
