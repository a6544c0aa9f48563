"""Episodes of D5RL's kitchen: `.npz`, one an episode, aligned as in `vd4rl_alignment.py`.

Columns: cameras as `image`, `extra_image_<camera>_rgb` or `<camera>_rgb`, `action`, a
`reward_<element>` for each object, and `proprio` or `robot_qp`. The reward of a step is the sum
over the task's elements, each of which pays while its object is where it should be (by D5RL's
tests of success, which are not D4RL's).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import parent_process
from pathlib import Path

import numpy as np

from vrl_core.episodes import DataSpec, Episode, FieldSpec, whole
from vrl_core.errors import VRLError, unknown_name
from vrl_envs.collection import check_index
from vrl_envs.readers.d5rl_config import D5RL
from vrl_envs.readers.damage import IncompleteDataWarning, describe_all
from vrl_envs.readers.recognition import files_below, looks_like_recorded_npz, ordered_files
from vrl_envs.readers.recorded_npz import (
    FLAGS,
    Header,
    NpzFile,
    describe_columns,
    headers,
    is_image,
    mending_notes,
    require_same_rows,
)
from vrl_envs.readers.recorded_pieces import RecordedPiece, recorded_pieces
from vrl_envs.readers.unreadable import way_out
from vrl_envs.readers.vd4rl_alignment import RecordedRows, to_episode
from vrl_envs.settings import canonical_quality

LEXA_CAMERA = "12"
REWARD = "reward_"
JOINTS = ("proprio", "robot_qp")
_CAMERA = re.compile(r"(?:extra_image_)?(?P<name>.+)_rgb")


class D5RLDataset:
    """Episodes below one folder, in Gymnasium's alignment.

    Warns, with `IncompleteDataWarning`, of files that were left out or mended. Raises `VRLError`
    when there are none or they differ in their columns.
    """

    def __init__(self, config: D5RL) -> None:
        self.config, path = config, Path(config.path).expanduser()
        found = ordered_files(path, ".npz")
        pickles = list(files_below(path, (".pkl", ".pickle")))
        if not found:
            raise _no_files(path, pickles)
        described, notes = describe_all(found, _describe, skip_damaged=config.skip_damaged)
        self._files = [file for file in described if file.rows >= 2]
        if not self._files:
            raise VRLError(f"No file in {path} holds a single step.")
        first = self._files[0]
        self._rewards = _rewards(config, path, first)
        self._fields = camera_fields(first.columns, config, first.path)
        self._joints = _joints(first.columns) if config.proprioception else None
        require_same_rows(self._files, ("action", *self._rewards, *self._observed()))
        self.spec = self._describe(config)
        if pickles:
            notes = [*notes, f"left out {len(pickles)} pickles, which are never loaded"]
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
        needed = {"action", *self._rewards, *self._observed()}
        wanted = needed | ({"discount", *FLAGS} & set(file.columns))
        info = {"file": file.path.name, "folder": file.path.parent.name}
        for piece in recorded_pieces(file, wanted, self.spec.observations.values()):
            yield to_episode(
                self._rows(piece),
                where=str(file.path),
                info=info,
                clip=self.config.clip_actions,
                first=piece.first,
                ends=piece.ends,
            )

    def _rows(self, piece: RecordedPiece) -> RecordedRows:
        columns = piece.columns
        observations = {field: columns[name] for field, name in self._fields.items()}
        if self._joints:
            observations["state"] = columns[self._joints].astype(np.float32)
        return RecordedRows(
            observations=observations,
            action=columns["action"],
            reward=np.sum([columns[name].reshape(-1) for name in self._rewards], axis=0),
            terminal=piece.terminal,
        )

    def _observed(self) -> tuple[str, ...]:
        return (*self._fields.values(), *((self._joints,) if self._joints else ()))

    def _describe(self, config: D5RL) -> DataSpec:
        columns = self._files[0].columns
        fields = {
            field: FieldSpec(columns[name].shape[1:], "uint8")
            for field, name in self._fields.items()
        }
        if self._joints:
            fields["state"] = FieldSpec(columns[self._joints].shape[1:], "float32")
        return DataSpec(
            task="kitchen_" + "_".join(name.removeprefix(REWARD) for name in self._rewards),
            observations=fields,
            action_size=columns["action"].shape[1],
            render_quality="reference",
            behaviour=canonical_quality(config.quality),
            source=f"D5RL, camera {self._fields['image']}",
        )


def camera_fields(columns: Mapping[str, Header], config: D5RL, path: Path) -> dict[str, str]:
    """Return the columns of the cameras by the names their fields get, `image` the main one.

    Raises `VRLError` when the camera asked for is not there.
    """
    found = {_camera(name): name for name, header in columns.items() if is_image(header)}
    if not found:
        raise VRLError(
            f"{path} has no camera: no column of uint8 and shape (rows, height, width, 3). It "
            f"holds {', '.join(sorted(columns))}."
        )
    main = config.camera or _main_camera(tuple(found))
    if main not in found:
        raise unknown_name(f"camera in {path.name}", main, found, "Give one: --dataset.camera")
    fields = {"image": found[main]}
    if config.cameras == "all":
        fields |= {
            f"image_{name}": column for name, column in sorted(found.items()) if name != main
        }
    return fields


def looks_like_d5rl(path: Path) -> bool:
    """Return whether a file at or below a path has D5RL's columns; never raises.

    Pickles are not looked into: they are taken for D5RL's where the path says so.
    """
    if any(files_below(path, (".npz",))):
        return looks_like_recorded_npz(path, _is_d5rl)
    named = any("d5rl" in part.lower() for part in path.resolve().parts)
    return named and any(files_below(path, (".pkl", ".pickle")))


def _is_d5rl(keys: frozenset[str], _: Path) -> bool:
    return "action" in keys and any(key.startswith(REWARD) for key in keys)


def _camera(column: str) -> str:
    """Return `12` for `extra_image_12_rgb`, `wrist` for `wrist_rgb`, else the column's name."""
    match = _CAMERA.fullmatch(column)
    return match["name"] if match else column


