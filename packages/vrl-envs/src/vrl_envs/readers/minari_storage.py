"""Minari's episodes as HDF5 stores them, and what a reader of either way of storing offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np

from vrl_core.errors import VRLError
from vrl_envs.readers.damage import DAMAGE, damaged
from vrl_envs.readers.minari_spaces import Part, decoded

MAIN = "main_data.hdf5"
FORMATS = ("hdf5", "arrow", "parquet")
STEPS = ("actions", "rewards", "terminations", "truncations")
"""Tables of one row a step."""


class Recorded(Protocol):
    """An episode as Minari stores it: T actions, T+1 observations, read a few rows at a time."""

    @property
    def name(self) -> str: ...
    @property
    def rows(self) -> Mapping[str, int]:
        """Rows of each of `STEPS` and of each part of the observations."""
        ...

    @property
    def metadata(self) -> Mapping[str, Any]: ...
    def observed(self, part: Part, first: int, stop: int) -> np.ndarray:
        """Return rows of a part of the observations; of numbers as they are stored."""
        ...

    def values(self, name: str, first: int, stop: int) -> np.ndarray:
        """Return rows of one of `STEPS`."""
        ...

    def texts(self) -> Mapping[str, str]:
        """Return the first of each text, such as what an agent was told to do."""
        ...

    def success(self) -> bool | None:
        """Return whether the steps read so far had what their information calls `success`."""
        ...


class Episodes(Protocol):
    """What both ways offer."""

    @property
    def parts(self) -> Sequence[Part]: ...
    @property
    def numbers(self) -> np.ndarray:
        """Number of each episode in its name, ascending `(episodes,)`."""
        ...

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Recorded: ...


def open_episodes(path: Path, data_format: str, parts: Sequence[Part]) -> Episodes:
    """Open the episodes below a dataset's folder. Raises `VRLError` for another format."""
    if data_format == "hdf5":
        return Hdf5Episodes(path, parts)
    if data_format in FORMATS:
        from vrl_envs.readers.minari_arrow import ArrowEpisodes

        return ArrowEpisodes(path, data_format, parts)
    raise VRLError(
        f"The Minari dataset {path} is stored as {data_format!r}; read are {', '.join(FORMATS)}."
    )


class Hdf5Episodes:
    """Groups `episode_0`, `episode_1`, ... of one file."""

    def __init__(self, path: Path, parts: Sequence[Part]) -> None:
        self._path = path / "data" / MAIN
        with damaged(self._path):
            self._file = h5py.File(self._path, "r")
            names = (name for name in self._file if name.startswith("episode_"))
            numbers = (int(name.removeprefix("episode_")) for name in names)
            self.numbers = np.sort(np.fromiter(numbers, np.int64))
            self.parts = [self._as_stored(part) for part in parts]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int, /) -> Recorded:
        name = f"episode_{self.numbers[index]}"
        place = f"{self._path}, {name}"
        with damaged(place):
            return Hdf5Episode(place, name, self._file[name], self.parts)

    def _as_stored(self, part: Part) -> Part:
        """Return a part, whose frames are JPEGs only if they are not stored as what they are.

        The first episode that can be read tells.
        """
        for number in self.numbers if part.jpeg else ():
            with suppress(*DAMAGE):
                table = table_of(self._file[f"episode_{number}"], part)
                return replace(part, jpeg=table.shape[1:] != part.shape)
        return part


class Hdf5Episode:
    """One group."""

    def __init__(self, place: str, name: str, group: Any, parts: Sequence[Part]) -> None:
        self._place, self.name, self._group = place, name, group
        self._tables = {part.name: table_of(group, part) for part in parts}
        self._texts = [part.name for part in parts if part.kind == "Text"]
        tables = {name: group[name] for name in STEPS}
        tables |= {name: x for name, x in self._tables.items() if name not in self._texts}
        self.rows = {name: len(table) for name, table in tables.items()}
        self.metadata = dict(group.attrs)

    def observed(self, part: Part, first: int, stop: int) -> np.ndarray:
        """Return rows of a part of the observations."""
        with damaged(self._place):
            rows = self._tables[part.name][first:stop]
            return decoded(rows, part) if part.jpeg else np.asarray(rows)

    def values(self, name: str, first: int, stop: int) -> np.ndarray:
        """Return rows of one of `STEPS`."""
        with damaged(self._place):
            return np.asarray(self._group[name][first:stop])

    def texts(self) -> Mapping[str, str]:
        """Return the first of each text."""
        with damaged(self._place):
            return {name: self._tables[name][0].decode() for name in self._texts}

    def success(self) -> bool | None:
        """Return whether any step's information has `success`."""
        with damaged(self._place):
            infos = self._group.get("infos")
            found = infos.get("success") if isinstance(infos, h5py.Group) else None
            return any_success(found[()]) if isinstance(found, h5py.Dataset) else None


def table_of(group: Any, part: Part) -> Any:
    """Return the table of a part of the observations."""
    keys = (f"_index_{key}" if isinstance(key, int) else key for key in part.place)
    return group["/".join(["observations", *keys])]


def any_success(found: Any) -> bool | None:
    """Return whether any number is not zero; None when these are no numbers."""
    values = np.asarray(found)
    if values.dtype.kind not in "biuf":
        return None
    return bool(np.nan_to_num(values.astype(np.float64)).any())
