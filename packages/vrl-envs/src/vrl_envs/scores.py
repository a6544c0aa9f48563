"""Returns that normalise scores, V-D4RL's and D4RL's, known without importing a simulator."""

from __future__ import annotations

from collections.abc import Mapping

from vrl_core.hooks import ReferenceReturns

REFERENCES: Mapping[str, ReferenceReturns] = {
    "walker_walk": ReferenceReturns(random=42.3, expert=969.8),
    "cheetah_run": ReferenceReturns(random=6.6, expert=891.1),
    "humanoid_walk": ReferenceReturns(random=1.1, expert=858.1),
}
"""Mean returns of the `random` and `expert` datasets of V-D4RL, Table 5."""

D4RL_REFERENCES: Mapping[str, ReferenceReturns] = {
    "halfcheetah": ReferenceReturns(random=-280.178953, expert=12135.0),
    "hopper": ReferenceReturns(random=-20.272305, expert=3234.3),
    "walker2d": ReferenceReturns(random=1.629008, expert=4592.3),
    "ant": ReferenceReturns(random=-325.6, expert=3879.7),
    "kitchen": ReferenceReturns(random=0.0, expert=4.0),
    "pen": ReferenceReturns(random=96.262799, expert=3076.8331017826877),
    "hammer": ReferenceReturns(random=-274.856578, expert=12794.134825156867),
    "door": ReferenceReturns(random=-56.512833, expert=2880.5693087298737),
    "relocate": ReferenceReturns(random=-6.425911, expert=4233.877797728884),
}
"""Returns of a random and an expert policy that D4RL's normalised scores rest on, as its code
publishes them; one pair a task for all its datasets and versions."""


def d4rl_references(task: str) -> ReferenceReturns | None:
    """Return the returns at which D4RL's normalised score is 0 and 100, if it has the task."""
    return D4RL_REFERENCES.get(task)


def adroit_references(task: str) -> ReferenceReturns | None:
    """Return D4RL's returns for a task of the Adroit hand, such as `adroit_pen`."""
    return d4rl_references(task.removeprefix("adroit_"))


def references(task: str) -> ReferenceReturns | None:
    """Return the mean returns at which a task's normalised score is 0 and 100, if published."""
    return REFERENCES.get(task)


def paper_score(undiscounted_return: float) -> float:
    """Map a return to V-D4RL's own score: a return in [0, 1000] divided by ten (Section 4.2)."""
    return undiscounted_return / 10.0
