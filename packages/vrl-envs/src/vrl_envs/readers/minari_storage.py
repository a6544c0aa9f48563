"""Minari's two ways of storing episodes, HDF5 and Arrow, read one episode at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np

from vrl_core.errors import VRLError
from vrl_envs.readers.damage import damaged
from vrl_envs.readers.minari_spaces import Part, decoded

MAIN = "main_data.hdf5"
INSTALL = "pip install 'vrl-envs[minari]'"
FORMATS = ("hdf5", "arrow", "parquet")


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """An episode as Minari stores it: T actions, T+1 observations."""

    name: str
    observations: Mapping[str, np.ndarray]
    actions: np.ndarray
    rewards: np.ndarray
    terminations: np.ndarray
    truncations: np.ndarray
    successes: np.ndarray | None = None
    """What the steps' information calls `success`, if anything."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """The first of the episode's texts, such as what an agent was told to do."""
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Episodes(Protocol):
    """What both ways offer."""

    @property
    def parts(self) -> Sequence[Part]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Recorded: ...


def open_episodes(path: Path, data_format: str, parts: Sequence[Part]) -> Episodes:
    """Open the episodes below a dataset's folder. Raises `VRLError` for another format."""
    if data_format == "hdf5":
        return Hdf5Episodes(path, parts)
    if data_format in FORMATS:
        return ArrowEpisodes(path, data_format, parts)
    raise VRLError(
        f"The Minari dataset {path} is stored as {data_format!r}; read are {', '.join(FORMATS)}."
    )


class Hdf5Episodes:
    """Groups `episode_0`, `episode_1`, ... of one file."""

    def __init__(self, path: Path, parts: Sequence[Part]) -> None:
        self._path = path
        with damaged(path):
            self._file = h5py.File(path / "data" / MAIN, "r")
            self._names = sorted(
                (name for name in self._file if name.startswith("episode_")),
                key=lambda name: int(name.removeprefix("episode_")),
            )
            self.parts = [self._as_stored(part) for part in parts]

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int, /) -> Recorded:
        with damaged(self._path):
            group = self._file[self._names[index]]
            seen = {part.name: self._table(group, part) for part in self.parts}
            texts = [part.name for part in self.parts if part.kind == "Text"]
            return Recorded(
                name=self._names[index],
                observations={
                    part.name: _rows(seen[part.name], part)
                    for part in self.parts
                    if part.name not in texts
                },
                texts={name: seen[name][0].decode() for name in texts},
                successes=_found(group.get("infos")),
                metadata=dict(group.attrs),
                **{name: group[name][()] for name in STEPS},
            )

    def _as_stored(self, part: Part) -> Part:
        """Return a part, whose frames are JPEGs only if they are not stored as what they are."""
        if not part.jpeg or not self._names:
            return part
        table = self._table(self._file[self._names[0]], part)
        return replace(part, jpeg=table.shape[1:] != part.shape)

    def _table(self, group: Any, part: Part) -> Any:
        keys = (f"_index_{key}" if isinstance(key, int) else key for key in part.place)
        return group["/".join(["observations", *keys])]


STEPS = ("actions", "rewards", "terminations", "truncations")
"""Tables of one row a step."""


def _rows(table: Any, part: Part) -> np.ndarray:
    return decoded(table[()], part) if part.jpeg else np.asarray(table[()])


def _found(infos: Any) -> np.ndarray | None:
    if not isinstance(infos, h5py.Group) or not isinstance(infos.get("success"), h5py.Dataset):
        return None
    return _if_numbers(np.asarray(infos["success"][()]))


class ArrowEpisodes:
    """Folders `0`, `1`, ... of one table each, whose last row has an observation and no step."""

    def __init__(self, path: Path, data_format: str, parts: Sequence[Part]) -> None:
        try:
            import pyarrow.dataset
        except ImportError as error:
            raise VRLError(
                f"The Minari dataset {path} is stored as {data_format!r}, which pyarrow reads. "
                f"Install it: {INSTALL}"
            ) from error
        self._arrow: Any = pyarrow
        self._path, self._format, self.parts = path, data_format, list(parts)
        folders = (path / "data").iterdir()
        self._names = sorted((each.name for each in folders if each.name.isdigit()), key=int)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int, /) -> Recorded:
        folder = self._path / "data" / self._names[index]
        with damaged(folder, self._arrow.ArrowException):
            read = self._arrow.dataset.dataset(
                folder, format=self._format, ignore_prefixes=["_", ".", "metadata.json"]
            ).to_table()
            columns = {name: read[name].combine_chunks() for name in read.column_names}
            seen = {part: _inside(columns["observations"], part.place) for part in self.parts}
            steps = len(read) - 1
            return Recorded(
                name=f"episode_{self._names[index]}",
                observations={
                    part.name: _numbers(values, part)
                    for part, values in seen.items()
                    if part.kind != "Text"
                },
                texts={
                    part.name: values[0].as_py()
                    for part, values in seen.items()
                    if part.kind == "Text"
                },
                actions=_listed(columns["actions"], steps),
                rewards=columns["rewards"].to_numpy(zero_copy_only=False)[:steps],
                terminations=columns["terminations"].to_numpy(zero_copy_only=False)[:steps],
                truncations=columns["truncations"].to_numpy(zero_copy_only=False)[:steps],
                successes=_told(columns.get("infos")),
                metadata=json.loads((folder / "metadata.json").read_text()),
            )


def _inside(values: Any, place: tuple[str | int, ...]) -> Any:
    for key in place:
        values = values.field(str(key))
    return values


def _numbers(values: Any, part: Part) -> np.ndarray:
    if part.jpeg:
        return decoded([value.as_py() for value in values], part)
    if part.kind == "Discrete":
        return np.asarray(values.to_numpy(zero_copy_only=False))
    flat = values.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat).reshape(len(values), *part.shape)


def _listed(values: Any, steps: int) -> np.ndarray:
    flat = values.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat).reshape(len(values), -1)[:steps]


def _told(infos: Any) -> np.ndarray | None:
    if infos is None or infos.type.get_field_index("success") < 0:
        return None
    values = infos.field("success")
    numbers = values.flatten() if hasattr(values.type, "list_size") else values
    return _if_numbers(np.asarray(numbers.to_numpy(zero_copy_only=False)))


def _if_numbers(values: np.ndarray) -> np.ndarray | None:
    return values if values.dtype.kind in "biuf" else None
