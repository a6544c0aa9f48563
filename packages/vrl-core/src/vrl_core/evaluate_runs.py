"""Evaluate the policies of runs and keep the results in their folders."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vrl_core.agreement import check_identity, check_layout, differences, warn_of_other_versions
from vrl_core.atomic import write_text
from vrl_core.config import from_data, to_data
from vrl_core.config_paths import with_absolute_paths
from vrl_core.errors import VRLError
from vrl_core.evaluate import LANES, Evaluation, EvaluationPool
from vrl_core.evaluation_tables import print_results, result_row_of
from vrl_core.hooks import EnvironmentConfig
from vrl_core.run_record import EVALUATIONS, RunRecord, read_run
from vrl_core.video import write_gif, write_video

if TYPE_CHECKING:
    from vrl_core.registry import Registry
    from vrl_core.run_folder import Restored

LONGEST_NAME = 60
"""Letters of a file's name for what was changed of an environment; files have 255 bytes at most."""


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
    """Settings of the environment that the request changed, but for places of files."""
    differences: Mapping[str, Any]
    """Settings of the environment that are not the data's, overrides among them."""
    evaluation: Evaluation


def evaluate_runs(
    folders: Sequence[Path],
    request: EvaluationRequest,
    registry: Registry,
    *,
    as_json: bool = False,
) -> list[RunResult]:
    """Evaluate runs one after the other, write their results, and print tables or JSON.

    Raises `VRLError` at the end when a folder is no run, the environment does not fit the data, or
    an evaluation fails; the results of all others are on disk and printed by then.
    """
    from rich.console import Console

    parse_overrides(request.overrides)  # a mistake in them is no run's
    console = Console(highlight=False, quiet=as_json)
    results: list[RunResult] = []
    failures: list[str] = []
    for folder in folders:
        try:
            for file in _evaluate_and_keep(folder, request, registry, results):
                console.print(f"wrote {file}", soft_wrap=True)
        except VRLError as error:
            failures.append(f"{folder}: {error}" if len(folders) > 1 else str(error))
    if as_json:
        print(json.dumps([_data(result, request, registry) for result in results], indent=2))
    elif results:
        print_results(results, console)
    if failures:
        raise VRLError(_said(failures, len(folders)))
    return results


def _evaluate_and_keep(
    folder: Path, request: EvaluationRequest, registry: Registry, results: list[RunResult]
) -> Iterator[Path]:
    """Evaluate a run and yield the files written: what was measured first, then its videos."""
    result = evaluate_run(folder, request, registry)
    results.append(result)
    yield write_result(result, request, registry)
    yield from _videos(folder, result, request)


def _said(failures: Sequence[str], runs: int) -> str:
    if runs == 1:
        return failures[0]
    return f"{len(failures)} of {runs} runs failed, the others count:\n" + "\n".join(failures)


def evaluate_run(folder: Path, request: EvaluationRequest, registry: Registry) -> RunResult:
    """Restore a run's policy and evaluate it."""
    from vrl_core.device import choose_device
    from vrl_core.run_folder import restore

    run = read_run(folder)
    restored = restore(folder, registry, choose_device(request.device), request.checkpoint)
    overrides = parse_overrides(request.overrides)
    environment = evaluation_environment(restored, overrides, registry)
    found = differences(restored.spec, environment, registry)
    changed = {
        key: value
        for key, value in overrides.items()
        # Where files lie on this machine is no other environment, unless the data says where.
        if key in found or not isinstance(getattr(environment, key, None), Path)
    }
    if not request.allow_mismatch:
        check_identity(restored.spec, environment, registry)
    warn_of_other_versions(restored.spec, environment, registry)
    lanes = max(1, min(LANES, request.episodes))
    with (
        EvaluationPool(environment, workers=request.workers, lanes=lanes) as pool,
        _progress(f"{folder.name}", request.episodes) as on_step,
    ):
        policy = restored.algorithm.policy()
        check_layout(restored.spec, pool.layout, policy)
        evaluation = pool.evaluate(
            policy,
            episodes=request.episodes,
            seed=request.seed,
            record=request.videos,
            on_step=on_step,
        )
    return RunResult(
        run=run,
        step=restored.step,
        environment=environment,
        overrides=changed,
        differences={name: mine for name, (_, mine) in found.items()} | changed,
        evaluation=evaluation,
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
    data = dict(data or {})
    if overrides.get("name", data.get("name")) != data.get("name"):
        data = {}  # the settings of another environment say nothing of this one
    environment: EnvironmentConfig = from_data("environments", {**data, **overrides}, registry)
    return with_absolute_paths(environment)


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


def _videos(folder: Path, result: RunResult, request: EvaluationRequest) -> Iterator[Path]:
    changed, rate = overrides_name(result.overrides), result.evaluation.frames_per_second
    for episode, frames in enumerate(result.evaluation.frames):
        name = f"step_{result.step:08d}-seed{request.seed}-episode{episode}{changed}"
        path = folder / "videos" / f"{name}.mp4"
        yield write_video(frames, path, rate)
        if request.gif:
            yield write_gif(frames, path.with_name(f"{name}.gif"), rate)


def write_result(result: RunResult, request: EvaluationRequest, registry: Registry) -> Path:
    """Write a run's result to its folder, whole or not at all, and return the file."""
    name = f"step_{result.step:08d}-seed{request.seed}-{request.episodes}episodes"
    changed = overrides_name(result.overrides)
    path = result.run.folder / EVALUATIONS / f"{name}{changed}.json"
    try:
        path.parent.mkdir(exist_ok=True)
        text = json.dumps(_data(result, request, registry), indent=2)
        write_text(path, text + "\n")
    except OSError as error:
        raise VRLError(f"The evaluation cannot be written to {path}: {error.strerror}.") from error
    return path


def overrides_name(overrides: Mapping[str, Any]) -> str:
    """Return the part of a file's name that tells overrides from others: `-rendering=reference`.

    What is long, or has letters that no file's name should have, is cut and ends in a number of
    its own.
    """
    said = "".join(f"-{key}={value}" for key, value in overrides.items())
    safe = re.sub(r"[^A-Za-z0-9_.=-]", "_", said)
    if safe == said and len(said) <= LONGEST_NAME:
        return said
    digest = hashlib.sha256(said.encode()).hexdigest()[:8]
    return f"{safe[:LONGEST_NAME]}-{digest}"


def _data(result: RunResult, request: EvaluationRequest, registry: Registry) -> dict[str, Any]:
    row = result_row_of("", [result])
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
