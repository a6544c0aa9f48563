"""`vrl penalties`: V-D4RL's Table 13 for any penalties, models and stores."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vrl_core.atomic import write_text
from vrl_core.config import from_data
from vrl_core.device import choose_device, seed_everything
from vrl_core.errors import VRLError
from vrl_core.evaluate_runs import parse_overrides
from vrl_core.hooks import PenaltyConfig
from vrl_core.store import Store
from vrl_worldmodel.calibration import Correlation, rank_correlation
from vrl_worldmodel.inspection import InspectedModel, distinct, load_model, mismatch
from vrl_worldmodel.penalty_config import NoPenalty
from vrl_worldmodel.penalty_statistics import StateValues, state_values
from vrl_worldmodel.text_table import markdown_table, rich_table

if TYPE_CHECKING:
    from rich.console import Console

    from vrl_core.registry import Registry
    from vrl_worldmodel.commands import Penalties

ERRORS = {"pixel_error": "ρ pixel error", "divergence": "ρ latent error"}
"""Errors by their field, and the heading of the rank correlation (ρ) with them."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One penalty of one model on one store; without numbers it says why it has none."""

    penalty: str
    model: str
    data: str
    states: int = 0
    mean: float | None = None
    std: float | None = None
    """Standard deviation over the states, with their number in the denominator."""
    reason: str | None = None
    of_data: bool = False
    """Whether the reason is the data's, and so the same for every penalty."""
    correlations: dict[str, Correlation | None] | None = None
    """By error, when they were asked for; None where the penalty does not vary. Of a model without
    images the pixels' is missing."""

    def to_data(self) -> dict[str, Any]:
        """Plain values for JSON."""
        data = {name: getattr(self, name) for name in ("penalty", "model", "data", "states")}
        data |= {"mean": self.mean, "std": self.std, "reason": self.reason}
        if self.correlations is not None:
            data["spearman"] = {
                name: found and found.to_data() for name, found in self.correlations.items()
            }
        return data


def penalties(command: Penalties, registry: Registry) -> int:
    """Evaluate each penalty of each model on each store and print or write the table."""
    if command.output is not None and command.output.suffix not in (".md", ".json"):
        raise VRLError(f"--output {command.output} ends in neither .md nor .json.")
    device = choose_device(command.device)
    models = [load_model(folder, registry, device) for folder in command.runs]
    stores = [Store.open(path) for path in command.data]
    chosen = choose_penalties(command.penalty, models, registry)
    cells = table_cells(models, stores, chosen, command)
    if all(cell.reason for cell in cells):
        raise VRLError(_nothing_fits(cells, choose_penalties((), models, registry)))
    _show(cells, command)
    return 0


def choose_penalties(
    words: Sequence[str], models: Sequence[InspectedModel], registry: Registry
) -> dict[str, PenaltyConfig]:
    """Read `NAME` or `NAME:key=value,key=value`; without words take all that fit some model.

    Raises `VRLError` for a name that does not exist and for settings it does not have.
    """
    if words:
        return {word: _penalty(word, registry) for word in words}
    latents = {model.latent for model in models}
    found = {name: _penalty(name, registry) for name in registry.names("penalties")}
    return {
        name: config
        for name, config in found.items()
        if latents & set(config.kinds)
        and not isinstance(config, NoPenalty)
        and not _needs_simulator(config)
    }


def table_cells(
    models: Sequence[InspectedModel],
    stores: Sequence[Store],
    chosen: dict[str, PenaltyConfig],
    command: Penalties,
) -> list[Cell]:
    """Return the cells, by penalty, then data, then model."""
    model_labels = distinct([model.label for model in models], [model.folder for model in models])
    labels = [f"{store.spec.task} {store.spec.behaviour}" for store in stores]
    data_labels = distinct(labels, [store.path for store in stores])
    cells = [
        cell
        for store, data in zip(stores, data_labels, strict=True)
        for model, label in zip(models, model_labels, strict=True)
        for cell in _pair_cells(model, store, chosen, command, names=(label, data))
    ]
    order = list(chosen)
    return sorted(cells, key=lambda cell: order.index(cell.penalty))


def _pair_cells(
    model: InspectedModel,
    store: Store,
    chosen: dict[str, PenaltyConfig],
    command: Penalties,
    names: tuple[str, str],
) -> Iterator[Cell]:
    """Yield a model's cells on a store: numbers where penalty, model and data fit each other."""
    label, data = names
    of_data = mismatch(model.spec, store.spec, allow_identity=command.allow_mismatch)
    reasons = {name: of_data or _misfit(config, model) for name, config in chosen.items()}
    fitting = {name: chosen[name].build() for name, reason in reasons.items() if reason is None}
    if fitting:
        seed_everything(command.seed)
        values = state_values(
            model.model,
            store,
            fitting,
            states=command.states,
            seed=command.seed,
            errors=command.calibration,
        )
    for name, reason in reasons.items():
        if reason is not None:
            unfit = of_data is not None
            yield Cell(penalty=name, model=label, data=data, reason=reason, of_data=unfit)
        else:
            yield _cell(values, name, Cell(penalty=name, model=label, data=data), command)


