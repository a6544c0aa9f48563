"""Where a run stands: all that a checkpoint holds, so that going on equals never having stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from vrl_core.counter_rng import mix
from vrl_core.device import load_random_state, random_state
from vrl_core.metrics import MetricAverages
from vrl_core.protocols import Algorithm, Metrics, Phase


@dataclass
class TrainingState:
    """Counters, averages and the algorithm of a run, changed by the loop as it goes."""

    algorithm: Algorithm
    phases: Sequence[Phase]
    device: torch.device
    step: int = 0
    """Updates done, of all phases."""
    phase: int = 0
    """Number of the phase that comes next or is under way."""
    phase_step: int = 0
    """Updates of that phase done; also the number of its next batch."""
    latest_phase: str = ""
    """Name of the phase of the latest update."""
    seconds: float = 0.0
    """Time spent, earlier parts of a resumed run included; not reproducible."""
    averages: MetricAverages = field(default_factory=MetricAverages)

    @property
    def finished(self) -> bool:
        """Whether every phase is over."""
        return self.phase >= len(self.phases)

    def count(self, metrics: Metrics) -> None:
        """Note one update of the current phase."""
        self.averages.add(metrics)
        self.latest_phase = self.phases[self.phase].name
        self.step += 1
        self.phase_step += 1

    def next_phase(self) -> None:
        """Note that the phase is over."""
        self.phase += 1
        self.phase_step = 0

    def state_dict(self) -> dict[str, Any]:
        """Return everything, as a checkpoint holds it."""
        return {
            "algorithm": self.algorithm.state_dict(),
            "random": random_state(self.device),
            "averages": self.averages.state_dict(),
            "step": self.step,
            "phase": self.phase,
            "phase_step": self.phase_step,
            "latest_phase": self.latest_phase,
            "seconds": self.seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self.algorithm.load_state_dict(state["algorithm"])
        self.averages.load_state_dict(state["averages"], self.device)
        self.step, self.phase = state["step"], state["phase"]
        self.phase_step, self.latest_phase = state["phase_step"], state["latest_phase"]
        self.seconds = state["seconds"]
        load_random_state(state["random"], self.device)


def phase_seed(seed: int, phase: int) -> int:
    """Return the seed of a phase's batches; phases draw independently of each other."""
    return mix(mix(seed) + phase)
