"""Metrics on their way from an update to the host: averaged where they are, read rarely."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class MetricAverages:
    """Means of an update's metrics since they were last read; adding never waits for the device."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._finite: Tensor | int = 0
        self.updates = 0
        """Updates added since the last read."""

    @property
    def finite_updates(self) -> int:
        """How many of these there were before a metric was not finite; waits for the device."""
        return int(self._finite)

    @torch.no_grad()
    def add(self, metrics: Mapping[str, Tensor]) -> None:
        """Add the scalars of one update; a name may be missing from some updates."""
        for name, value in metrics.items():
            value = value.detach()
            # A sum of its own: the metric's tensor may be overwritten by a CUDA graph's replay.
            self._sums[name] = self._sums[name] + value if name in self._sums else value.clone()
            self._counts[name] = self._counts.get(name, 0) + 1
        self.updates += 1
        # A sum that is not finite stays so: this counts up to the first such update.
        finite = torch.stack([*self._sums.values()]).isfinite().all() if self._sums else 1
        self._finite = self._finite + finite

    def read(self) -> dict[str, float]:
        """Return the means (one transfer for all of them) without forgetting them."""
        if not self._sums:
            return {}
        sums = torch.stack([value.double() for value in self._sums.values()]).tolist()
        return {
            name: total / self._counts[name] for name, total in zip(self._sums, sums, strict=True)
        }

    def clear(self) -> None:
        """Begin the next period."""
        self._sums.clear()
        self._counts.clear()
        self._finite = self.updates = 0

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to write the same means."""
        return {"sums": dict(self._sums), "counts": dict(self._counts), "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Continue from a `state_dict`."""
        self._sums = {name: value.to(device) for name, value in state["sums"].items()}
        self._counts = dict(state["counts"])
        # A checkpoint is written only where all metrics are finite.
        self._finite = self.updates = state.get("updates", max(self._counts.values(), default=0))


def first_not_finite(metrics: Mapping[str, float]) -> str | None:
    """Return the name of a metric that is NaN or infinite, if there is one."""
    return next((name for name, value in metrics.items() if not math.isfinite(value)), None)
