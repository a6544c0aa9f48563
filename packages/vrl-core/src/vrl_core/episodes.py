"""Episodes, the unit of logged data, and the description of a dataset.

A frame enters the system here: every reader and every collector yields `Episode`s.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class FieldSpec:
    """Shape and dtype of one row of a field."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """What a dataset holds and where it came from; written into a store's manifest."""

    task: str
    """Task name, such as `walker_walk`."""
    observations: Mapping[str, FieldSpec]
    """One row of each observation field: `image` is `(height, width, channel)` uint8."""
    action_size: int
    """Numbers in an action; each lies in [-1, 1]."""
    environment: Mapping[str, Any] | None = None
    """The evaluation environment as data: `{"name": "dmc", "task": "walker_walk", ...}`."""
    action_repeat: int = 1
    """Simulator steps for each action."""
    render_quality: str | None = None
    """`reference` (simulator's default) or `fast`; None for data without images."""
    behaviour: str = "unknown"
    """What acted, such as `expert`."""
    seed: int | None = None
    """Seed of the collection."""
    source: str = "unknown"
    """Who made the data: this project, or the name of a published dataset."""
    licence: str = "unknown"
    """Licence of the data."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of the simulators that made the data."""


@dataclass(frozen=True)
class Episode:
    """One logged episode in Gymnasium's and Minari's alignment, T steps long.

    Shapes: each observation field `(T+1, ...)`, actions `(T, action)` float32, rewards `(T,)`
    float32, terminations and truncations `(T,)` bool. `actions[t]` was taken at
    `observations[t]`, earned `rewards[t]` and led to `observations[t+1]`.
    """

    observations: Mapping[str, np.ndarray]
    actions: np.ndarray
    rewards: np.ndarray
    terminations: np.ndarray
    truncations: np.ndarray
    info: Mapping[str, Any] = field(default_factory=dict)
    """Small JSON-able facts, such as the seed or the file it was read from."""

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def size(self) -> int:
        """Bytes of all arrays."""
        arrays = (*self.observations.values(), self.actions, self.rewards)
        return sum(array.nbytes for array in arrays) + 2 * len(self)

    @property
    def undiscounted_return(self) -> float:
        """Sum of the rewards."""
        return float(self.rewards.sum(dtype="float64"))


class Dataset(Protocol):
    """A sequence of episodes with a description.

    `dataset[i]` yields the same episode whenever and in whichever process it is asked for, so
    that collection and conversion run in parallel and resume.
    """

    @property
    def spec(self) -> DataSpec:
        """What the dataset holds."""
        ...

    def __len__(self) -> int:
        """Number of episodes."""
        ...

    def __getitem__(self, index: int, /) -> Episode:
        """Episode `index`, 0-based."""
        ...


class PieceDataset(Dataset, Protocol):
    """A dataset whose episodes may be larger than memory, read in pieces."""

    def pieces(self, index: int, /) -> Iterator[Episode]:
        """Yield episode `index` in consecutive pieces, each an `Episode` of at least one step.

        A piece's last observation is the first one of the next. The last piece's info is the
        episode's.
        """
        ...


def pieces_of(dataset: Dataset, index: int) -> Iterator[Episode]:
    """Yield an episode in pieces, or whole where the dataset has none."""
    pieces = getattr(dataset, "pieces", None)
    if pieces is None:
        yield dataset[index]
    else:
        yield from pieces(index)


PIECE_BYTES = 24 * 2**20
"""Bytes of a piece: more than the usual episode of small frames, and little beside a process."""


def cuts(steps: int, fields: Iterable[FieldSpec]) -> Iterator[tuple[int, int]]:
    """Yield first step and the one behind the last of pieces of at most `PIECE_BYTES`.

    `fields` are the observations'. Of an episode that fits there is one piece.
    """
    row = sum(math.prod(field.shape) * _BYTES.get(field.dtype, 8) for field in fields)
    together = max(1, PIECE_BYTES // max(row, 1) - 1)
    for first in range(0, steps, together):
        yield first, min(first + together, steps)


_BYTES = {"uint8": 1, "bool": 1, "float32": 4}


def whole(pieces: Iterable[Episode]) -> Episode:
    """Join the pieces of one episode."""
    parts = list(pieces)
    if len(parts) == 1:
        return parts[0]
    import numpy as np

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    observations = {
        name: np.concatenate([*(part.observations[name][:-1] for part in parts[:-1]), last])
        for name, last in parts[-1].observations.items()
    }
    return Episode(
        observations=observations,
        actions=joined("actions"),
        rewards=joined("rewards"),
        terminations=joined("terminations"),
        truncations=joined("truncations"),
        info=parts[-1].info,
    )


def spread(count: int, available: int) -> list[int]:
    """Return `count` of `available` numbers in order, evenly spread.

    An agent's first episodes are those in which it knew nothing: they are not what it saw while
    it learnt.
    """
    return [(2 * index + 1) * available // (2 * count) for index in range(count)]
