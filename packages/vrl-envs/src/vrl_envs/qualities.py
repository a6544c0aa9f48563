"""Who acts in which episodes of a dataset. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping

HALVES: Mapping[str, tuple[str, str]] = {
    "medium_expert": ("medium", "expert"),
    "random_expert": ("random", "expert"),
}
"""Datasets of two behaviours, half the episodes of each."""
ROUNDING = 1e-9
"""So that ten times a tenth is one."""


def qualities_in(quality: str) -> tuple[str, ...]:
    """Return the behaviours that act in a dataset."""
    return HALVES.get(quality, (quality,))


def quality_of(quality: str, episodes: int, index: int) -> str:
    """Return who acts in an episode: of two behaviours, the first in the first half."""
    acting = qualities_in(quality)
    return acting[block_of(len(acting), episodes, index)]


def block_of(blocks: int, episodes: int, index: int) -> int:
    """Return which of several blocks, of equally many as nearly as can be, an episode is in."""
    return -(-(index + 1) * blocks // episodes) - 1


def belongs_to_share(share: float, index: int) -> bool:
    """Return whether an episode is one of a share that is spread evenly over all of them."""
    return int((index + 1) * share + ROUNDING) > int(index * share + ROUNDING)
