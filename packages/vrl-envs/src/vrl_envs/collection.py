"""How episodes are seeded, whatever they are collected from."""

from __future__ import annotations

import numpy as np

_COLLECTION = 0x636F6C6C
"""Sets collection's seeds apart from evaluation's, so that no policy is judged on first states
that are in its data."""


def episode_streams(seed: int, index: int) -> tuple[int, np.random.Generator]:
    """Return an episode's reset seed and the generator of its behaviour's choices."""
    sequence = np.random.SeedSequence((_COLLECTION, seed, index))
    reset = int(sequence.generate_state(1, np.uint32)[0] >> 1)
    return reset, np.random.Generator(np.random.PCG64(sequence.spawn(1)[0]))


def qualities_in(quality: str) -> tuple[str, ...]:
    """Return the behaviours that act in a dataset."""
    return ("medium", "expert") if quality == "medium_expert" else (quality,)


def quality_of(quality: str, episodes: int, index: int) -> str:
    """Return who acts in an episode: of medium-expert, medium in the first half."""
    if quality != "medium_expert":
        return quality
    return "medium" if index < episodes // 2 else "expert"


def spread(count: int, available: int) -> list[int]:
    """Return `count` of `available` numbers in order, evenly spread.

    An agent's first episodes are those in which it knew nothing: they are not what it saw while
    it learnt.
    """
    return [(2 * index + 1) * available // (2 * count) for index in range(count)]
