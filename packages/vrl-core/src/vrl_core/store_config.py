"""The configurations that name stores on disk. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vrl_core.errors import VRLError
from vrl_core.hooks import DatasetConfig

if TYPE_CHECKING:
    from vrl_core.joined_stores import JoinedEpisodes
    from vrl_core.rewarded_store import RewardedEpisodes
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


@dataclass(frozen=True, kw_only=True)
class Rewarded(DatasetConfig):
    """A store whose rewards are those of a trained classifier of images (LOMPO, Section 5.2)."""

    path: str
    """Folder of the store."""
    classifier: Path
    """Classifier, as `vrl reward train` writes it."""
    threshold: float | None = None
    """Reward 1 from this probability on, and else 0; none rewards with the probability itself, as
    the paper does."""
    other_task: bool = False
    """Take a classifier that was trained on data of another task's name."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "classifier", Path(self.classifier))
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise VRLError(f"threshold is {self.threshold}; it is a probability, above 0.")

    def build(self) -> RewardedEpisodes:
        """Open the store and the classifier.

        Raises `VRLError` when one is missing or damaged, or the classifier is for other images.
        """
        from vrl_core.rewarded_store import open_rewarded

        return open_rewarded(self)

    def variant(self) -> str:
        """Return the word that keeps the rewarded store apart from its source."""
        return "rewarded"

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what the episodes depend on: the source's manifest and the classifier."""
        from vrl_core.fingerprint import describe

        manifest = Path(self.path).expanduser().absolute() / "manifest.json"
        weights = self.classifier.expanduser().absolute().with_suffix(".safetensors")
        return describe(self, files=[manifest, weights])
