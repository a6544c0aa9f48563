"""What must be in order before training: the data, the environment, and that they agree."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from vrl_core.config import from_data, to_data
from vrl_core.episodes import DataSpec, FieldSpec
from vrl_core.errors import VRLError
from vrl_core.evaluation_workers import Layout
from vrl_core.hooks import AlgorithmConfig, DatasetConfig, EnvironmentConfig
from vrl_core.ingest import Progress, write_store
from vrl_core.progress import QUIET_SECONDS
from vrl_core.protocols import Phase, Policy
from vrl_core.registry import Registry
from vrl_core.run_config import RunConfig
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
    data = to_data(dataset, registry)
    key = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
    name = data.get("name", type(dataset).__name__)
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


def evaluation_environment(
    config: RunConfig, spec: DataSpec, registry: Registry
) -> EnvironmentConfig | None:
    """Return the run's environment: the configured one, else the one the data names.

    None when the run asks for no evaluation. Raises `VRLError` when there is no environment.
    """
    if config.evaluation_episodes == 0:
        return None
    if config.environment is not None:
        return config.environment
    if spec.environment is None:
        raise VRLError(
            "The data does not say which environment it was recorded in. Name one "
            "(`environment:<name>`), or train without evaluation (`--evaluation-episodes 0`)."
        )
    environment: EnvironmentConfig = from_data("environments", dict(spec.environment), registry)
    return environment


def check_agreement(spec: DataSpec, environment: EnvironmentConfig, layout: Layout) -> None:
    """Refuse an environment whose actions, observations or rendering are not the data's.

    Raises `VRLError` saying what each has and what to do.
    """
    if layout.action_size != spec.action_size:
        raise _disagreement("numbers in an action", spec.action_size, layout.action_size)
    shared = spec.observations.keys() & layout.observations.keys()
    if spec.observations and not shared:
        known = [", ".join(sorted(names)) for names in (spec.observations, layout.observations)]
        raise _disagreement("observations", *known)
    for name in sorted(shared):
        data, here = spec.observations[name], layout.observations[name]
        if (data.shape, data.dtype) != (here.shape, here.dtype):
            raise _disagreement(f"observation {name!r}", _words(data), _words(here))
    rendering = _render_quality(environment)
    if "image" in shared and spec.render_quality and rendering not in (None, spec.render_quality):
        raise _disagreement("render quality", spec.render_quality, rendering)
    repeat = getattr(environment, "action_repeat", None)
    if repeat is not None and repeat != spec.action_repeat:
        raise _disagreement("action repeat", spec.action_repeat, repeat)


def _render_quality(environment: EnvironmentConfig) -> str | None:
    for name in ("rendering", "render_quality"):
        value = getattr(environment, name, None)
        if isinstance(value, str):
            return value
    return None


def _words(field: FieldSpec) -> str:
    return f"{field.dtype} {'x'.join(str(size) for size in field.shape)}"


def _disagreement(what: str, data: Any, environment: Any) -> VRLError:
    return VRLError(
        f"Data and environment differ in {what}: the data has {data}, the environment {environment}. "
        "Leave the environment out to take the data's own, change its settings, or use other data."
    )


def check_policy(policy: Policy, layout: Layout) -> None:
    """Let a policy act once on blank observations, so that a misfit shows before training.

    Raises `VRLError` when it fails or its action does not fit the environment.
    """
    blank = {
        name: np.zeros((1, *field.shape), dtype=field.dtype)
        for name, field in layout.observations.items()
    }
    try:
        actions, _ = policy.act(blank, policy.start(1))
    except VRLError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise VRLError(f"The policy cannot act on this environment's observations ({reason}).") from error
    if actions.shape != (1, layout.action_size):
        raise VRLError(f"The policy's actions have shape {actions.shape}, not (1, {layout.action_size}).")




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


def planned_phases(phases: Any, steps: int | None) -> list[Phase]:
    """Return the phases, the last one with `steps` updates if the run says how many.

    Raises `VRLError` when there is nothing to do.
    """
    plan = list(phases)
    if steps is not None and plan:
        plan[-1] = dataclasses.replace(plan[-1], steps=steps)
    if not any(phase.steps > 0 for phase in plan):
        raise VRLError("The algorithm's phases have no updates; set --steps to 1 or more.")
    return plan
