"""Episodes of LOMPO's replay buffers: `.npz`, one an episode.

Columns: `image` `(rows, height, width, 3)` uint8 of any size, `action` and `reward`; optionally
`discount`, `terminal`, `success`, `state`, and `mask`, which is 0 where a short episode was padded.
Row 0 is the reset; rows are aligned as in `vd4rl_alignment.py`. `image_128`, a second size of the
same picture, is left out, as LOMPO's own loader does.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from multiprocessing import parent_process
from pathlib import Path

import numpy as np

from vrl_core.episodes import DataSpec, Episode, FieldSpec, whole
from vrl_core.errors import DamagedDataError, VRLError
from vrl_envs.collection import check_index
from vrl_envs.readers.damage import IncompleteDataWarning, describe_all
from vrl_envs.readers.lompo_config import LOMPO, Reward
from vrl_envs.readers.recognition import ordered_files
from vrl_envs.readers.recorded_npz import (
    FLAGS,
    NpzFile,
    check_images,
    describe_columns,
    headers,
    mending_notes,
    require_same_rows,
)
from vrl_envs.readers.recorded_pieces import recorded_pieces
from vrl_envs.readers.streamed_npz import StreamedNpz
from vrl_envs.readers.vd4rl_alignment import RecordedRows, to_episode
from vrl_envs.readers.vd4rl_files import LOMPO_KEYS, NPZ_KEYS, is_published
from vrl_envs.settings import canonical_quality

REQUIRED = ("image", "action", "reward")


class LOMPODataset:
    """Episodes of one folder, in Gymnasium's alignment.

    Warns, with `IncompleteDataWarning`, of files that were left out or mended. Raises `VRLError`
    when there are none or they differ in their columns.
    """

    def __init__(self, config: LOMPO) -> None:
        self.config, path = config, Path(config.path).expanduser()
        found = ordered_files(path, ".npz")
        if not found:
            raise VRLError(
                f"No .npz files lie at or below {path}. Give the folder of the episodes."
            )
        describe_one = partial(_describe, reward=config.reward)
        described, notes = describe_all(found, describe_one, skip_damaged=config.skip_damaged)
        self._files = [file for file in described if file.rows >= 2]
        if not self._files:
            raise VRLError(f"No file in {path} holds a single step.")
        self._state = config.proprioception
        require_same_rows(self._files, ("image", "action", *self._states()))
        self.spec = self._describe(config, path)
        if parent_process() is None:
            for note in (*notes, *mending_notes(described)):
                warnings.warn(f"{path}: {note}.", IncompleteDataWarning, stacklevel=3)

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int, /) -> Episode:
        """Decompress one file. Raises `DamagedDataError` when it is damaged."""
        return whole(self.pieces(index))

    def pieces(self, index: int, /) -> Iterator[Episode]:
        """Decompress one file, in pieces. Raises `DamagedDataError` when it is damaged."""
        check_index(index, len(self))
        file = self._files[index]
        wanted = {*REQUIRED, *self._states(), "discount", *FLAGS} & set(file.columns)
        paid = self.config.reward == "recorded"
        wanted -= set() if paid else {"reward"}
        info: dict[str, str | bool] = {"file": file.path.name}
        for piece in recorded_pieces(file, wanted, self.spec.observations.values()):
            columns = piece.columns
            states = {name: columns[name].astype(np.float32) for name in self._states()}
            rows = RecordedRows(
                observations={"image": columns["image"], **states},
                action=columns["action"],
                reward=columns["reward"] if paid else np.zeros(len(columns["action"])),
                terminal=piece.terminal,
            )
            if "success" in columns:
                before = info.get("success", False)
                info["success"] = bool(before or columns["success"][1:].any())
            yield to_episode(
                rows,
                where=str(file.path),
                info=dict(info),
                clip=self.config.clip_actions,
                first=piece.first,
                ends=piece.ends,
            )

    def _states(self) -> tuple[str, ...]:
        return ("state",) if self._state else ()

    def _describe(self, config: LOMPO, path: Path) -> DataSpec:
        columns = self._files[0].columns
        fields = {"image": FieldSpec(columns["image"].shape[1:], "uint8")}
        fields |= {name: FieldSpec(columns[name].shape[1:], "float32") for name in self._states()}
        folder = path.absolute().parent if path.is_file() else path.absolute()
        return DataSpec(
            task=config.task or folder.name,
            observations=fields,
            action_size=columns["action"].shape[1],
            action_repeat=config.action_repeat,
            render_quality="reference",
            behaviour=canonical_quality(config.quality),
            source="LOMPO",
        )


def is_lompo(keys: frozenset[str], path: Path) -> bool:
    """Return whether a recorded `.npz` of these keys is LOMPO's, or may be."""
    if not keys >= NPZ_KEYS - {"reward"} or any(key.startswith("reward_") for key in keys):
        return False
    return not is_published(path) and (bool(keys & LOMPO_KEYS) or "is_first" not in keys)


def _describe(path: Path, reward: Reward) -> NpzFile:
    """Describe a file; of a padded one, the rows that are not padding."""
    columns = headers(path)
    if "reward" not in columns and reward == "recorded":
        raise VRLError(
            f"{path} has no reward. For a robot's logs, which get one later or are imitated: "
            "--dataset.reward zero"
        )
    required = [name for name in REQUIRED if name != "reward" or reward == "recorded"]
    file = describe_columns(path, columns, required, "LOMPO")
    check_images(path, file.columns["image"])
    if "state" in file.columns and file.columns["state"].shape[0] != file.rows:
        raise DamagedDataError(
            f"{path} has {file.rows} rows of data and {file.columns['state'].shape[0]} of state."
        )
    if "mask" not in file.columns:
        return file
    with closing(StreamedNpz(path, file.columns)) as stream:
        mask = stream.rows("mask", 0, file.rows).reshape(-1) != 0
    rows = int(mask.sum())
    if not mask[:rows].all():
        raise DamagedDataError(
            f"{path} has a mask that hides rows before its last ones, so its steps do not join."
        )
    return replace(file, rows=rows)
