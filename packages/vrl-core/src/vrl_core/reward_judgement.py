"""How far a classifier's answers can be trusted, in four numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

THRESHOLD = 0.5
"""Probability from which an image counts as a success when it is judged."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """How a classifier's answers agree with the truth, of `frames` frames."""

    frames: int
    positives: int
    """Frames that are successes in truth."""
    accuracy: float
    precision: float
    """Share of successes among the frames that it calls so; 1 where it calls none so."""
    recall: float
    """Share of the successes that it finds; 1 where there are none."""

    @classmethod
    def of(
        cls, probabilities: np.ndarray, truth: np.ndarray, threshold: float = THRESHOLD
    ) -> Judgement:
        """Compare probabilities `(frames,)` with the truth `(frames,)` bool."""
        called = probabilities >= threshold
        hits = int((called & truth).sum())
        return cls(
            frames=len(truth),
            positives=int(truth.sum()),
            accuracy=float((called == truth).mean()),
            precision=float(hits / called.sum()) if called.any() else 1.0,
            recall=float(hits / truth.sum()) if truth.any() else 1.0,
        )

    def __str__(self) -> str:
        return (
            f"accuracy {self.accuracy:.3f}, precision {self.precision:.3f}, recall "
            f"{self.recall:.3f} ({self.frames:,} frames, {self.positives:,} of them successes)"
        )
