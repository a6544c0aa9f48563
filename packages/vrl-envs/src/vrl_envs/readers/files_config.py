"""What the configurations of all readers share. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vrl_core.hooks import DatasetConfig


@dataclass(frozen=True, kw_only=True)
class FilesConfig(DatasetConfig):
    """Episodes in files."""

    skip_damaged: bool = False
    """Leave out, with a warning that names them, episodes whose files are damaged, instead of
    stopping at the first."""
    clip_actions: bool = False
    """Clip actions beyond [-1, 1], as most simulators do, instead of refusing them."""

    @classmethod
    def unreadable(cls, path: str | Path) -> str | None:
        """Say what is damaged or pickled at a path that no dataset recognises, if anything is."""
        from vrl_envs.readers.unreadable import unreadable

        return unreadable(Path(path))
