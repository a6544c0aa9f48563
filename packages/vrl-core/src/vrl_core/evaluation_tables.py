"""The tables of `vrl evaluate`: one for each task and data, in which like is joined with like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vrl_core.result_table import ResultRow, result_row, results_table
from vrl_core.run_groups import as_key, data_identity, numbered, settings, split, told_apart

if TYPE_CHECKING:
    from vrl_core.evaluate_runs import RunResult


@dataclass(frozen=True, kw_only=True)
class ResultTable:
    """Results of one task, data and environment."""

    title: str
    rows: tuple[ResultRow, ...]
    """A row for each run, and one for the runs of each group of several."""
    summaries: tuple[ResultRow, ...]
    """The row of each group."""
    result: RunResult
    """One of them, for what they share."""


def tables(results: Sequence[RunResult]) -> list[ResultTable]:
    """Group results as reports do, and further by environment and checkpoint."""
    parts = split(results, lambda it: f"{data_identity(it.run)} {as_key(it.differences)}")
    titles = [_title(part[0]) for part in parts]
    return [
        _table(title + (f" ({number})" if number else ""), part)
        for title, number, part in zip(titles, numbered(titles), parts, strict=True)
    ]


def _title(result: RunResult) -> str:
    run, changed = result.run, result.differences
    words = ", ".join(f"{name} {value}" for name, value in sorted(changed.items()))
    return f"{run.task} from {run.quality} data" + (f", evaluated with {words}" if words else "")


def _table(title: str, results: Sequence[RunResult]) -> ResultTable:
    groups = split(results, lambda it: as_key(_telling(it)))
    differences = told_apart(_telling(group[0]) for group in groups)
    rows: list[ResultRow] = []
    joined: list[ResultRow] = []
    summaries: list[ResultRow] = []
    for words, group in zip(differences, groups, strict=True):
        rows += (result_row_of(_name(result, words), [result]) for result in group)
        if len(group) > 1:
            joined.append(result_row_of(", ".join([group[0].run.algorithm, *words, "all"]), group))
        summaries.append(joined[-1] if len(group) > 1 else rows[-1])
    return ResultTable(
        title=title, rows=(*rows, *joined), summaries=tuple(summaries), result=results[0]
    )


def _telling(result: RunResult) -> dict[str, Any]:
    return settings(result.run) | {"update": result.step}


def _name(result: RunResult, words: Sequence[str]) -> str:
    seed = "" if result.run.seed is None else f" seed {result.run.seed}"
    return ", ".join([f"{result.run.algorithm}{seed}", *words])


def result_row_of(name: str, results: Sequence[RunResult]) -> ResultRow:
    """Return a row over the episodes of some results."""
    evaluations = [result.evaluation for result in results]
    successes = [evaluation.successes for evaluation in evaluations]
    told = [value for values in successes if values is not None for value in values]
    return result_row(
        name,
        [value for evaluation in evaluations for value in evaluation.returns],
        references=results[0].environment.references(),
        runs=[index for index, evaluation in enumerate(evaluations) for _ in evaluation.returns],
        success=sum(told) / len(told) if told else None,
    )


def print_results(results: Sequence[RunResult], console: Any) -> None:
    """Print the tables, and means on the scale of the papers' tables where they have one."""
    for table in tables(results):
        console.print(results_table(table.rows, table.title))
        environment = table.result.environment
        references = environment.references()
        if references:
            random, expert = f"{references.random:g} (random)", f"{references.expert:g} (expert)"
            console.print(f"score: 0% is {random}, 100% is {expert}")
        for row in table.summaries:
            score = environment.published_score(row.summary.mean)
            if score is not None:
                console.print(f"{row.name}: {score:.1f} on the scale of the papers' tables")
