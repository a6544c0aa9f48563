"""Returns that normalise scores (V-D4RL, Table 5), known without importing a simulator."""

from __future__ import annotations

from collections.abc import Mapping

from vrl_core.hooks import ReferenceReturns

REFERENCES: Mapping[str, ReferenceReturns] = {
    "walker_walk": ReferenceReturns(random=42.3, expert=969.8),
    "cheetah_run": ReferenceReturns(random=6.6, expert=891.1),
    "humanoid_walk": ReferenceReturns(random=1.1, expert=858.1),
}
"""Mean returns of the `random` and `expert` datasets of V-D4RL, Table 5."""


def references(task: str) -> ReferenceReturns | None:
    """Return the mean returns at which a task's normalised score is 0 and 100, if published."""
    return REFERENCES.get(task)


def paper_score(undiscounted_return: float) -> float:
    """Map a return to V-D4RL's own score: a return in [0, 1000] divided by ten (Section 4.2)."""
    return undiscounted_return / 10.0