def _main_camera(names: Sequence[str]) -> str:
    if "image" in names or len(names) == 1:
        return "image" if "image" in names else names[0]
    return LEXA_CAMERA


def _joints(columns: Mapping[str, Header]) -> str | None:
    return next((name for name in JOINTS if name in columns), None)


def _rewards(config: D5RL, path: Path, file: NpzFile) -> tuple[str, ...]:
    """Return the reward columns of the task's elements, in the task's order."""
    known = sorted(name.removeprefix(REWARD) for name in file.columns if name.startswith(REWARD))
    folder = file.path.parent if path.is_file() else path
    words = (config.task or folder.absolute().name).lower().split("_")
    if config.task is None:
        words = [word for word in words if word in known]
    if not words:
        raise VRLError(
            f"The folder {folder.name} does not say which elements the task has. Give them: "
            f"--dataset.task microwave_kettle_switch_slide. {file.path.name} has rewards of "
            f"{', '.join(known)}."
        )
    for word in words:
        if word not in known:
            raise unknown_name(f"kitchen element with a reward in {file.path.name}", word, known)
    if len(set(words)) < len(words):
        raise VRLError(f"The task {'_'.join(words)} names an element twice; its reward is one sum.")
    return tuple(REWARD + word for word in words)


def _describe(path: Path) -> NpzFile:
    columns = headers(path)
    rewards = [name for name in columns if name.startswith(REWARD)]
    if not rewards:
        raise VRLError(
            f"{path} has no {REWARD}<element>; it holds {', '.join(sorted(columns)) or 'nothing'}. "
            "D5RL's kitchen files have a reward for each object."
        )
    cameras = [name for name, header in columns.items() if is_image(header)]
    joints = [name for name in JOINTS if name in columns]
    return describe_columns(path, columns, ("action", *rewards, *cameras, *joints), "D5RL")


def _no_files(path: Path, pickles: Sequence[Path]) -> VRLError:
    if not pickles:
        return VRLError(f"No .npz files lie at or below {path}. Give the folder of the episodes.")
    return VRLError(f"{path} holds {len(pickles)} pickles and no .npz files. {way_out(pickles[0])}")
