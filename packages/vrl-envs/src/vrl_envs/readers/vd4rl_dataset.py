"""V-D4RL's files as a `Dataset`: random access to episodes, and the description of the whole."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from multiprocessing import parent_process
from typing import Any, Protocol

from vrl_core.episodes import DataSpec, Episode, FieldSpec, whole
from vrl_core.errors import VRLError
from vrl_envs.dmc.shift import DIFFICULTY_ALIASES, LIMBS
from vrl_envs.readers.damage import IncompleteDataWarning
from vrl_envs.readers.vd4rl_files import Source
from vrl_envs.readers.vd4rl_hdf5 import Hdf5Episodes
from vrl_envs.readers.vd4rl_names import ACTION_SIZES, SHIFTS, published_transitions
from vrl_envs.readers.vd4rl_npz import NpzEpisodes

ACTION_REPEAT = 2
LICENCE = "MIT"


class EpisodeReader(Protocol):
    """What both kinds of file offer."""

    notes: list[str]
    """What was left out or mended."""
    upsampled: bool
    """Whether images were enlarged from 64 px rather than rendered."""

    @property
    def transitions(self) -> int: ...
    @property
    def action_size(self) -> int: ...
    @property
    def observations(self) -> dict[str, FieldSpec]: ...
    @property
    def episodes_per_read(self) -> int: ...
    def __len__(self) -> int: ...
    @property
    def kept_bytes(self) -> int: ...
    def pieces(self, index: int, /) -> Iterator[Episode]: ...


class VD4RLDataset:
    """Episodes of one V-D4RL dataset, in Gymnasium's alignment.

    Warns once, with `IncompleteDataWarning`, of files that are missing or were mended. Raises
    `VRLError` when a file is damaged or its actions are not the task's.
    """

    def __init__(
        self,
        source: Source,
        *,
        proprioception: bool = False,
        skip_damaged: bool = False,
        clip_actions: bool = False,
    ) -> None:
        reader = NpzEpisodes if source.layout == "npz" else Hdf5Episodes
        self._reader: EpisodeReader = reader(
            source.files,
            proprioception=proprioception,
            skip_damaged=skip_damaged,
            clip_actions=clip_actions,
        )
        _require_action_size(source, self._reader.action_size)
        self._spec = _describe(source, self._reader)
        # Worker processes build the dataset again; the user has been told by then.
        if parent_process() is None:
            for note in (*self._reader.notes, *_shortfall(source, self._reader)):
                warnings.warn(f"{source.folder}: {note}.", IncompleteDataWarning, stacklevel=3)

    @property
    def spec(self) -> DataSpec:
        """What the files hold."""
        return self._spec

    @property
    def episodes_per_read(self) -> int:
        """Neighbouring episodes that share compressed chunks, best read by one process."""
        return self._reader.episodes_per_read

    @property
    def kept_bytes(self) -> int:
        """Bytes of decompressed chunks that a process keeps while it reads."""
        return self._reader.kept_bytes

    def __len__(self) -> int:
        return len(self._reader)

    def __getitem__(self, index: int, /) -> Episode:
        """Read episode `index`. Raises `DamagedDataError` when its file is damaged."""
        return whole(self.pieces(index))

    def pieces(self, index: int, /) -> Iterator[Episode]:
        """Read episode `index` in pieces. Raises `DamagedDataError` when its file is damaged."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"episode {index} of {len(self)}")
        yield from self._reader.pieces(index % len(self))


def _describe(source: Source, reader: EpisodeReader) -> DataSpec:
    size = reader.observations["image"].shape[0]
    return DataSpec(
        task=source.task,
        observations=reader.observations,
        action_size=reader.action_size,
        environment=_environment(source, size),
        action_repeat=ACTION_REPEAT,
        render_quality="reference",
        behaviour=source.quality or "unknown",
        source=_provenance(source, size, reader.upsampled),
        licence=LICENCE,
    )


def _environment(source: Source, size: int) -> Mapping[str, Any] | None:
    """Return the environment the data is of, with its distraction or its limb lengths.

    None where the folder does not tell the difficulty, and for shifts of no published task.
    """
    shift = _shift(source)
    if shift is None:
        return None
    return {
        "name": "dmc",
        "task": source.task,
        "size": size,
        "camera": 0,
        "action_repeat": ACTION_REPEAT,
        "rendering": "reference",
        **shift,
    }


def _shift(source: Source) -> Mapping[str, Any] | None:
    """Return what sets the data's environment apart from the suite's, if that is known."""
    if source.suite == "main":
        return {}
    if (source.suite, source.task) not in SHIFTS:
        return None
    if source.suite == "multitask":
        return {"limb": LIMBS}
    if source.difficulty is None:
        return None
    return {
        "distraction": DIFFICULTY_ALIASES[source.difficulty],
        "distraction_draw": "fixed",
        "distraction_background": "videos",
    }


def _provenance(source: Source, size: int, upsampled: bool) -> str:
    shift = "" if source.suite == "main" else f", {source.suite}"
    difficulty = f" {source.difficulty}" if source.difficulty else ""
    drawn = SHIFTS.get((source.suite, source.task))
    settings = f" ({drawn})" if drawn else ""
    note = f", {size} px upsampled from 64 px" if upsampled else ""
    return f"V-D4RL{shift}{difficulty}{settings}{note}"


def _require_action_size(source: Source, found: int) -> None:
    expected = ACTION_SIZES[source.task]
    if found != expected:
        fitting = " or ".join(task for task, size in ACTION_SIZES.items() if size == found)
        raise VRLError(
            f"Actions in {source.folder} have {found} numbers; those of {source.task} have "
            f"{expected}. Give the data's own task{f' ({fitting})' if fitting else ''}."
        )


def _shortfall(source: Source, reader: EpisodeReader) -> list[str]:
    if source.suite != "main" or source.quality is None:
        return []
    published = published_transitions(source.task, source.quality)
    if reader.transitions >= published:
        return []
    return [
        f"{len(source.files)} files hold {len(reader)} episodes, {reader.transitions:,} "
        f"transitions; the paper's {source.task} {source.quality} has {published:,} (Table 5). "
        "Files are missing, here or where they came from, so results will not compare with the "
        "paper's"
    ]
