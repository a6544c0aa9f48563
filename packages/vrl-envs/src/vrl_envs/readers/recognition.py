"""What readers look at to recognise their format: names in files, never their names alone.

Imports nothing heavy.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from vrl_envs.readers.damage import DAMAGE

LOOKED_AT = 5
"""Files of a folder that are tried until one can be opened."""


def files_below(path: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Yield the files at or below a path with one of the suffixes, none of them hidden."""
    if path.is_file():
        if path.suffix in suffixes:
            yield path
        return
    for suffix in suffixes:
        for file in path.rglob(f"*{suffix}"):
            hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
            if not hidden and file.is_file():
                yield file


def natural_order(path: Path) -> tuple[tuple[str, int], ...]:
    """Sort key that puts `2.hdf5` before `10.hdf5`."""
    pieces = re.findall(r"(\D*)(\d*)", path.name)
    return tuple((text, int(number or 0)) for text, number in pieces)


def ordered_files(path: Path, suffix: str) -> list[Path]:
    """Return the files at or below a path, folder by folder, each in natural order."""
    return sorted(files_below(path, (suffix,)), key=lambda file: (file.parent, natural_order(file)))


def looks_like_recorded_npz(path: Path, fits: Callable[[frozenset[str], Path], bool]) -> bool:
    """Return whether the first `.npz` at or below a path that can be opened `fits`; never raises.

    `fits` is called with the names of its columns and its path. When none can be opened, it is
    called with every name that a folder of recorded episodes must have and with none further.
    """
    files = list(islice(files_below(path, (".npz",)), LOOKED_AT))
    for file in files:
        try:
            with zipfile.ZipFile(file) as archive:
                names = frozenset(name.removesuffix(".npy") for name in archive.namelist())
        except DAMAGE:
            continue
        return fits(names, file)
    return bool(files) and fits(frozenset({"image", "action", "reward"}), files[0])
