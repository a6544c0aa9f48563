"""The packages of this repository, as their `pyproject.toml` files describe them."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Package:
    """One package: its distribution's name, its folder, and what it requires of the project."""

    name: str
    folder: Path
    requires: tuple[str, ...]

    @property
    def short_name(self) -> str:
        """Return the name in Hatch's test matrix: `envs` of `vrl-envs`."""
        return self.name.removeprefix("vrl-")

    @property
    def module(self) -> str:
        """Return the import name."""
        return self.name.replace("-", "_")


def requirement_name(requirement: str) -> str:
    """Return the distribution that a requirement such as `vrl-core>=0.1` names."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    if match is None:
        raise ValueError(f"{requirement!r} is no requirement")
    return re.sub(r"[-_.]+", "-", match.group()).lower()


def read_packages(root: Path) -> dict[str, Package]:
    """Return the packages under `root/packages` by name, those without requirements first."""
    found = {}
    for path in sorted(root.glob("packages/*/pyproject.toml")):
        project = tomllib.loads(path.read_text())["project"]
        required = tuple(map(requirement_name, project.get("dependencies", ())))
        found[project["name"]] = Package(project["name"], path.parent, required)
    internal = {
        name: Package(name, package.folder, tuple(r for r in package.requires if r in found))
        for name, package in found.items()
    }
    return dict(sorted(internal.items(), key=lambda item: (len(item[1].requires), item[0])))


@functools.cache
def packages() -> dict[str, Package]:
    """Return this repository's packages by name."""
    return read_packages(ROOT)


def requirements_within(names: Iterable[str]) -> list[str]:
    """Return these packages and all they require of the project, requirements first."""
    needed: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting.extend(packages()[name].requires)
    return [name for name in packages() if name in needed]


def dependents(names: Iterable[str], known: dict[str, Package]) -> list[str]:
    """Return these packages and all that require them, directly or not."""
    affected = set(names)
    while True:
        more = {name for name, package in known.items() if affected & set(package.requires)}
        if more <= affected:
            return [name for name in known if name in affected]
        affected |= more
