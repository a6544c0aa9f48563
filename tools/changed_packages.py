"""Print, as JSON, the packages whose tests a change calls for: the matrix of the CI workflow.

    python tools/changed_packages.py --base origin/main     ->  ["envs"]

A package is tested when it or a package it requires changed. Files that serve every package
(Hatch's configuration, the version, the tools, the workflows) call for all of them; documentation
calls for none. When the base is unknown, as after a force push, all are named.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from monorepo import ROOT, Package, dependents, packages

DOCUMENTATION = ("docs/", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", ".gitignore")
"""What no package's tests depend on."""
TOGETHER = ("tests/", "benchmarks/")
"""What only the tests of the whole depend on; these always run."""


def changed_files(base: str, root: Path = ROOT) -> list[str] | None:
    """Return the files that HEAD changed since it left `base`; None if the base is unknown."""
    answer = subprocess.run(
        ["git", "diff", "--name-only", "--no-renames", f"{base}...HEAD"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.splitlines() if answer.returncode == 0 else None


def affected(files: Iterable[str] | None, known: dict[str, Package]) -> list[str]:
    """Return the names of the packages to test after a change of these files."""
    if files is None:
        return list(known)
    changed = set()
    for file in files:
        if file.startswith((*DOCUMENTATION, *TOGETHER)):
            continue
        folder, _, rest = file.partition("/")
        name = rest.partition("/")[0]
        if folder != "packages":
            return list(known)
        if name in known:
            changed.add(name)
    return dependents(changed, known)


def main() -> int:
    """Print the short names of the packages, as in Hatch's matrix."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", required=True, help="branch or commit the change starts from")
    files = changed_files(parser.parse_args().base)
    print(json.dumps([packages()[name].short_name for name in affected(files, packages())]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
