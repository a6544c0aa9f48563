"""`vrl evaluate`: returns, intervals and videos of the policies that runs have learned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vrl_core.arguments import Arguments
from vrl_core.commands.report import runs_under

if TYPE_CHECKING:
    from vrl_core.registry import Registry

DESCRIPTION = """\
Evaluate the policy of one or several runs in the simulator. Runs that differ in their seed alone
are joined: whole runs and their episodes are resampled for the 95% intervals. Each run's result is
written to its folder (evaluations/, videos/), where vrl report finds it.

examples:
  vrl evaluate runs/walker_walk/drq-bc/2026-01-31-120000-seed0
  vrl evaluate runs/walker_walk/drq-bc --episodes 50 --video 2
  vrl evaluate RUN --environment rendering=reference --allow-mismatch
"""


def main(arguments: Sequence[str], registry: Registry) -> int:
    """Evaluate the runs one after the other and print one table, or JSON."""
    options = _parser().parse_args(arguments)
    from vrl_core.evaluate_runs import EvaluationRequest, evaluate_runs

    request = EvaluationRequest(
        episodes=options.episodes,
        seed=options.seed,
        videos=options.video,
        gif=options.gif,
        checkpoint=options.checkpoint,
        overrides=tuple(options.environment),
        allow_mismatch=options.allow_mismatch,
        workers=options.workers,
        device=options.device,
    )
    folders = [folder for path in options.runs for folder in runs_under(path)]
    evaluate_runs(folders, request, registry, as_json=options.json)
    return 0


def _parser() -> Arguments:
    parser = Arguments("vrl evaluate", DESCRIPTION)
    add = parser.add_argument
    add("runs", nargs="+", type=Path, help="folders of runs, or folders of those")
    add("--episodes", type=int, default=10, help="episodes a run (default: 10)")
    add("--seed", type=int, default=0, help="seed of the episodes' starts (default: 0)")
    add("--video", type=int, default=0, metavar="N", help="record the first N episodes as mp4")
    add("--gif", action="store_true", help="write recorded episodes as GIF too")
    add("--checkpoint", default="last", help="'last' or the number of updates (default: last)")
    add(
        "--environment",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="change settings of the environment, such as task=walker_run",
    )
    add(
        "--allow-mismatch",
        action="store_true",
        help="evaluate although task, camera, render quality, ... differ from the data's",
    )
    add("--workers", type=int, help="processes that step environments (default: one a core)")
    add("--device", default="auto", choices=["auto", "cpu", "cuda"], help="where the policy runs")
    add("--json", action="store_true", help="print JSON instead of a table")
    return parser
