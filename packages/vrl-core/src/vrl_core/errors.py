"""The error a user is meant to read."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterable, Sequence


class VRLError(Exception):
    """A problem the user can act on.

    The message says what was asked, what exists and what to do next. The command line prints it
    without a traceback and exits with 1.
    """


class DamagedDataError(VRLError):
    """Data of an episode that cannot be read: its file is damaged or not whole.

    A dataset raises it for what `skip_damaged` may leave out.
    """


LISTED_NAMES = 30
"""Names up to which an error lists all."""
NEAREST_NAMES = 8
"""Names that it lists of more."""
NEARLY = 0.75
"""Likeness, from 0 to 1, from which a name is another one misspelt."""


def unknown_name(
    kind: str, name: str, known: Iterable[str], hint: str = "", *, listed_by: str = ""
) -> VRLError:
    """Build the error for a name that does not exist: nearest match, all names, what to do next.

    `kind` is the singular noun ("algorithm"); `hint` is appended as its own sentence. Of many names
    it says how many there are, the nearest, and the command that they are `listed_by`.
    """
    names = sorted(known)
    nearest = nearest_names(name, names, 1, cutoff=0.5)
    parts = [f"There is no {kind} named {name!r}."]
    if nearest:
        parts.append(f"Did you mean {nearest[0]!r}?")
    parts.append(f"Known: {known_names(names, name, listed_by)}.")
    return VRLError(" ".join([*parts, hint] if hint else parts))


def known_names(names: Iterable[str], near: str = "", listed_by: str = "") -> str:
    """Word which names there are: all in order, or of many the nearest to one, if it is given."""
    every = sorted(names)
    if len(every) <= LISTED_NAMES:
        return ", ".join(every) or "none"
    nearest = nearest_names(near, every, NEAREST_NAMES) if near else every
    command = f" (all of them: {listed_by})" if listed_by else ""
    return f"{len(every)}, such as {', '.join(nearest[:NEAREST_NAMES])}{command}"


def nearest_names(name: str, known: Sequence[str], count: int, *, cutoff: float = 0.0) -> list[str]:
    """Return up to `count` of the known names, the nearest first.

    First come those spelt nearly alike, then those with the name as a whole part, as `adroit_pen`
    has `pen`, then those whose likeness to it is at least `cutoff`, from 0 to 1.
    """
    part = re.compile(rf"(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])", re.IGNORECASE)
    having = [each for each in known if name and part.search(each)]
    groups = ((known, NEARLY), (having, 0.0), (known, cutoff))
    alike = [difflib.get_close_matches(name, each, count, least) for each, least in groups]
    return list(dict.fromkeys(itertools.chain(*alike)))[:count]
