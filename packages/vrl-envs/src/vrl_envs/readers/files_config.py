"""What the configurations of all readers share. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from vrl_core.hooks import DatasetConfig


@dataclass(frozen=True, kw_only=True)
class FilesConfig(DatasetConfig):
    """Episodes in files."""

    skip_damaged: bool = False
    """Leave out, with a warning that names them, episodes whose files are damaged, instead of
    stopping at the first."""
