"""Finds the number in the data that spoilt a batch: batches are drawn again, and looked through."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from vrl_core.batches import (
    OBSERVATION,
    Fields,
    Request,
    chosen_windows,
    find_windows,
    gather,
    window_steps,
)


@dataclass(frozen=True, kw_only=True)
class DataFault:
    """A number of the data that is NaN or infinite."""

    field: str
    episode: int
    step: int
    batch: int

    def __str__(self) -> str:
        return (
            f"{self.field} is not finite at step {self.step} of episode {self.episode} "
            f"(batch {self.batch} of the phase)"
        )


def find_fault(
    fields: Fields, request: Request, seed: int, numbers: Iterable[int]
) -> DataFault | None:
    """Return the first number in these batches that is not finite; None when all are."""
    windows = find_windows(fields, request)
    reach = torch.arange(window_steps(request) + 1, device=fields.device)
    for number in numbers:
        rows = chosen_windows(windows, request, seed, number).start[:, None] + reach
        for name, field in fields.rows.items():
            # A window's last row is an observation without a step.
            row = _first_not_finite(field, rows if name.startswith(OBSERVATION) else rows[:, :-1])
            if row is not None:
                episode = int(torch.searchsorted(fields.first_row, row, right=True)) - 1
                step = row - int(fields.first_row[episode])
                return DataFault(field=name, episode=episode, step=step, batch=number)
    return None


def _first_not_finite(field: Tensor, rows: Tensor) -> int | None:
    if not field.is_floating_point():
        return None
    finite = gather(field, rows).isfinite().reshape(*rows.shape, -1).all(-1)
    return None if bool(finite.all()) else int(rows[~finite][0])
