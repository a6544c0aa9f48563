"""Recorded `.npz` files read in pieces, so that an episode may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from vrl_core.episodes import FieldSpec, cuts
from vrl_core.errors import VRLError
from vrl_envs.readers.recorded_npz import NpzFile
from vrl_envs.readers.streamed_npz import StreamedNpz
from vrl_envs.readers.vd4rl_alignment import SCALARS


@dataclass(frozen=True, kw_only=True)
class RecordedPiece:
    """Neighbouring rows of one file; the first is the last of the piece before."""

    columns: Mapping[str, np.ndarray]
    """Of scalars `(rows,)`."""
    first: int
    """Row of the file."""
    ends: bool
    """Whether the episode ends with it."""

    @property
    def terminal(self) -> np.ndarray:
        """Which rows' states are terminal; without such a flag, a discount of zero says so."""
        for name in ("is_terminal", "terminal"):
            if name in self.columns:
                return self.columns[name].astype(bool)
        rows = np.arange(len(self.columns["action"]))
        if "discount" in self.columns:
            # The reset row's discount carries no information about a transition.
            return np.asarray(self.columns["discount"] == 0) & (rows > 0)
        return np.zeros(len(rows), dtype=bool)


def recorded_pieces(
    file: NpzFile, names: Iterable[str], observed: Iterable[FieldSpec]
) -> Iterator[RecordedPiece]:
    """Decompress columns, cut to the file's rows, a piece after the other.

    `observed` are the fields that an episode gets. Raises `DamagedDataError`, and `VRLError` when
    a second episode begins in the file.
    """
    wanted = sorted(names)
    with closing(StreamedNpz(file.path, file.columns)) as stream:
        for first, stop in cuts(file.rows - 1, observed):
            columns = {name: stream.rows(name, first, stop + 1) for name in wanted}
            columns = {
                name: value.reshape(len(value)) if name in SCALARS else value
                for name, value in columns.items()
            }
            _require_one_episode(file, columns, first)
            ends = stop == file.rows - 1
            if ends:
                stream.finish()
            yield RecordedPiece(columns=columns, first=first, ends=ends)


def _require_one_episode(file: NpzFile, columns: Mapping[str, np.ndarray], first: int) -> None:
    starts = np.flatnonzero(columns.get("is_first", np.zeros(1))[1:])
    if len(starts):
        raise VRLError(
            f"{file.path} holds several episodes: row {first + int(starts[0]) + 1} is marked as a "
            "first one. Such files hold one episode each; split it there."
        )
