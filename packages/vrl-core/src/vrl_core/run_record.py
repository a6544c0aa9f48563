"""What a run's folder says of the run, read without torch and without rebuilding anything.

A folder that is damaged or unfinished still gives a record; what is wrong is in `problems`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vrl_core.errors import VRLError

EVALUATIONS = "evaluations"
"""Folder of the evaluations that `vrl evaluate` wrote, one JSON file each."""


@dataclass(frozen=True, kw_only=True)
class EvaluationRecord:
    """An evaluation as it stands in a file."""

    step: int
    returns: tuple[float, ...]
    successes: tuple[bool, ...] | None = None
    seconds: float | None = None
    """Wall time of the run when it was made."""
    source: str
    """File it was read from."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run."""

    folder: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    """The content of `config.yaml`."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The content of `run.json`."""
    curve: tuple[EvaluationRecord, ...] = ()
    """Evaluations during training, by step."""
    final: EvaluationRecord | None = None
    """The evaluation with most episodes of the newest checkpoint that was evaluated."""
    last_metrics: Mapping[str, Any] = field(default_factory=dict)
    videos: tuple[Path, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def spec(self) -> Mapping[str, Any]:
        """The dataset's `DataSpec`."""
        return _mapping(_mapping(self.facts.get("dataset")).get("spec"))

    @property
    def task(self) -> str:
        """Name of the task."""
        return str(self.spec.get("task", "unknown task"))

    @property
    def quality(self) -> str:
        """What acted in the data."""
        return str(self.spec.get("behaviour", "unknown data"))

    @property
    def environment(self) -> Mapping[str, Any]:
        """Settings of the environment it was evaluated in: its own, else the data's."""
        return _mapping(self.config.get("environment")) or _mapping(self.spec.get("environment"))

    @property
    def evaluated_task(self) -> str:
        """Task of that environment."""
        return str(self.environment.get("task", self.task))

    @property
    def algorithm(self) -> str:
        """Registered name of the algorithm."""
        return str(_mapping(self.config.get("algorithm")).get("name", "unknown algorithm"))

    @property
    def seed(self) -> int | None:
        """Seed of the run."""
        seed = self.config.get("seed")
        return seed if isinstance(seed, int) else None

    @property
    def seconds(self) -> float | None:
        """Seconds of training."""
        seconds = self.last_metrics.get("seconds")
        return float(seconds) if isinstance(seconds, int | float) else None


def read_run(folder: Path) -> RunRecord:
    """Read a run's folder. Raises `VRLError` when it is not one."""
    if not (folder / "config.yaml").is_file():
        raise VRLError(
            f"{folder} is not a run's folder: it has no config.yaml. "
            "A run's folder is what `vrl train` names when it starts, such as "
            "runs/walker_walk/drq-bc/2026-01-31-120000-seed0."
        )
    problems: list[str] = []
    config = _read_yaml(folder / "config.yaml", problems)
    facts = _read_json(folder / "run.json", problems)
    metrics = list(_read_lines(folder / "metrics.jsonl", problems))
    curve = _curve(folder, problems)
    final = _final(folder, curve, problems)
    last = metrics[-1] if metrics else {}
    problems += _unfinished(facts, last, final)
    return RunRecord(
        folder=folder,
        config=config,
        facts=facts,
        curve=curve,
        final=final,
        last_metrics=last,
        videos=tuple(sorted((folder / "videos").glob("*.mp4"), key=_video_order)),
        problems=tuple(problems),
    )


def _unfinished(
    facts: Mapping[str, Any], last: Mapping[str, Any], final: EvaluationRecord | None
) -> list[str]:
    problems = []
    planned, done = facts.get("steps"), last.get("step", 0)
    if isinstance(planned, int) and done < planned and not facts.get("finished"):
        text = f"training has not finished: {done:,} of {planned:,} updates are logged"
        counted = f"; its evaluation at update {final.step:,} counts" if final else ""
        problems.append(text + counted)
    if final is None:
        problems.append("it has never been evaluated")
    return problems


def _curve(folder: Path, problems: list[str]) -> tuple[EvaluationRecord, ...]:
    path = folder / "evaluations.jsonl"
    if not path.exists():
        return ()
    records = {line["step"]: _record(line, path) for line in _read_lines(path, problems)}
    return tuple(records[step] for step in sorted(records))


def _final(
    folder: Path, curve: tuple[EvaluationRecord, ...], problems: list[str]
) -> EvaluationRecord | None:
    found = list(curve)
    for path in sorted((folder / EVALUATIONS).glob("*.json")):
        data = _read_json(path, problems)
        # Another environment than the data's answers another question; it is not the run's result.
        if "returns" in data and not data.get("overrides"):
            found.append(_record(data, path))
    return max(found, key=lambda record: (record.step, len(record.returns)), default=None)


def _record(data: Mapping[str, Any], path: Path) -> EvaluationRecord:
    successes = data.get("successes")
    return EvaluationRecord(
        step=int(data["step"]),
        returns=tuple(float(value) for value in data["returns"]),
        successes=None if successes is None else tuple(bool(value) for value in successes),
        seconds=data.get("seconds"),
        source=path.name if path.parent.name != EVALUATIONS else f"{EVALUATIONS}/{path.name}",
    )


def _read_yaml(path: Path, problems: list[str]) -> Mapping[str, Any]:
    from vrl_core.config import load_yaml

    try:
        return _mapping(load_yaml(path))
    except VRLError as error:
        problems.append(f"{path.name} cannot be read: {error}")
        return {}


def _read_json(path: Path, problems: list[str]) -> Mapping[str, Any]:
    try:
        return _mapping(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        problems.append(f"{path.name} is missing")
    except (OSError, ValueError) as error:
        problems.append(f"{path.name} cannot be read: {error}")
    return {}


def _read_lines(path: Path, problems: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the JSON lines of a file; a last line that was cut off is left out silently."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        problems.append(f"{path.name} cannot be read: {error.strerror}")
        return
    for number, line in enumerate(lines, start=1):
        try:
            data = json.loads(line)
        except ValueError:
            if number < len(lines):
                problems.append(f"{path.name} is damaged in line {number}")
            continue
        if isinstance(data, dict) and "step" in data:
            yield data


def _video_order(path: Path) -> tuple[int, str]:
    numbers = re.findall(r"\d+", path.stem)
    return (int(numbers[0]) if numbers else -1, path.name)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
