"""Which runs belong together: one task, one dataset, and settings that differ in the seed alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from vrl_core.run_record import RunRecord

TELLING = ("algorithm", "steps", "precision")
"""Keys of a configuration that tell groups apart. The data does too, by its manifest; the rest,
such as the seed, the device or how often to evaluate, does not change what is measured."""
ALGORITHM = "algorithm.name"
NOT_IDENTITY = ("path", "config", "success")
"""What `run.json` says of a dataset that does not tell it from others; runs of before there was a
`success` are of the same data as later ones."""
ItemT = TypeVar("ItemT")


def split(items: Iterable[ItemT], identity: Callable[[ItemT], str]) -> list[list[ItemT]]:
    """Return the items of each identity together, sorted by it."""
    parts: dict[str, list[ItemT]] = {}
    for item in items:
        parts.setdefault(identity(item), []).append(item)
    return [parts[key] for key in sorted(parts)]


def as_key(value: Any) -> str:
    """Return JSON data as text that is the same for equal data."""
    return json.dumps(value, sort_keys=True, default=str)


def data_identity(run: RunRecord) -> str:
    """Return what tells a run's task and data from others'."""
    dataset = run.facts.get("dataset", {})
    identity = {key: dataset[key] for key in sorted(dataset) if key not in NOT_IDENTITY}
    return as_key([run.task, run.quality, run.evaluated_task, identity])


def settings(run: RunRecord) -> dict[str, Any]:
    """Return the settings that tell a run from others, flat: `algorithm.bc_weight`.

    A run that was given more updates is another one where a schedule depends on their number.
    """
    told = {key: run.config[key] for key in TELLING if run.config.get(key) is not None}
    extended = [
        f"{record['from']} to {record['to']} after {record['step']}"
        for record in run.facts.get("extensions", ())
        if record.get("schedule")
    ]
    return _flat(told | ({"extended": ", ".join(extended)} if extended else {}))


def told_apart(groups: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    """Return for each group the settings in which groups of its algorithm differ."""
    everyone = list(groups)
    differences = []
    for mine in everyone:
        rivals = [it for it in everyone if it.get(ALGORITHM) == mine.get(ALGORITHM)]
        keys = {
            key for other in rivals for key in {*other, *mine} if other.get(key) != mine.get(key)
        }
        differences.append(
            [f"{key.removeprefix('algorithm.')} {mine.get(key)}" for key in sorted(keys)]
        )
    return differences


def numbered(titles: Sequence[str]) -> list[int | None]:
    """Return a number from 1 for each title that others have too, and none for the rest."""
    return [
        titles[: index + 1].count(title) if titles.count(title) > 1 else None
        for index, title in enumerate(titles)
    ]


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
