"""Set the version of all packages, of what they require of each other, and of the changelog.

    python tools/bump.py minor      0.1.0 -> 0.2.0; also major, patch, or a version such as 0.3.0

One version serves every package: `VERSION`. Internal requirements become
`vrl-core>=0.2.0,<0.3`, and the changelog's `Unreleased` becomes the version with today's date. All
is worked out before anything is written. Commit and tag `v0.2.0` afterwards; the tag releases.
"""

from __future__ import annotations

import argparse
import datetime
import re
import sys
from pathlib import Path

from monorepo import ROOT, read_packages

PARTS = ("major", "minor", "patch")
HEADING = "## Unreleased\n"


class BumpError(Exception):
    """The version cannot be set; nothing was written."""


def parse(version: str) -> tuple[int, int, int]:
    """Return major, minor and patch of a version such as `0.2.0`."""
    match = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", version.strip())
    if match is None:
        raise BumpError(f"{version!r} is neither a version such as 0.2.0 nor one of {PARTS}")
    major, minor, patch = map(int, match.groups())
    return major, minor, patch


def next_version(current: str, change: str) -> str:
    """Return the version after `change`: one of `PARTS`, or the version itself."""
    numbers = list(parse(current))
    if change not in PARTS:
        wanted = parse(change)
        if wanted <= parse(current):
            raise BumpError(f"{change} is not later than the present version, {current}")
        return ".".join(map(str, wanted))
    position = PARTS.index(change)
    numbers[position] += 1
    return ".".join(map(str, [*numbers[: position + 1], 0, 0][:3]))


def requirement_range(version: str) -> str:
    """Return the versions that packages released together accept of each other."""
    major, minor, _ = parse(version)
    return f">={version.strip()},<{major}.{minor + 1}"


def with_requirements(text: str, names: list[str], version: str) -> str:
    """Return a `pyproject.toml`'s text with its requirements of the project at `version`."""
    pattern = rf'"({"|".join(map(re.escape, names))})(\[[^\]]*\])?>=[^"]*"'
    return re.sub(pattern, rf'"\1\2{requirement_range(version)}"', text)


def with_release(changelog: str, version: str, date: datetime.date) -> str:
    """Return the changelog with what was unreleased under `version`."""
    if HEADING not in changelog:
        raise BumpError(f"CHANGELOG.md has no heading {HEADING.strip()!r}")
    released = f"{HEADING}\n## {version} ({date.isoformat()})\n"
    return changelog.replace(HEADING, released, 1)


def bump(root: Path, change: str, date: datetime.date) -> str:
    """Write the new version everywhere under `root` and return it."""
    version_file, changelog = root / "VERSION", root / "CHANGELOG.md"
    version = next_version(version_file.read_text().strip(), change)
    known = read_packages(root)
    projects = [package.folder / "pyproject.toml" for package in known.values()]
    texts = {path: with_requirements(path.read_text(), [*known], version) for path in projects}
    texts[changelog] = with_release(changelog.read_text(), version, date)
    texts[version_file] = f"{version}\n"
    for path, text in texts.items():
        path.write_text(text)
    return version


def main() -> int:
    """Bump this repository."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("change", help=f"{', '.join(PARTS)}, or a version")
    try:
        version = bump(ROOT, parser.parse_args().change, datetime.date.today())
    except BumpError as error:
        parser.error(str(error))
    print(f"Version {version}. Next: commit, `git tag v{version}`, push the tag.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
