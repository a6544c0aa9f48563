"""`vrl theory mdp`: table and figure of Theorem 4.4 on random MDPs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vrl_core.curves import COLOURS
from vrl_theory.bounds import Guarantee
from vrl_theory.mdp_study import (
    FactorEffect,
    Row,
    factor_effects,
    guarantees,
    make_study,
    study_rows,
)
from vrl_theory.output_files import INK, draw, number, percent, publish
from vrl_theory.random_mdp import RandomMDPs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from vrl_theory.config import Theory

DISCOUNT = 0.9
MOST_DRAWN = 1000
HEADER = (
    "estimator",
    "admissible",
    "pairs",
    "ρ error",
    "(7) fails",
    "(10) fails",
    "gap",
    "bound",
    "score",
)


def report_mdps(command: Theory) -> int:
    """Study the MDPs, write table, numbers and figure, and print the table."""
    settings = RandomMDPs(
        count=command.mdps,
        states=command.states,
        actions=command.actions,
        discount=DISCOUNT if command.discount is None else command.discount,
    )
    random = np.random.default_rng(command.seed)
    study = make_study(settings, command.samples, command.metric, random)
    found = guarantees(study)
    rows, effects = study_rows(study, found), factor_effects(study)
    folder = command.output or Path("theory")
    publish(
        folder,
        "mdp",
        [HEADER, *map(_line, rows)],
        _data(command, settings, rows, effects),
        title=f"Theorem 4.4 on {command.mdps} random MDPs, {study.functions.name}",
        as_json=command.json,
    )
    draw_study(found, effects, folder / "mdp")
    return 0


def draw_study(found: Mapping[str, Guarantee], effects: Sequence[FactorEffect], path: Path) -> None:
    """Draw bound against gap, and what the size of lambda does."""
    draw(
        path,
        [
            lambda axes: _draw_gaps(axes, found),
            lambda axes: _draw_effects(axes, effects),
        ],
    )


def _draw_gaps(axes: Axes, by_name: Mapping[str, Guarantee]) -> None:
    """Each MDP's optimality gap under its bound."""
    shown = slice(0, MOST_DRAWN)
    names = [name for name in by_name if name != "none"]
    top = 0.0
    for name, colour in zip(names, COLOURS, strict=False):
        found = by_name[name]
        gap, bound = np.asarray(found.optimality_gap)[shown], np.asarray(found.gap_bound)[shown]
        top = max(top, float(gap.max()))
        axes.plot(gap, bound, ".", color=colour, markersize=3, alpha=0.5, label=name)
    line = np.linspace(0, top, 200)  # a straight line is none on this scale
    axes.plot(line, line, color=INK, linewidth=1, linestyle="--", label="bound = gap")
    axes.set_yscale("symlog", linthresh=1.0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("gap: η(π*) − η(π̂)")
    axes.set_ylabel("bound: 2λ ε_u(π*)")
    axes.set_title("Equation 11 with δ = ε_u(π*)", loc="left", fontsize=11)


def _draw_effects(axes: Axes, effects: Sequence[FactorEffect]) -> None:
    """How often Equation 7 fails, and how good the learned policy is, over factors on lambda."""
    for name, colour in zip(
        dict.fromkeys(each.estimator for each in effects), COLOURS, strict=False
    ):
        mine = [each for each in effects if each.estimator == name]
        factors = [each.factor for each in mine]
        fails = [100 * each.violated_lower_bound for each in mine]
        axes.plot(factors, [each.score for each in mine], color=colour, label=f"score, {name}")
        axes.plot(factors, fails, color=colour, linestyle=":", label=f"(7) fails, %, {name}")
    axes.set_xscale("symlog", linthresh=0.005)
    axes.set_xlabel("factor on λ = γc")
    axes.set_ylabel("percent")
    axes.set_title("What the size of λ does", loc="left", fontsize=11)


def _line(row: Row) -> list[str]:
    return [
        row.estimator,
        percent(row.admissible_mdps),
        percent(row.admissible_pairs),
        number(row.correlation),
        percent(row.violated_lower_bound),
        percent(row.violated_theorem),
        number(row.gap),
        number(row.gap_bound),
        f"{row.score:.1f}",
    ]


def _data(
    command: Theory, settings: RandomMDPs, rows: Sequence[Row], effects: Sequence[FactorEffect]
) -> dict[str, Any]:
    return {
        "mdps": settings.count,
        "states": settings.states,
        "actions": settings.actions,
        "discount": settings.discount,
        "samples": command.samples,
        "metric": command.metric,
        "seed": command.seed,
        "rows": [row.to_data() for row in rows],
        "factors": [effect.to_data() for effect in effects],
    }
