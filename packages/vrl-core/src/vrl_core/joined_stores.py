"""Episodes of several stores, or some of one, as one dataset. Imports no torch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from vrl_core.episodes import DataSpec, Episode, spread
from vrl_core.errors import VRLError
from vrl_core.store import Store
from vrl_core.store_config import JoinedStores

SHARED = ("task", "observations", "action_size", "action_repeat", "render_quality")
"""What stores must agree in to be joined."""


class JoinedEpisodes:
    """The chosen episodes of each store, one store after the other.

    They are described, and their policies evaluated, as those of the first store.
    """

    def __init__(self, config: JoinedStores) -> None:
        """Open the stores. Raises `VRLError` when they do not fit or have too few episodes."""
        if not config.paths:
            raise VRLError("No store is named to join; name them with paths.")
        stores = [Store.open(path) for path in config.paths]
        self.spec = joined_spec(stores)
        counts = config.episodes or tuple(len(store) for store in stores)
        if len(counts) != len(stores):
            raise VRLError(
                f"{len(counts)} numbers of episodes were given for {len(stores)} stores; give one "
                "for each, in their order, or none to take all."
            )
        chosen = [_chosen(store, count) for store, count in zip(stores, counts, strict=True)]
        self._stores: Sequence[Store] = stores
        self._store = np.repeat(np.arange(len(stores)), [len(each) for each in chosen])
        self._index = np.concatenate([np.asarray(each, np.int64) for each in chosen])

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, index: int, /) -> Episode:
        """Return episode `index`, a view of its store's files."""
        return self._stores[int(self._store[index])][int(self._index[index])]

    def pieces(self, index: int, /) -> Iterator[Episode]:
        """Yield episode `index` in pieces."""
        return self._stores[int(self._store[index])].pieces(int(self._index[index]))


def joined_spec(stores: Sequence[Store]) -> DataSpec:
    """Return the first store's description, with every behaviour of the others.

    Raises `VRLError` for stores of another task, size, action repeat or render quality.
    """
    first = stores[0]
    for store in stores[1:]:
        for name in SHARED:
            ours, theirs = getattr(first.spec, name), getattr(store.spec, name)
            if ours != theirs:
                raise VRLError(
                    f"{store.path} has {name.replace('_', ' ')} {theirs}, {first.path} {ours}: "
                    "they cannot be one dataset. Join stores that agree in it."
                )
    _warn_of_other_versions(stores)
    behaviours = dict.fromkeys(store.spec.behaviour for store in stores)
    return replace(first.spec, behaviour="+".join(behaviours))


def _warn_of_other_versions(stores: Sequence[Store]) -> None:
    """Warn of stores that were made with other releases or another way of drawing."""
    first = stores[0]
    for store in stores[1:]:
        ours, theirs = dict(first.spec.versions), dict(store.spec.versions)
        names = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
        # This project's own releases keep frames and episodes, or count a revision up.
        names = [name for name in names if not name.startswith("vrl-")]
        if ours and theirs and names:
            said = ", ".join(
                f"{name} {theirs.get(name, 'unnamed')} and {ours.get(name, 'unnamed')}"
                for name in names
            )
            warnings.warn(
                f"{store.path} and {first.path} were made with other versions ({said}): their "
                "frames may differ. Collect one of them anew to be sure."
            )


def _chosen(store: Store, count: int) -> Sequence[int]:
    if not 0 <= count <= len(store):
        raise VRLError(
            f"{count} episodes of {store.path} were asked for; it has {len(store)}. Ask for 0 to "
            f"{len(store)}."
        )
    return spread(count, len(store))
