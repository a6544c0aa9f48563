"""What readers do about files that cannot be read: name them, or leave them out if asked to."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from vrl_core.errors import DamagedDataError

DescriptionT = TypeVar("DescriptionT")
DAMAGE: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    KeyError,
    RuntimeError,
    ValueError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What NumPy, zipfile and h5py raise on damaged files."""


class IncompleteDataWarning(UserWarning):
    """The files are readable, and less than they should be."""


@contextmanager
def damaged(path: Path, *further: type[Exception]) -> Iterator[None]:
    """Raise `DamagedDataError`, which names the file, for what its libraries cannot read.

    `further` are what other libraries raise.
    """
    try:
        yield
    except (*DAMAGE, *further) as error:
        raise DamagedDataError(
            f"{path} cannot be read: {error}. It is damaged, was not fully downloaded, or is of "
            "another format. Fetch it again."
        ) from error


def describe_all(
    paths: Sequence[Path], describe: Callable[[Path], DescriptionT], *, skip_damaged: bool
) -> tuple[list[DescriptionT], list[str]]:
    """Describe files, and note those that were left out because they are damaged.

    Raises `DamagedDataError` for the first of them unless `skip_damaged`, or when all are.
    """
    described, reasons = [], []
    for path in paths:
        try:
            described.append(describe(path))
        except DamagedDataError as error:
            if not skip_damaged:
                hint = " --dataset.skip-damaged leaves such files out."
                raise DamagedDataError(f"{error}{hint}") from error
            reasons.append(str(error))
    if not described:
        raise DamagedDataError(f"All {len(reasons)} files are damaged. The first: {reasons[0]}")
    if not reasons:
        return described, []
    more = f" And {len(reasons) - 3} more." if len(reasons) > 3 else ""
    listed = " ".join(reasons[:3]) + more
    return described, [f"left out {len(reasons)} damaged files: {listed.rstrip('.')}"]


def some(names: Sequence[str]) -> str:
    """List the first three names and count the others."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
