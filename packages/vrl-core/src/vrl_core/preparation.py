"""What must be in order before training: the data as a store, the precision, the phases."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
import time
from pathlib import Path

from vrl_core.errors import VRLError
from vrl_core.fingerprint import plain
from vrl_core.hooks import AlgorithmConfig, DatasetConfig
from vrl_core.ingest import Progress, write_store
from vrl_core.progress import QUIET_SECONDS
from vrl_core.protocols import Algorithm, Phase
from vrl_core.registry import Registry
from vrl_core.store import Store
from vrl_core.store_config import StoreDataset

VERIFIED_BYTES = 1_000_000_000
"""Stores up to this size are read and compared with their checksums before training."""


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

    Raises `VRLError` when the data is missing or damaged. Checksums are compared when the store
    is small enough for that to take seconds.
    """
    path = Path(dataset.path) if isinstance(dataset, StoreDataset) else _cached(dataset, registry)
    store = Store.open(path)
    return Store.open(path, verify=True) if store.size <= VERIFIED_BYTES else store


def _cached(dataset: DatasetConfig, registry: Registry) -> Path:
    content = json.dumps(plain(dataset.fingerprint()), sort_keys=True)
    key = hashlib.sha256(content.encode()).hexdigest()[:16]
    registered = registry.name_of(type(dataset))
    name = registered[1] if registered else type(dataset).__name__
    folder = home() / "stores" / f"{name}-{key}"
    if not folder.exists():
        write_store(dataset, folder, on_progress=_Announcer(folder))
    return folder


class _Announcer:
    """Says every ten seconds how far a store is."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._last = float("-inf")

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._last < QUIET_SECONDS and progress.episodes != progress.total:
            return
        self._last = now
        count = f"{progress.episodes}/{progress.total} episodes"
        print(f"writing the dataset to {self._folder}: {count}", file=sys.stderr, flush=True)


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
