"""Words for what the system says when something cannot be written. Imports nothing heavy."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vrl_core.errors import VRLError

ANOTHER_OUTPUT = "Choose another folder with --output"
ANOTHER_HOME = "Set VRL_HOME to another folder"


@contextmanager
def explained(place: Path, *, kept: str = "", elsewhere: str = ANOTHER_OUTPUT) -> Iterator[None]:
    """Turn the system's errors about a place that is written into `VRLError`s; see `unwritable`."""
    try:
        yield
    except OSError as error:
        raise unwritable(place, error, kept=kept, elsewhere=elsewhere) from error


def unwritable(
    place: Path, error: OSError, *, kept: str = "", elsewhere: str = ANOTHER_OUTPUT
) -> VRLError:
    """Return the error of a place that cannot be written: why, what is lost, and the way out.

    `kept` says what became of the work so far; `elsewhere` how to choose another place.
    """
    after = f" {kept}" if kept else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return VRLError(f"The disk is full while writing {place}.{after} Free some space first.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        where = error.filename or place
        return VRLError(f"No permission to write {where}. {elsewhere}, or change its permissions.")
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return VRLError(f"{place} cannot be a folder: {_in_the_way(place)} is a file. {elsewhere}.")
    return VRLError(f"Writing {place} failed: {error.strerror or error}.{after}")


def _in_the_way(place: Path) -> Path:
    """Return the file that lies where a folder is needed."""
    return next((path for path in (place, *place.parents) if path.is_file()), place)
