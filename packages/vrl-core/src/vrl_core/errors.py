"""The error a user is meant to read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class VRLError(Exception):
    """A problem the user can act on.

    The message says what was asked, what exists and what to do next. The command line prints it
    without a traceback and exits with 1.
    """


class DamagedDataError(VRLError):
    """Data of an episode that cannot be read: its file is damaged or not whole.

    A dataset raises it for what `skip_damaged` may leave out.
    """


def unknown_name(kind: str, name: str, known: Iterable[str], hint: str = "") -> VRLError:
    """Build the error for a name that does not exist: nearest match, all names, what to do next.

    `kind` is the singular noun ("algorithm"); `hint` is appended as its own sentence.
    """
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    parts = [f"There is no {kind} named {name!r}."]
    if nearest:
        parts.append(f"Did you mean {nearest[0]!r}?")
    parts.append(f"Known: {', '.join(names) if names else 'none'}.")
    return VRLError(" ".join([*parts, hint] if hint else parts))
