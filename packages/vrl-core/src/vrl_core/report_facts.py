"""The small facts of a report: what ran where, for how long, with which versions."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from vrl_core.report import Group, success_rate
from vrl_core.result_table import interval, number, percent
from vrl_core.run_record import EVALUATIONS, EvaluationRecord, RunRecord
from vrl_core.statistics import summary

SUCCESS_COLUMN = 3
"""Behind the return and its interval."""


def seed_lines(group: Group) -> list[list[str]]:
    """Return a header and one line of texts a run; the success stands where one tells of it."""
    header = ["seed", "mean", "95% CI", "episodes", "updates", "time", "evaluated by", "folder"]
    lines = [header, *(_seed_line(run) for run in group.runs)]
    rates = [success_rate([run.final]) if run.final else None for run in group.runs]
    if any(rate is not None for rate in rates):
        for line, text in zip(lines, ["success", *map(_share, rates)], strict=True):
            line.insert(SUCCESS_COLUMN, text)
    return lines


def _share(rate: float | None) -> str:
    return percent(None if rate is None else 100 * rate)


def _seed_line(run: RunRecord) -> list[str]:
    seed, time = str(run.seed), duration(run.seconds)
    if run.final is None:
        return [seed, "never evaluated", "", "", "", time, "", str(run.folder)]
    numbers = summary(run.final.returns)
    return [
        seed,
        number(numbers.mean),
        interval(numbers.low, numbers.high) if numbers.n > 1 else "",
        str(numbers.n),
        f"{run.final.step:,}",
        time,
        _evaluated_by(run.final),
        str(run.folder),
    ]


def _evaluated_by(evaluation: EvaluationRecord) -> str:
    return "vrl evaluate" if evaluation.source.startswith(EVALUATIONS + "/") else "vrl train"


def duration(seconds: float | None) -> str:
    """Write seconds as a person says them."""
    if seconds is None:
        return ""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def group_facts(group: Group) -> list[tuple[str, str]]:
    """Return names and texts: the command, the machine, the versions."""
    facts = group.shown_run.facts
    named = {
        "command": _command(facts.get("command")),
        "hardware": _flat_text(facts.get("hardware")),
        "versions": _flat_text(facts.get("versions")),
        "plugins": _flat_text(facts.get("plugins")),
        "git": _flat_text(facts.get("git")),
        "VRL's source": _flat_text(facts.get("source")),
        "speed": _speed(group.shown_run),
    }
    return [(name, text) for name, text in named.items() if text]


def _command(command: Any) -> str:
    return shlex.join(map(str, command)) if isinstance(command, list) else str(command or "")


def _speed(run: RunRecord) -> str:
    rate = run.last_metrics.get("updates_per_second")
    return f"{rate:.1f} updates/s" if isinstance(rate, int | float) else ""


def _flat_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(
            f"{key} {_flat_text(part)}" for key, part in value.items() if part is not None
        )
    if isinstance(value, list):
        return ", ".join(map(_flat_text, value))
    return value if isinstance(value, str) else json.dumps(value) if value is not None else ""


def data_facts(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return names and texts that describe a dataset."""
    spec = facts.get("spec") or {}
    named = {
        "source": spec.get("source"),
        "licence": spec.get("licence"),
        "episodes": facts.get("episodes"),
        "observations": _observations(spec.get("observations") or {}),
        "render quality": spec.get("render_quality"),
        "action repeat": spec.get("action_repeat"),
        "simulators": _flat_text(spec.get("versions") or None),
    }
    return [(name, str(text)) for name, text in named.items() if text not in (None, "")]


def _observations(fields: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {'×'.join(map(str, field['shape']))} {field['dtype']}"
        for name, field in fields.items()
    )
