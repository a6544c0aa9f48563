"""What readers do about files that cannot be read: name them, or leave them out if asked to."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from vrl_core.errors import DamagedDataError

PlaceT = TypeVar("PlaceT")
DescriptionT = TypeVar("DescriptionT")
DAMAGE: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    KeyError,
    IndexError,
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    MemoryError,
    OverflowError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What NumPy, zipfile and h5py raise on damaged files: a table may have become a group, a type, or
larger than the memory."""


class IncompleteDataWarning(UserWarning):
    """The files are readable, and less than they should be."""


@contextmanager
def damaged(place: Path | str, *further: type[Exception]) -> Iterator[None]:
    """Raise `DamagedDataError`, which names the file, for what its libraries cannot read.

    `place` is the file, or says what of it is read; `further` are what other libraries raise.
    """
    try:
        yield
    except (*DAMAGE, *further) as error:
        raise DamagedDataError(
            f"{place} cannot be read: {error}. It is damaged, was not fully downloaded, or is of "
            "another format. Fetch it again."
        ) from error


def describe_all(
    places: Sequence[PlaceT],
    describe: Callable[[PlaceT], DescriptionT],
    *,
    skip_damaged: bool,
    noun: str = "files",
) -> tuple[list[DescriptionT], list[str]]:
    """Describe files or what `noun` says, and note those that are left out as damaged.

    Raises `DamagedDataError` for the first of them unless `skip_damaged`, or when all are.
    """
    described, reasons = [], []
    for place in places:
        try:
            described.append(describe(place))
        except DamagedDataError as error:
            if not skip_damaged:
                hint = f" --dataset.skip-damaged leaves such {noun} out."
                raise DamagedDataError(f"{error}{hint}") from error
            reasons.append(str(error))
    if not described:
        raise DamagedDataError(f"All {len(reasons)} {noun} are damaged. The first: {reasons[0]}")
    if not reasons:
        return described, []
    more = f" And {len(reasons) - 3} more." if len(reasons) > 3 else ""
    listed = " ".join(reasons[:3]) + more
    return described, [f"left out {len(reasons)} damaged {noun}: {listed.rstrip('.')}"]


def some(names: Sequence[str]) -> str:
    """List the first three names and count the others."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
