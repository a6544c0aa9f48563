"""The card beside every behaviour: what it is, how it was trained and what it earns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vrl_core.errors import VRLError


@dataclass(frozen=True, kw_only=True)
class Returns:
    """Undiscounted returns of some episodes."""

    mean: float
    std: float
    low: float
    high: float
    episodes: int

    @classmethod
    def of(cls, returns: Sequence[float] | np.ndarray) -> Returns:
        """Summarise returns `(episodes,)`; the standard deviation is the population's."""
        values = np.asarray(returns, np.float64)
        return cls(
            mean=round(float(values.mean()), 2),
            std=round(float(values.std()), 2),
            low=round(float(values.min()), 2),
            high=round(float(values.max()), 2),
            episodes=len(values),
        )


@dataclass(frozen=True, kw_only=True)
class BehaviourCard:
    """Facts of one policy or replay."""

    task: str
    quality: str
    action_size: int
    returns: Returns
    training_steps: int
    """Agent steps of the training, two simulator steps each, up to this behaviour."""
    training: Mapping[str, Any]
    """The training's settings (`BehaviourTraining`)."""
    command: str
    """What trained it."""
    date: str
    versions: Mapping[str, str]
    hidden_sizes: tuple[int, ...] = ()
    observation_size: int = 0
    note: str = ""
    licence: str = "MIT"
    extra: Mapping[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write the card as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n")


def read_card(path: Path) -> BehaviourCard:
    """Read a card. Raises `VRLError` when the file is missing or malformed."""
    try:
        data = json.loads(path.read_text())
        data["returns"] = Returns(**data["returns"])
        data["hidden_sizes"] = tuple(data["hidden_sizes"])
        return BehaviourCard(**data)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VRLError(f"The behaviour card {path} cannot be read: {error}.") from error
