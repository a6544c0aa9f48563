"""From runs to a report: group them, join their seeds, and write tables, curves and a page.

Runs belong together when they learn the same task from the same data with the same settings and
differ in nothing but their seed. Nothing is left out in silence: a run that is missing, unfinished
or was never evaluated is named with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vrl_core.curves import LearningCurve, Level, draw_learning_curves, learning_curve
from vrl_core.errors import VRLError
from vrl_core.hooks import EnvironmentConfig, ReferenceReturns
from vrl_core.result_table import ResultRow, known_row, result_row
from vrl_core.run_groups import as_key, data_identity, numbered, settings, split, told_apart
from vrl_core.run_record import EvaluationRecord, RunRecord, read_run

if TYPE_CHECKING:
    from vrl_core.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Group:
    """Runs that differ in their seed alone."""

    label: str
    """The algorithm, with the settings that tell it from the section's other groups."""
    runs: tuple[RunRecord, ...]
    row: ResultRow | None
    """Over all episodes of the runs' final evaluations; None when there are none."""

    @property
    def shown_run(self) -> RunRecord:
        """The run whose video and configuration are shown: the first that has a video."""
        return next((run for run in self.runs if run.videos), self.runs[0])


@dataclass(frozen=True, kw_only=True)
class Section:
    """All that was learnt of one task from one dataset."""

    task: str
    quality: str
    evaluated_task: str
    """Task of the environment that the policies were judged in; the data's but for old runs."""
    data_facts: Mapping[str, Any]
    """The dataset as `run.json` describes it."""
    references: ReferenceReturns | None
    levels: tuple[Level, ...]
    data_row: ResultRow | None
    groups: tuple[Group, ...]
    curves: tuple[LearningCurve, ...]
    number: int | None = None
    """Tells sections with other data of the same task and quality apart."""

    @property
    def title(self) -> str:
        """Task and data, as a heading."""
        number = f" ({self.number})" if self.number else ""
        elsewhere = "" if self.evaluated_task == self.task else f", in {self.evaluated_task}"
        return f"{self.task} from {self.quality} data{elsewhere}{number}"

    @property
    def slug(self) -> str:
        """Title as a file name."""
        elsewhere = "" if self.evaluated_task == self.task else f"-in-{self.evaluated_task}"
        number = f"-{self.number}" if self.number else ""
        name = f"{self.task}-{self.quality}{elsewhere}{number}"
        return "".join(letter if letter.isalnum() else "-" for letter in name).lower()

    @property
    def rows(self) -> list[ResultRow]:
        """The section's table."""
        rows = [
            known_row(name, value, origin="reference", references=self.references)
            for name, value in _reference_levels(self.references)
        ]
        data = [self.data_row] if self.data_row else []
        return rows[:1] + data + [group.row for group in self.groups if group.row] + rows[1:]


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything a report shows."""

    sections: tuple[Section, ...]
    problems: tuple[tuple[str, str], ...]
    """Folder and what is wrong with it."""
    runs: int


@dataclass(frozen=True)
class ReportFiles:
    """Where a report was written."""

    page: Path
    markdown: Path
    pictures: tuple[Path, ...]


def gather(folders: Sequence[Path], registry: Registry | None = None) -> Report:
    """Read runs and group them. Raises `VRLError` when no folder holds a run.

    With a `registry`, environments give their reference returns.
    """
    runs, problems = [], []
    for folder in folders:
        try:
            run = read_run(folder)
        except VRLError as error:
            problems.append((str(folder), str(error)))
            continue
        runs.append(run)
        problems += [(str(folder), problem) for problem in run.problems]
    if not runs:
        raise VRLError(
            "None of these is a run's folder: "
            + (", ".join(map(str, folders)) or "(no folder was given)")
            + ". Train first, or name the folders that vrl train made, such as runs/*/*/*."
        )
    sections = _numbered([_section(part, registry) for part in split(runs, data_identity)])
    problems += [problem for section in sections for problem in _same_seeds(section)]
    return Report(sections=tuple(sections), problems=tuple(problems), runs=len(runs))


def write_report(report: Report, output: Path) -> ReportFiles:
    """Write `index.html`, `report.md` and the pictures into `output`, replacing older ones.

    Raises `VRLError` when `output` cannot be written.
    """
    from vrl_core.report_markdown import markdown_report
    from vrl_core.report_page import html_page

    files = ReportFiles(output / "index.html", output / "report.md", _pictures(report, output))
    try:
        output.mkdir(parents=True, exist_ok=True)
        for section in report.sections:
            if section.curves:
                draw_learning_curves(
                    section.curves,
                    output / section.slug,
                    levels=section.levels,
                    title=section.title,
                )
        files.page.write_text(html_page(report, output), encoding="utf-8")
        files.markdown.write_text(markdown_report(report, output), encoding="utf-8")
    except OSError as error:
        raise VRLError(f"The report cannot be written to {output}: {error.strerror}.") from error
    return files


def _pictures(report: Report, output: Path) -> tuple[Path, ...]:
    return tuple(output / f"{section.slug}.png" for section in report.sections if section.curves)


def _section(runs: list[RunRecord], registry: Registry | None) -> Section:
    first = runs[0]
    references = _references(runs, registry)
    parts = split(runs, lambda run: as_key(settings(run)))
    differences = told_apart(settings(part[0]) for part in parts)
    groups = [
        _group(", ".join([part[0].algorithm, *words]), part, references)
        for words, part in zip(differences, parts, strict=True)
    ]
    data_row = _data_row(runs, references)
    levels = [Level(name, value, ":") for name, value in _reference_levels(references)]
    if data_row:
        levels.append(Level("data", data_row.summary.mean))
    return Section(
        task=first.task,
        quality=first.quality,
        evaluated_task=first.evaluated_task,
        data_facts=first.facts.get("dataset", {}),
        references=references,
        levels=tuple(levels),
        data_row=data_row,
        groups=tuple(groups),
        curves=tuple(_curves(groups)),
    )


def _numbered(sections: Sequence[Section]) -> list[Section]:
    numbers = numbered([section.title for section in sections])
    return [
        replace(section, number=number) for section, number in zip(sections, numbers, strict=True)
    ]


def _group(label: str, runs: list[RunRecord], references: ReferenceReturns | None) -> Group:
    ordered = tuple(sorted(runs, key=lambda run: (run.seed is None, run.seed, str(run.folder))))
    finals = [run.final for run in ordered if run.final]
    row = None
    if finals:
        returns = [value for final in finals for value in final.returns]
        owners = [index for index, final in enumerate(finals) for _ in final.returns]
        row = result_row(
            label, returns, references=references, runs=owners, success=success_rate(finals)
        )
    return Group(label=label, runs=ordered, row=row)


def success_rate(evaluations: Sequence[EvaluationRecord]) -> float | None:
    """Share of successful episodes; None when one evaluation knows nothing of success."""
    told = [evaluation.successes for evaluation in evaluations]
    values = [value for successes in told if successes is not None for value in successes]
    return None if None in told or not values else float(np.mean(values))


def _curves(groups: Sequence[Group]) -> list[LearningCurve]:
    curves = []
    for group in groups:
        runs = [{point.step: point.returns for point in run.curve} for run in group.runs]
        evaluated = [run for run in runs if run]
        if evaluated:
            seeds = f"{len(evaluated)} seeds" if len(evaluated) > 1 else "1 seed"
            curves.append(learning_curve(f"{group.label} ({seeds})", evaluated))
    return curves


def _data_row(runs: Sequence[RunRecord], references: ReferenceReturns | None) -> ResultRow | None:
    """Row of the data that all these runs learn from; older ones did not record its success."""
    facts = [run.facts.get("dataset", {}) for run in runs]
    returns = facts[0].get("returns")
    if not returns:
        return None
    told = (data["success"] for data in facts if data.get("success") is not None)
    return result_row("data", returns, references=references, success=next(told, None))


def _reference_levels(references: ReferenceReturns | None) -> list[tuple[str, float]]:
    if references is None:
        return []
    return [("random policy", references.random), ("expert policy", references.expert)]


def _references(runs: Sequence[RunRecord], registry: Registry | None) -> ReferenceReturns | None:
    """Ask the runs' environment; a missing plugin only costs the report its reference lines."""
    if registry is None:
        return None
    from vrl_core.config import from_data

    data = dict(runs[0].environment)
    try:
        environment: EnvironmentConfig = from_data("environments", data, registry)
    except VRLError:
        return None
    return environment.references()


def _same_seeds(section: Section) -> list[tuple[str, str]]:
    problems = []
    for group in section.groups:
        seeds = [run.seed for run in group.runs]
        for index, run in enumerate(group.runs):
            if run.seed in seeds[:index]:
                text = f"another run of {group.label} has the same seed {run.seed}; both count"
                problems.append((str(run.folder), text))
    return problems
