"""Evaluate the policies of runs and keep the results in their folders."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vrl_core.agreement import check_identity, check_layout
from vrl_core.atomic import write_text
from vrl_core.config import from_data, to_data
from vrl_core.errors import VRLError
from vrl_core.evaluate import LANES, Evaluation, EvaluationPool
from vrl_core.hooks import EnvironmentConfig, ReferenceReturns
from vrl_core.result_table import ResultRow, result_row, results_table
from vrl_core.run_record import EVALUATIONS, RunRecord, read_run
from vrl_core.video import write_gif, write_video

if TYPE_CHECKING:
    from vrl_core.registry import Registry
    from vrl_core.run_folder import Restored


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """How runs are evaluated."""

    episodes: int = 10
    seed: int = 0
    videos: int = 0
    """Episodes to record."""
    gif: bool = False
    checkpoint: str = "last"
    """`last`, or a number of updates."""
    overrides: tuple[str, ...] = ()
    """Changes to the data's environment, as `key=value`."""
    allow_mismatch: bool = False
    workers: int | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """One run's evaluation."""

    run: RunRecord
    step: int
    environment: EnvironmentConfig
    overrides: Mapping[str, Any]
    evaluation: Evaluation
    videos: tuple[Path, ...]


def evaluate_runs(
    folders: Sequence[Path],
    request: EvaluationRequest,
    registry: Registry,
    *,
    as_json: bool = False,
) -> list[RunResult]:
    """Evaluate runs one after the other, write their results, and print a table or JSON.

    Raises `VRLError` when a folder is no run, when the environment does not fit the data, or when
    the evaluation fails; results of earlier runs are on disk by then.
    """
    from rich.console import Console

    console = Console(highlight=False)
    results = []
    for folder in folders:
        result = evaluate_run(folder, request, registry)
        path = write_result(result, request, registry)
        results.append(result)
        if not as_json:
            for file in (path, *result.videos):
                console.print(f"wrote {file}", soft_wrap=True)
    if as_json:
        print(json.dumps([_data(result, request, registry) for result in results], indent=2))
    else:
        print_results(results, console)
    return results


def evaluate_run(folder: Path, request: EvaluationRequest, registry: Registry) -> RunResult:
    """Restore a run's policy and evaluate it; videos are written to the run's folder."""
    from vrl_core.device import choose_device
    from vrl_core.run_folder import restore

    run = read_run(folder)
    restored = restore(folder, registry, choose_device(request.device), request.checkpoint)
    overrides = parse_overrides(request.overrides)
    environment = evaluation_environment(restored, overrides, registry)
    if not request.allow_mismatch:
        check_identity(restored.spec, environment)
    lanes = max(1, min(LANES, request.episodes))
    with (
        EvaluationPool(environment, workers=request.workers, lanes=lanes) as pool,
        _progress(f"{folder.name}", request.episodes) as on_step,
    ):
        check_layout(restored.spec, pool.layout)
        evaluation = pool.evaluate(
            restored.algorithm.policy(),
            episodes=request.episodes,
            seed=request.seed,
            record=request.videos,
            on_step=on_step,
        )
    return RunResult(
        run=run,
        step=restored.step,
        environment=environment,
        overrides=overrides,
        evaluation=evaluation,
        videos=tuple(_videos(folder, restored.step, evaluation, request)),
    )


def parse_overrides(words: Sequence[str]) -> dict[str, Any]:
    """Read `key=value` words; values are written as in YAML. Raises `VRLError` otherwise."""
    import yaml

    from vrl_core.yaml_loader import Loader

    overrides = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not (key and equals):
            raise VRLError(f"{word!r} is not of the form KEY=VALUE, such as size=64.")
        overrides[key] = yaml.load(value, Loader)
    return overrides


