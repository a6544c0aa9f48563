"""The callback `theory-bound`: the empirical bound at every evaluation of a run."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vrl_core.checkpoint import checkpoints
from vrl_core.device import choose_device, preserve_random_state
from vrl_core.errors import VRLError
from vrl_core.json_lines import JsonLines
from vrl_core.protocols import Callback
from vrl_core.registry import Registry
from vrl_core.run_folder import RunFolder
from vrl_core.store import Store
from vrl_theory.bound_report import draw_bounds, judge
from vrl_theory.empirical import EmpiricalBound
from vrl_theory.judged_run import UntrainedModelError, load_judged, with_penalty

if TYPE_CHECKING:
    from vrl_core.evaluate import Evaluation
    from vrl_theory.config import TheoryBoundConfig

LINES = "theory_bound.jsonl"
FIGURE = "theory_bound"


class TheoryBound(Callback):
    """Writes `theory_bound.jsonl` (fields of `EmpiricalBound`) and a figure into the run's folder.

    The model is read from the checkpoint that precedes every evaluation, so training is not
    touched; its generators are put back. Evaluations before the model is trained are passed over.
    A resumed run forgets what it will do again.
    """

    def __init__(self, config: TheoryBoundConfig) -> None:
        """Open the expert's episodes; raises `VRLError` when there are none."""
        if config.expert is None:
            raise VRLError(
                "The callback theory-bound needs the expert's episodes, expert: STORE. Name the "
                "store in a file, `callbacks: [{name: theory-bound, expert: STORE}]`, and give "
                "that with --config."
            )
        self._config = config
        self._store = Store.open(config.expert)
        self._device = choose_device(config.device)
        self._folder: Path | None = None

    def on_start(self, folder: Path) -> None:
        """Note the run's folder; drop lines that lie after its newest checkpoint."""
        self._folder = folder
        steps = [step for step, _ in checkpoints(RunFolder(folder).checkpoints)]
        lines = self._lines(folder)
        if lines.path.exists():
            lines.truncate(max(steps, default=0))

    def on_evaluation(self, step: int, evaluation: Evaluation) -> None:
        """Judge the model of the checkpoint just written, beside this evaluation's gap."""
        assert self._folder is not None  # a run starts before it evaluates
        lines = self._lines(self._folder)
        if any(line["step"] == step for line in lines.read()):
            return
        try:
            bound = self._judge(self._folder, step, float(np.mean(evaluation.returns)))
        except UntrainedModelError:
            return
        lines.append(bound.to_data())

    def on_end(self, step: int) -> None:  # noqa: ARG002
        """Draw what was found."""
        assert self._folder is not None  # a run starts before it ends
        found = [_from_data(line) for line in self._lines(self._folder).read()]
        if found:
            draw_bounds(found, self._folder / FIGURE)
        else:
            warnings.warn(
                "theory-bound judged nothing: no evaluation followed the end of the model's "
                "training. Evaluate more often (evaluate_every), and train a model (real_share)."
            )

    def _judge(self, folder: Path, step: int, policy_return: float) -> EmpiricalBound:
        config, registry = self._config, Registry()
        with preserve_random_state(self._device):  # building the algorithm draws its weights
            run = load_judged(folder, registry, self._device, step)
            run = with_penalty(run, config.penalty, config.weight, registry)
            return judge(
                run,
                self._store,
                horizon=config.horizon,
                episodes=config.episodes,
                discount=config.discount,
                seed=0,
                device=self._device,
                policy_return=policy_return,
            )

    def _lines(self, folder: Path) -> JsonLines:
        return JsonLines(folder / LINES)


def _from_data(line: dict[str, object]) -> EmpiricalBound:
    fields = {name: value for name, value in line.items() if name != "holds"}
    fields["by_horizon"] = tuple(line["by_horizon"])  # type: ignore[arg-type]
    return EmpiricalBound(**fields)  # type: ignore[arg-type]
