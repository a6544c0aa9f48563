"""What must be in order before training: the data as a store, the precision, the phases."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from vrl_core.errors import VRLError
from vrl_core.fingerprint import files_digest, plain
from vrl_core.hooks import AlgorithmConfig, DatasetConfig
from vrl_core.ingest import write_store
from vrl_core.progress import QUIET_SECONDS
from vrl_core.protocols import Algorithm, Phase
from vrl_core.registry import Registry
from vrl_core.store import Store
from vrl_core.store_config import StoreDataset
from vrl_core.writing import ANOTHER_HOME, explained

ALWAYS_VERIFIED_BYTES = 1_000_000_000
"""Stores up to this size are compared with their checksums before every training; larger ones once,
and again when a file of theirs has changed."""


def home() -> Path:
    """Return the folder of cached data: `$VRL_HOME`, else `vrl` in the user's cache folder."""
    named = os.environ.get("VRL_HOME")
    if named:
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "vrl"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vrl"


def open_store(dataset: DatasetConfig, registry: Registry) -> Store:
    """Open a dataset as a store; one that is not a store is written into the cache, once.

    Raises `VRLError` when the data is missing or damaged.
    """
    path = Path(dataset.path) if isinstance(dataset, StoreDataset) else _cached(dataset, registry)
    store = Store.open(path)
    if store.size <= ALWAYS_VERIFIED_BYTES:
        store.require_sound()
    else:
        _verify_once(store)
    return store


def _verify_once(store: Store) -> None:
    """Compare all checksums, unless that was done since the store's files last changed."""
    path = store.path.resolve()
    state = f"{path}\0{files_digest([path], quick_bytes=0)}\0{store.provenance['checksum']}"
    mark = home() / "verified" / hashlib.sha256(state.encode()).hexdigest()[:16]
    if mark.exists():
        return
    store.require_sound(on_episode=_Announcer(f"comparing the checksums of {store.path}, once"))
    with suppress(OSError):  # without a place for the mark, it is done again next time
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()


def _cached(dataset: DatasetConfig, registry: Registry) -> Path:
    content = json.dumps(plain(dataset.fingerprint()), sort_keys=True)
    key = hashlib.sha256(content.encode()).hexdigest()[:16]
    registered = registry.name_of(type(dataset))
    name = registered[1] if registered else type(dataset).__name__
    folder = home() / "stores" / f"{name}-{key}"
    if not folder.exists():
        _require_writable(folder.parent)
        announce = _Announcer(f"writing the dataset to {folder}")
        write_store(dataset, folder, on_progress=lambda it: announce(it.episodes, it.total))
    return folder


def _require_writable(folder: Path) -> None:
    """Raise `VRLError` that speaks of VRL_HOME when nothing can be cached there."""
    with explained(folder, elsewhere=ANOTHER_HOME):
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


class _Announcer:
    """Says every ten seconds how far something is."""

    def __init__(self, what: str):
        self._what = what
        self._last = float("-inf")

    def __call__(self, episodes: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last < QUIET_SECONDS and episodes != total:
            return
        self._last = now
        print(f"{self._what}: {episodes}/{total} episodes", file=sys.stderr, flush=True)


def with_precision(algorithm: AlgorithmConfig, precision: str | None) -> AlgorithmConfig:
    """Return the algorithm's settings with the run's precision, if the run names one.

    An algorithm without a setting `precision` is left alone; its updates then run in autocast.
    """
    if precision is None or not has_precision(algorithm):
        return algorithm
    return dataclasses.replace(algorithm, **{"precision": precision})


def has_precision(algorithm: AlgorithmConfig) -> bool:
    """Whether an algorithm chooses its precision itself, by a setting `precision`."""
    return any(field.name == "precision" for field in dataclasses.fields(algorithm))


def planned_phases(algorithm: Algorithm, steps: int | None) -> tuple[Phase, ...]:
    """Return the phases that have updates, the last with `steps` of them if the run says so.

    Raises `VRLError` when there are none.
    """
    plan = list(algorithm.phases)
    if steps is not None and plan:
        plan[-1] = dataclasses.replace(plan[-1], steps=steps)
    plan = [phase for phase in plan if phase.steps > 0]
    if not plan:
        raise VRLError("The algorithm's phases have no updates; set --steps to 1 or more.")
    return tuple(plan)
