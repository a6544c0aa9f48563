"""`vrl theory bound`: the empirical bound at every checkpoint of runs, and its figure."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from vrl_core.curves import COLOURS
from vrl_core.device import choose_device, preserve_random_state, seed_everything
from vrl_core.store import Store
from vrl_theory.empirical import EmpiricalBound, empirical_bound, expert_penalties
from vrl_theory.judged_run import (
    JudgedRun,
    UntrainedModelError,
    build_penalty,
    distinct_labels,
    judged_steps,
    load_judged,
    require_same_kind,
    with_penalty,
)
from vrl_theory.output_files import INK, draw, number, publish

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from vrl_core.registry import Registry
    from vrl_theory.config import Theory

HEADER = (
    "run",
    "update",
    "penalty (12)",
    "ε_u",
    "λ",
    "2λε_u",
    "2λε_u, γ=1",
    "expert",
    "policy",
    "gap",
)


def report_bounds(command: Theory, registry: Registry) -> int:
    """Judge every checkpoint of every run on every store, and write and print what was found."""
    device = choose_device(command.device)
    stores = [Store.open(path) for path in command.data]
    found = [
        (bound, folder)
        for folder in command.runs
        for run in trained_checkpoints(folder, registry, device)
        for bound in _bounds(run, stores, command, registry, device)
    ]
    labels = distinct_labels([(bound.label, folder) for bound, folder in found])
    pairs = zip(found, labels, strict=True)
    bounds = [replace(bound, label=label) for (bound, _), label in pairs]
    folder = command.output or command.runs[0] / "theory"
    publish(
        folder,
        "bound",
        [HEADER, *map(_line, bounds)],
        {"seed": command.seed, "bounds": [bound.to_data() for bound in bounds]},
        title=f"Penalty along the expert's actions, {command.horizon} imagined steps",
        as_json=command.json,
    )
    draw_bounds(bounds, folder / "bound")
    return 0


def trained_checkpoints(
    folder: Path, registry: Registry, device: torch.device
) -> Iterator[JudgedRun]:
    """Yield a run at each of its checkpoints, but those at which its model was still in training.

    Warns of what it leaves out; raises `UntrainedModelError` when nothing is left.
    """
    steps = judged_steps(folder)
    skipped: list[int] = []
    for step in steps:
        try:
            run = load_judged(folder, registry, device, step)
        except UntrainedModelError:
            skipped.append(step)
            if len(skipped) == len(steps):
                raise
            continue
        yield run
    if skipped:
        warnings.warn(
            f"{folder}: left out the checkpoints at updates {', '.join(map(str, skipped))}, where "
            "the model was still in training."
        )


def judge(
    run: JudgedRun,
    store: Store,
    *,
    horizon: int,
    episodes: int,
    discount: float | None,
    seed: int,
    device: torch.device,
    policy_return: float | None,
) -> EmpiricalBound:
    """Return the empirical bound of a run on a store; the global generators are left alone.

    Raises `VRLError` when run and store do not fit.
    """
    require_same_kind(run, store)
    assert run.penalty_config is not None  # `with_penalty` saw to both
    assert run.penalty_coefficient is not None
    penalty = build_penalty(run.penalty_config, device)
    with preserve_random_state(device):
        seed_everything(seed)
        found = expert_penalties(
            run.model, store, penalty, horizon=horizon, episodes=episodes, device=device, seed=seed
        )
    return empirical_bound(
        found,
        label=run.label,
        step=run.step,
        horizon=horizon,
        discount=run.discount if discount is None else discount,
        coefficient=run.penalty_coefficient,
        expert_return=float(store.returns.mean()),
        policy_return=policy_return,
    )


def draw_bounds(bounds: Sequence[EmpiricalBound], path: Path) -> None:
    """Draw gap and bound over updates, and the gap over the penalty (MOTO, Figure 6)."""
    draw(
        path,
        [
            lambda axes: _draw_over_updates(axes, bounds),
            lambda axes: _draw_over_penalty(axes, bounds),
        ],
    )


def _bounds(
    run: JudgedRun,
    stores: Sequence[Store],
    command: Theory,
    registry: Registry,
    device: torch.device,
) -> Iterator[EmpiricalBound]:
    word = command.penalty[0] if command.penalty else None
    run = with_penalty(run, word, command.weight, registry)
    for store in stores:
        yield judge(
            run,
            store,
            horizon=command.horizon,
            episodes=command.episodes,
            discount=command.discount,
            seed=command.seed,
            device=device,
            policy_return=run.policy_return(),
        )


def _line(bound: EmpiricalBound) -> list[str]:
    return [
        bound.label,
        str(bound.step),
        *map(
            number,
            (
                bound.mean_penalty,
                bound.epsilon_u,
                bound.penalty_coefficient,
                bound.bound,
                bound.episode_bound,
                bound.expert_return,
                bound.policy_return,
                bound.gap,
            ),
        ),
    ]


def _by_label(bounds: Sequence[EmpiricalBound]) -> Iterator[tuple[str, str, list[EmpiricalBound]]]:
    labels = list(dict.fromkeys(bound.label for bound in bounds))
    for index, label in enumerate(labels):
        mine = [bound for bound in bounds if bound.label == label]
        yield label, COLOURS[index % len(COLOURS)], mine


def _draw_over_updates(axes: Axes, bounds: Sequence[EmpiricalBound]) -> None:
    for label, colour, mine in _by_label(bounds):
        steps = [bound.step for bound in mine]
        axes.plot(
            steps,
            [bound.episode_bound for bound in mine],
            "o-",
            color=colour,
            label=f"bound, {label}",
        )
        known = [bound for bound in mine if bound.gap is not None]
        axes.plot(
            [bound.step for bound in known],
            [bound.gap or 0.0 for bound in known],
            "s:",
            color=colour,
            label=f"gap, {label}",
        )
    axes.set_xlabel("updates")
    axes.set_ylabel("undiscounted return")
    axes.set_title("2λ ε_u(expert), and the performance gap", loc="left", fontsize=11)


def _draw_over_penalty(axes: Axes, bounds: Sequence[EmpiricalBound]) -> None:
    """The gap over the penalty; the penalty's scale is arbitrary, so a line shows the least one."""
    known = [bound for bound in bounds if bound.gap is not None]
    for label, colour, mine in _by_label(known):
        axes.plot(
            [bound.mean_penalty for bound in mine],
            [bound.gap or 0.0 for bound in mine],
            "s",
            color=colour,
            label=label,
        )
    slopes = [bound.gap / bound.mean_penalty for bound in known if bound.gap and bound.mean_penalty]
    if slopes and max(slopes) > 0:
        far = max(bound.mean_penalty for bound in known)
        axes.plot(
            [0, far],
            [0, far * max(slopes)],
            color=INK,
            linewidth=1,
            linestyle="--",
            label="least bound of this form",
        )
    axes.set_xlabel("penalty along the expert's actions (Equation 12)")
    axes.set_ylabel("performance gap")
    axes.set_title("As MOTO's Figure 6", loc="left", fontsize=11)
