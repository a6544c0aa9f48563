"""The configurations that name stores on disk. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vrl_core.hooks import DatasetConfig

if TYPE_CHECKING:
    from vrl_core.joined_stores import JoinedEpisodes
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


@dataclass(frozen=True, kw_only=True)
class JoinedStores(DatasetConfig):
    """Episodes of several stores, or some of one: mixtures and smaller sizes of data there is."""

    paths: tuple[Path, ...]
    """Folders of the stores. The first says in which environment policies are evaluated."""
    episodes: tuple[int, ...] = ()
    """How many of each, in the order of the stores and spread evenly over them; by default all."""

    def __post_init__(self) -> None:
        whole = tuple(Path(path).expanduser().absolute() for path in self.paths)
        object.__setattr__(self, "paths", whole)

    def build(self) -> JoinedEpisodes:
        """Open the stores.

        Raises `VRLError` when one is missing, they do not fit together, or have too few episodes.
        """
        from vrl_core.joined_stores import JoinedEpisodes

        return JoinedEpisodes(self)

    def variant(self) -> str:
        """Return the word that keeps the joined store apart from its parts."""
        return "joined"

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what the episodes depend on: the stores' manifests, which hold all checksums."""
        from vrl_core.fingerprint import describe

        return describe(self, files=[path / "manifest.json" for path in self.paths])
