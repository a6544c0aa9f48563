"""What the episodes of a dataset depend on, as JSON data that changes when they may have changed.

Cached stores are found by it and unfinished ones continued by it: the settings, the files that are
read, and the code that reads them. Imports nothing heavy.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any

from vrl_core.config_paths import path_values
from vrl_core.hooks import ENTRY_POINT_GROUP

QUICK_BYTES = 64 * 2**20
"""Files of this size in all are told apart by their content, larger ones by size and time."""


def describe(
    config: Any, *, files: Iterable[Path] | None = None, packages: Sequence[str] = ()
) -> dict[str, Any]:
    """Return class, settings, files, code and versions behind a dataset's configuration.

    `files` are the files and folders that are read, by default those that its fields name;
    `packages` are distributions whose versions matter beside the configuration's own.
    """
    kind = type(config)
    named = path_values(config)
    values = {field.name: plain(getattr(config, field.name)) for field in fields(config)}
    read = list(named.values()) if files is None else files
    return {
        "dataset": kind.__qualname__,
        **values,
        **{name: str(path.resolve()) for name, path in named.items()},
        "content of its files": files_digest(read),
        "code": _code(kind.__module__),
        "versions": {name: _version(name) for name in packages},
    }


def files_digest(paths: Iterable[Path], *, quick_bytes: int = QUICK_BYTES) -> str:
    """Return one number for files and for all files below folders; what is missing counts too."""
    found = [
        (str(path), file, _size_and_time(file)) for path in paths for file in _files_below(path)
    ]
    small = sum(size for _, _, (size, _) in found) <= quick_bytes
    digest = hashlib.sha256()
    for root, file, state in found:
        name = os.path.relpath(file, root)
        digest.update(f"{name}\0{_content(file) if small else state}\0".encode())
    return digest.hexdigest()[:16]


def plain(value: Any) -> Any:
    """Return a setting as JSON data."""
    if hasattr(value, "__dataclass_fields__"):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _files_below(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
    for folder, folders, names in os.walk(path):
        folders.sort()
        yield from (Path(folder, name) for name in sorted(names))


def _size_and_time(file: Path) -> tuple[int, int]:
    try:
        state = file.stat()
    except OSError:  # what reads it says so better
        return (0, 0)
    return state.st_size, state.st_mtime_ns


def _content(file: Path) -> str:
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError:
        return ""


def _code(module: str) -> dict[str, Any]:
    """Return the digest of a module's file, and the plugin that it is of with its version."""
    file = getattr(sys.modules.get(module), "__file__", None)
    plugins = {
        point.dist.name: point.dist.version
        for point in entry_points(group=ENTRY_POINT_GROUP)
        if point.dist and point.module.partition(".")[0] == module.partition(".")[0]
    }
    return {"module": files_digest([Path(file)]) if file else module, "plugins": plugins}


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
