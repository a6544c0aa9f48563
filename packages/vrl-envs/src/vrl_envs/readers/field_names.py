"""Names of fields, which are names of a store's files, from those that others give them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from vrl_core.errors import VRLError


def field_name(name: str) -> str:
    """Return a name with `_` for all that cannot stand in a field's, such as a space."""
    return re.sub(r"^[.-]|[^A-Za-z0-9_.-]", "_", name)


def by_field(names: Mapping[str, str], source: Path) -> dict[str, str]:
    """Turn fields by recorded names into recorded names by field.

    Raises `VRLError` when two recorded names would have the same field.
    """
    found: dict[str, str] = {}
    for name, field in names.items():
        if field in found:
            raise VRLError(
                f"{found[field]!r} and {name!r} of {source} would both be the field {field!r} "
                "here. Rename one of them."
            )
        found[field] = name
    return found