def _cell(values: StateValues, name: str, empty: Cell, command: Penalties) -> Cell:
    found = values.penalties[name]
    if not np.isfinite(found).all():
        wrong = int((~np.isfinite(found)).sum())
        reason = f"not finite at {wrong} of {len(found)} states"
        return Cell(penalty=name, model=empty.model, data=empty.data, reason=reason)
    errors = {error: getattr(values, error) for error in ERRORS}
    return Cell(
        penalty=name,
        model=empty.model,
        data=empty.data,
        states=len(found),
        mean=float(found.mean()),
        std=float(found.std()),
        correlations={
            error: rank_correlation(found, of_model, values.window, seed=command.seed)
            for error, of_model in errors.items()
            if of_model is not None
        }
        if command.calibration
        else None,
    )


def cell_lines(cells: Sequence[Cell]) -> list[list[str]]:
    """Return the header and one line of texts a cell."""
    calibrated = any(cell.correlations for cell in cells)
    header = ["penalty", "model", "data", "mean", "std", *(ERRORS.values() if calibrated else ())]
    return [header, *(_line(cell, len(header)) for cell in cells)]


def _line(cell: Cell, columns: int) -> list[str]:
    start = [cell.penalty, cell.model, cell.data]
    if cell.mean is None or cell.std is None:
        return [*start, cell.reason or "", *[""] * (columns - 4)]
    told = cell.correlations or {}
    found = [_correlation(told, error) for error in ERRORS] if columns > len(start) + 2 else []
    return [*start, f"{cell.mean:.4g}", f"{cell.std:.4g}", *found]


def _correlation(told: Mapping[str, Correlation | None], error: str) -> str:
    if error not in told:
        return "no images"
    found = told[error]
    if found is None:
        return "does not vary"
    return f"{found.value:.2f} ({found.low:.2f},{found.high:.2f})"


def _show(cells: Sequence[Cell], command: Penalties) -> None:
    lines, data = cell_lines(cells), [cell.to_data() for cell in cells]
    text = json.dumps({"seed": command.seed, "cells": data}, indent=2) + "\n"
    if command.output is not None:
        _write(command.output, text if command.output.suffix == ".json" else markdown_table(lines))
    if command.json:
        print(text, end="")
        return
    from rich.console import Console

    console = Console(highlight=False)
    _print_table(cells, lines, f"Penalties on {command.states} states", console)
    if command.output is not None:
        console.print(f"wrote {command.output}", soft_wrap=True)


def _print_table(
    cells: Sequence[Cell], lines: list[list[str]], title: str, console: Console
) -> None:
    """Print the table; what is the same in all lines goes into its title, reasons below it."""
    for cell, line in zip(cells, lines[1:], strict=True):
        if cell.reason:
            line[3] = "n/a"
    for column, word in ((2, "of"), (1, "under")):
        values = {line[column] for line in lines[1:]}
        if len(values) == 1:
            title += f" {word} {values.pop()}"
            lines = [[*line[:column], *line[column + 1 :]] for line in lines]
    console.print(rich_table(lines, title))
    for reason in told_reasons(cells):
        console.print(f"n/a: {reason}", soft_wrap=True)


def told_reasons(cells: Sequence[Cell]) -> list[str]:
    """Word why cells have no numbers; what is wrong with data is said once for all penalties."""
    told = {
        f"{'' if cell.of_data else f'{cell.penalty} of '}{cell.model} on {cell.data}: {cell.reason}"
        for cell in cells
        if cell.reason
    }
    return sorted(told)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    except OSError as error:
        raise VRLError(
            f"Cannot write {path}: {error.strerror}. Choose another --output."
        ) from error


def _penalty(word: str, registry: Registry) -> PenaltyConfig:
    name, _, settings = word.partition(":")
    overrides = parse_overrides(settings.split(",") if settings else ())
    config: PenaltyConfig = from_data("penalties", {"name": name, **overrides}, registry)
    return config


def _needs_simulator(config: PenaltyConfig) -> bool:
    return bool(getattr(config, "needs_simulator", False))


def _misfit(config: PenaltyConfig, model: InspectedModel) -> str | None:
    if _needs_simulator(config):
        return "needs a simulator of the predicted states; this model's are latent"
    if model.latent in config.kinds:
        return None
    return f"defined for {' or '.join(config.kinds)} ensembles; this model's are {model.latent}"


def _nothing_fits(cells: Sequence[Cell], fitting: Iterable[str]) -> str:
    if not cells:
        return "No installed penalty fits these models; see `vrl plugins`."
    told = "; ".join(told_reasons(cells)[:3])
    instead = "" if all(cell.of_data for cell in cells) else f" These fit: {', '.join(fitting)}."
    return f"None of these can be computed. {told}.{instead}"
