"""V-D4RL's 64 px files: one `.npz` an episode, as DreamerV2's replay buffer wrote them.

Keys: `image` `(rows, height, width, 3)` uint8, `action`, `reward`, and optionally `discount`,
`is_first`, `is_last`, `is_terminal` and proprioceptive columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vrl_core.episodes import Episode, FieldSpec, whole
from vrl_core.errors import VRLError
from vrl_envs.readers.damage import describe_all
from vrl_envs.readers.recorded_npz import (
    FLAGS,
    NpzFile,
    check_images,
    describe,
    mending_notes,
    require_same_rows,
)
from vrl_envs.readers.recorded_pieces import recorded_pieces
from vrl_envs.readers.vd4rl_alignment import SCALARS, RecordedRows, row_shape, to_episode

REQUIRED = ("image", "action", "reward")


class NpzEpisodes:
    """Reads episodes of `.npz` files; builds its index from their headers alone."""

    episodes_per_read = 1
    kept_bytes = 0
    upsampled = False

    def __init__(
        self,
        files: Sequence[Path],
        *,
        proprioception: bool,
        skip_damaged: bool = False,
        clip_actions: bool = False,
    ) -> None:
        self._clips = clip_actions
        described, self.notes = describe_all(files, _describe, skip_damaged=skip_damaged)
        self._files = [file for file in described if file.rows >= 2]
        if not self._files:
            raise VRLError(f"No file in {files[0].parent} holds a single step.")
        self._extra = _extra_columns(self._files) if proprioception else ()
        require_same_rows(self._files, ("image", "action", *self._extra))
        self.notes += mending_notes(described)

    def __len__(self) -> int:
        return len(self._files)

    @property
    def transitions(self) -> int:
        """Steps of all episodes."""
        return sum(file.rows - 1 for file in self._files)

    @property
    def action_size(self) -> int:
        """Numbers in an action."""
        return self._files[0].columns["action"].shape[1]

    @property
    def observations(self) -> dict[str, FieldSpec]:
        """One row of each observation field."""
        columns = self._files[0].columns
        extra = {
            name: FieldSpec(shape=row_shape(name, columns[name].shape), dtype="float32")
            for name in self._extra
        }
        return {"image": FieldSpec(shape=columns["image"].shape[1:], dtype="uint8"), **extra}

    def __getitem__(self, index: int) -> Episode:
        """Decompress one file."""
        return whole(self.pieces(index))

    def pieces(self, index: int) -> Iterator[Episode]:
        """Decompress one file, in pieces."""
        file = self._files[index]
        wanted = {*REQUIRED, *self._extra, "discount", *FLAGS} & set(file.columns)
        for piece in recorded_pieces(file, wanted, self.observations.values()):
            columns = piece.columns
            observations = {name: columns[name].astype(np.float32) for name in self._extra}
            rows = RecordedRows(
                observations={"image": columns["image"], **observations},
                action=columns["action"],
                reward=columns["reward"],
                terminal=piece.terminal,
            )
            info = {"file": file.path.name}
            yield to_episode(
                rows,
                where=str(file.path),
                info=info,
                clip=self._clips,
                first=piece.first,
                ends=piece.ends,
            )


def _describe(path: Path) -> NpzFile:
    file = describe(path, REQUIRED, "V-D4RL")
    check_images(path, file.columns["image"])
    return file


def _extra_columns(files: Sequence[NpzFile]) -> tuple[str, ...]:
    """Return the proprioceptive columns, which all files must share."""
    known = {*REQUIRED, *SCALARS}
    first = {name for name in files[0].columns if name not in known}
    for file in files:
        names = {name for name in file.columns if name not in known}
        if names != first:
            raise VRLError(
                f"{file.path} holds the proprioceptive columns {sorted(names)}, "
                f"{files[0].path.name} holds {sorted(first)}. Read the data without "
                "proprioception, or move the files that differ away."
            )
        uneven = [name for name in sorted(first) if file.columns[name].shape[0] != file.rows]
        if uneven:
            raise VRLError(
                f"{file.path} has {file.rows} rows of data and another number of rows of "
                f"{', '.join(uneven)}. Read the data without proprioception, or move the file away."
            )
    return tuple(sorted(first))
