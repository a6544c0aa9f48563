"""The configuration that names a store on disk. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vrl_core.hooks import DatasetConfig

if TYPE_CHECKING:
    from vrl_core.store import Store


@dataclass(frozen=True, kw_only=True)
class StoreDataset(DatasetConfig):
    """A store on disk, as `vrl data collect`, `convert` and `download` write it."""

    path: str
    """Folder of the store."""

    def build(self) -> Store:
        """Open the store; raises `VRLError` when it is missing, unfinished or damaged."""
        from vrl_core.store import Store

        return Store.open(self.path)
