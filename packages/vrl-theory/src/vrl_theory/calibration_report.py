"""`vrl theory calibration`: penalties of runs against the true error, by horizon."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vrl_core.curves import COLOURS
from vrl_core.device import choose_device, seed_everything
from vrl_core.store import Store
from vrl_theory.calibration import Calibration, calibrate
from vrl_theory.judged_run import (
    build_penalty,
    distinct_labels,
    judged_steps,
    load_judged,
    named_penalty,
    registered_name,
    require_estimate,
    require_same_kind,
)
from vrl_theory.learned_calibration import find_simulator, rollout_errors
from vrl_theory.output_files import draw, number, percent, publish

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from vrl_core.registry import Registry
    from vrl_theory.config import Theory

HEADER = (
    "penalty",
    "run",
    "horizon",
    "ρ error",
    "95% interval",
    "admissible",
    "95% factor",
    "penalty",
    "error",
)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The calibration of one penalty of one run on one store."""

    penalty: str
    label: str
    data: str
    steps: tuple[Calibration, ...]
    """By horizon, and last all together."""

    def to_data(self) -> dict[str, Any]:
        """Plain values for JSON."""
        steps = [step.to_data() for step in self.steps]
        return {"penalty": self.penalty, "run": self.label, "data": self.data, "horizons": steps}


def report_calibration(command: Theory, registry: Registry) -> int:
    """Calibrate each penalty of each run's newest model on each store; write and print it."""
    device = choose_device(command.device)
    stores = [Store.open(path) for path in command.data]
    judged = [
        (each, folder)
        for folder in command.runs
        for store in stores
        for each in _judged(folder, store, command, registry, device)
    ]
    labels = distinct_labels([(each.label, folder) for each, folder in judged])
    pairs = zip(judged, labels, strict=True)
    found = [replace(each, label=label) for (each, _), label in pairs]
    folder = command.output or command.runs[0] / "theory"
    publish(
        folder,
        "calibration",
        [HEADER, *(line for each in found for line in _lines(each))],
        {"seed": command.seed, "calibrations": [each.to_data() for each in found]},
        title="Penalties against the true error of one more step",
        as_json=command.json,
    )
    draw(folder / "calibration", [lambda axes: _draw(axes, found)])
    return 0


def _judged(
    folder: Path, store: Store, command: Theory, registry: Registry, device: torch.device
) -> Iterator[Judged]:
    run = load_judged(folder, registry, device, judged_steps(folder)[-1])
    require_same_kind(run, store)
    configs: dict[str, Any] = {word: named_penalty(word, registry) for word in command.penalty}
    for config in configs.values():
        require_estimate(replace(run, penalty_config=config), registry, asked=True)
    if not configs:
        require_estimate(run, registry, asked=False)
        configs = {registered_name(run.penalty_config, registry): run.penalty_config}
    seed_everything(command.seed)
    found = rollout_errors(
        run.model,
        store,
        {name: build_penalty(config, device) for name, config in configs.items()},
        find_simulator(store, registry),
        horizon=command.horizon,
        episodes=command.episodes,
        device=device,
        seed=command.seed,
    )
    for name, penalties in found.penalties.items():
        steps = calibrate(penalties, found.errors, found.episodes, command.seed)
        yield Judged(penalty=name, label=run.label, data=str(store.path), steps=steps)


def _lines(judged: Judged) -> Iterator[list[str]]:
    for step in judged.steps:
        yield [
            judged.penalty,
            judged.label,
            "all" if step.horizon is None else str(step.horizon),
            number(step.correlation),
            _interval(step),
            percent(step.admissible),
            number(step.factor),
            number(step.mean_penalty),
            number(step.mean_error),
        ]


def _interval(step: Calibration) -> str:
    if step.correlation_low is None or step.correlation_high is None:
        return number(None)
    return f"{step.correlation_low:.2f} to {step.correlation_high:.2f}"


def _draw(axes: Axes, found: Sequence[Judged]) -> None:
    for index, judged in enumerate(found):
        steps = [step for step in judged.steps if step.horizon is not None]
        points = [(s.horizon, s.correlation) for s in steps if s.correlation is not None]
        if points:
            label = f"{judged.penalty}, {judged.label}"
            colour = COLOURS[index % len(COLOURS)]
            axes.plot(*zip(*points, strict=True), "o-", color=colour, label=label)
    axes.set_xlabel("imagined steps before")
    axes.set_ylabel("rank correlation with the true error")
    axes.set_title("Does the penalty rank states by error?", loc="left", fontsize=11)