def evaluation_environment(
    restored: Restored, overrides: Mapping[str, Any], registry: Registry
) -> EnvironmentConfig:
    """Return the environment of a run: the configured one, else the data's, with overrides."""
    configured = restored.config.environment
    data = to_data(configured, registry) if configured else restored.spec.environment
    if not data and "name" not in overrides:
        raise VRLError(
            "The data does not say which environment it was recorded in, and the run's "
            "configuration names none. Name it: --environment name=dmc task=walker_walk"
        )
    environment: EnvironmentConfig = from_data(
        "environments", {**(data or {}), **overrides}, registry
    )
    return environment


@contextmanager
def _progress(title: str, episodes: int) -> Iterator[Callable[[int], None] | None]:
    """Show steps on a terminal; elsewhere be quiet."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"{title}: starting")
        yield lambda steps: progress.update(
            task, description=f"{title}: {episodes} episodes, {steps:,} steps"
        )


def _videos(
    folder: Path, step: int, evaluation: Evaluation, request: EvaluationRequest
) -> Iterator[Path]:
    for episode, frames in enumerate(evaluation.frames):
        name = f"step_{step:08d}-seed{request.seed}-episode{episode}"
        path = folder / "videos" / f"{name}.mp4"
        yield write_video(frames, path, evaluation.frames_per_second)
        if request.gif:
            yield write_gif(frames, path.with_suffix(".gif"), evaluation.frames_per_second)


def write_result(result: RunResult, request: EvaluationRequest, registry: Registry) -> Path:
    """Write a run's result to its folder, whole or not at all, and return the file."""
    name = f"step_{result.step:08d}-seed{request.seed}-{request.episodes}episodes"
    changed = "".join(f"-{key}={value}" for key, value in result.overrides.items())
    safe = "".join(letter if letter.isalnum() or letter in "_-=." else "_" for letter in changed)
    path = result.run.folder / EVALUATIONS / f"{name}{safe}.json"
    try:
        path.parent.mkdir(exist_ok=True)
        text = json.dumps(_data(result, request, registry), indent=2)
        write_text(path, text + "\n")
    except OSError as error:
        raise VRLError(f"The evaluation cannot be written to {path}: {error.strerror}.") from error
    return path


def _data(result: RunResult, request: EvaluationRequest, registry: Registry) -> dict[str, Any]:
    row = run_row(result)
    return {
        "run": str(result.run.folder),
        "algorithm": result.run.algorithm,
        "training_seed": result.run.seed,
        "step": result.step,
        "seed": request.seed,
        "environment": to_data(result.environment, registry),
        "overrides": dict(result.overrides),
        **result.evaluation.to_data(),
        "summary": row.summary.to_data(),
        "normalised": row.normalised,
        "published_scale": result.environment.published_score(row.summary.mean),
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def run_row(result: RunResult) -> ResultRow:
    """Return the table's row of one run."""
    seed = "" if result.run.seed is None else f" seed {result.run.seed}"
    return _row(f"{result.run.algorithm}{seed}", [result])


def joined_rows(results: Sequence[RunResult]) -> list[ResultRow]:
    """Return a row for each algorithm, task and data with several runs."""
    groups: dict[tuple[str, str, str], list[RunResult]] = {}
    for result in results:
        run = result.run
        groups.setdefault((run.task, run.quality, run.algorithm), []).append(result)
    return [_row(f"{key[2]}, all", group) for key, group in groups.items() if len(group) > 1]


def _row(name: str, results: Sequence[RunResult]) -> ResultRow:
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
    """Print the table, and the mean on the scale of the papers' tables where they have one."""
    joined = joined_rows(results)
    first = results[0]
    title = f"{first.run.task} from {first.run.quality} data"
    console.print(results_table([*map(run_row, results), *joined], title))
    references: ReferenceReturns | None = first.environment.references()
    if references:
        console.print(
            f"score: 0% is {references.random:g} (random), 100% is {references.expert:g} (expert)"
        )
    for row in joined or [run_row(first)]:
        score = first.environment.published_score(row.summary.mean)
        if score is not None:
            console.print(f"{row.name}: {score:.1f} on the scale of the papers' tables")
