"""Minari's HDF5 datasets as episodes; Minari itself is not needed.

Both sides align steps alike: `observations` have a row more than `actions`. A box of observations
becomes the field `state`, or `image` when it is one; a dictionary gives a field a part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vrl_core.episodes import DataSpec, Episode, FieldSpec
from vrl_core.errors import DamagedDataError, VRLError
from vrl_core.store_manifest import spec_from_data
from vrl_envs.config import QUALITY_ALIASES
from vrl_envs.readers.actions import bounded
from vrl_envs.readers.d4rl_dataset import SIZES
from vrl_envs.readers.damage import damaged
from vrl_envs.readers.minari_config import Minari

DATA, METADATA = Path("data/main_data.hdf5"), Path("data/metadata.json")
_ENVIRONMENT = re.compile(r"(?P<name>\w+)-(?P<version>v[45])")
_TASKS = {
    "HalfCheetah": "halfcheetah",
    "Hopper": "hopper",
    "Walker2d": "walker2d",
    "Ant": "ant",
}


class MinariDataset:
    """Episodes of one dataset, in Gymnasium's alignment, actions scaled into [-1, 1]."""

    def __init__(self, config: Minari) -> None:
        self.path = Path(config.path)
        self.metadata = read_metadata(self.path)
        require_readable(self.path, self.metadata)
        with damaged(self.path):
            self._file = h5py.File(self.path / DATA, "r")
            self.episodes = sorted(
                (name for name in self._file if name.startswith("episode_")),
                key=lambda name: int(name.removeprefix("episode_")),
            )
        if not self.episodes:
            raise VRLError(f"The Minari dataset {self.path} has no episodes.")
        self.low, self.high = action_bounds(self.path, self.metadata["action_space"])
        with damaged(self.path):
            fields = self._fields(self._file[self.episodes[0]]["observations"])
        self.spec = describe(config, self.metadata, fields, len(self.low))

    def __len__(self) -> int:
        return len(self.episodes)

    def __getitem__(self, index: int, /) -> Episode:
        """Read episode `index`. Raises `DamagedDataError` when the file is damaged."""
        if not 0 <= index < len(self):
            raise IndexError(f"episode {index} of {len(self)}")
        with damaged(self.path):
            group = self._file[self.episodes[index]]
            observations = {
                name: np.asarray(table, self.spec.observations[name].dtype)
                for name, table in _tables(group["observations"])
            }
            actions = np.asarray(group["actions"], np.float64)
            flags = {
                name: np.asarray(group[name]).reshape(-1).astype(bool)
                for name in ("terminations", "truncations")
            }
            rewards = np.asarray(group["rewards"], np.float32).reshape(-1)
            info = {"episode": self.episodes[index], **_seed(group)}
        require_aligned(f"{self.path}, {self.episodes[index]}", observations, actions, rewards)
        return Episode(
            observations=observations,
            actions=self._scaled(actions),
            rewards=rewards,
            terminations=flags["terminations"],
            # Minari marks an episode that the collector cut short; one that it does not is one too.
            truncations=_ended(flags["terminations"], flags["truncations"]),
            info=info,
        )

    def _scaled(self, actions: np.ndarray) -> np.ndarray:
        share = (actions - self.low) / (self.high - self.low)
        return bounded((2 * share - 1).astype(np.float32), self.path)

    def _fields(self, observations: Any) -> dict[str, FieldSpec]:
        return {name: _field(table) for name, table in _tables(observations)}


def looks_like_minari(path: Path) -> bool:
    """Return whether a folder holds Minari's HDF5 files."""
    return (path / DATA).is_file() and (path / METADATA).is_file()


def read_metadata(path: Path) -> dict[str, Any]:
    """Read a dataset's metadata. Raises `VRLError` when it is missing or malformed."""
    try:
        metadata: dict[str, Any] = json.loads((path / METADATA).read_text())
        for name in ("observation_space", "action_space", "env_spec"):
            if isinstance(metadata.get(name), str):
                metadata[name] = json.loads(metadata[name])
        kinds = metadata["action_space"]["type"], metadata["observation_space"]["type"]
        if not all(isinstance(kind, str) for kind in kinds):
            raise ValueError(f"spaces of kinds {kinds}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VRLError(
            f"{path} is no Minari dataset that can be read: {METADATA}: {error}. Give the folder "
            "that holds 'data', such as ~/.minari/datasets/mujoco/halfcheetah/expert-v0."
        ) from error
    return metadata


def require_readable(path: Path, metadata: Mapping[str, Any]) -> None:
    """Raise `VRLError` for another storage format or for JPEG frames, which are not exact."""
    data_format = metadata.get("data_format", "hdf5")
    if data_format != "hdf5" or not (path / DATA).is_file():
        raise VRLError(
            f"The Minari dataset {path} is stored as {data_format!r}; only 'hdf5' is read. Minari "
            "can write it again as hdf5."
        )
    if metadata.get("jpeg_encoding"):
        raise VRLError(
            f"The frames of the Minari dataset {path} are JPEGs, which differ from what the agent "
            "saw. Only datasets written with jpeg_encoding=False are read."
        )


def action_bounds(path: Path, space: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the actions `(action,)` that -1 and 1 stand for. Raises `VRLError` unless a box."""
    if space["type"] != "Box" or len(space["shape"]) != 1:
        raise VRLError(
            f"Actions of the Minari dataset {path} are {space['type']}; "
            "VRL needs a Box of one axis."
        )
    low, high = (
        np.broadcast_to(np.asarray(space[name], np.float64), space["shape"])
        for name in ("low", "high")
    )
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
        raise VRLError(
            f"Actions of the Minari dataset {path} have no bounds ({low.tolist()} to "
            f"{high.tolist()}), so they cannot be scaled into [-1, 1]."
        )
    return low, high


def describe(
    config: Minari, metadata: Mapping[str, Any], fields: Mapping[str, FieldSpec], action_size: int
) -> DataSpec:
    """Describe the data: what VRL wrote about data that it exported, or what Minari knows."""
    if "vrl_spec" in metadata:
        return spec_from_data(json.loads(metadata["vrl_spec"]))
    path = Path(config.path).absolute()
    task, environment = _environment(metadata.get("env_spec"), fields, action_size)
    quality = re.sub(r"-v\d+$", "", path.name).replace("-", "_")
    return DataSpec(
        task=config.task or task or path.parent.name,
        observations=fields,
        action_size=action_size,
        environment=environment,
        behaviour=config.quality or QUALITY_ALIASES.get(quality, quality),
        source=f"Minari {metadata.get('dataset_id', path.name)}",
        versions={"minari": str(metadata.get("minari_version", "unknown"))},
    )


def require_aligned(
    where: str, observations: Mapping[str, np.ndarray], actions: np.ndarray, rewards: np.ndarray
) -> None:
    """Raise `DamagedDataError` unless there is a reward an action, and an observation more."""
    rows = {name: len(values) for name, values in observations.items()}
    if len(rewards) != len(actions) or any(count != len(actions) + 1 for count in rows.values()):
        raise DamagedDataError(
            f"{where} is damaged: {len(actions)} actions, {len(rewards)} rewards, observations "
            f"{rows}; there must be one observation more than actions."
        )


def _tables(observations: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the field name and the table of every part of the observations."""
    if isinstance(observations, h5py.Group):
        for name, part in observations.items():
            yield from _tables(part, f"{prefix}_{name}" if prefix else name)
    else:
        yield prefix or ("image" if _is_image(observations) else "state"), observations


def _is_image(table: Any) -> bool:
    return bool(table.dtype == np.uint8 and table.ndim == 4)


def _field(table: Any) -> FieldSpec:
    dtype = "uint8" if table.dtype == np.uint8 else "float32"
    return FieldSpec(tuple(int(size) for size in table.shape[1:]), dtype)


def _seed(group: Any) -> dict[str, int]:
    seed = group.attrs.get("seed")
    return {"seed": int(seed)} if isinstance(seed, int | np.integer) else {}


def _ended(terminations: np.ndarray, truncations: np.ndarray) -> np.ndarray:
    ended: np.ndarray = truncations & ~terminations
    ended[-1] = not terminations[-1]
    return ended


def _environment(
    env_spec: Any, fields: Mapping[str, FieldSpec], action_size: int
) -> tuple[str | None, dict[str, Any] | None]:
    """Return the task and the environment as data, where the sizes are those of one known here."""
    if not isinstance(env_spec, Mapping):
        return None, None
    match = _ENVIRONMENT.fullmatch(str(env_spec.get("id", "")))
    if match is None or match["name"] not in _TASKS:
        return str(env_spec["id"]).lower().replace("-", "_") if env_spec.get("id") else None, None
    task = _TASKS[match["name"]]
    state = fields.get("state", FieldSpec((0,), "float32")).shape[0]
    forces = {("ant", 105, 8): True}.get(
        (task, state, action_size), SIZES.get((task, state, action_size))
    )
    if forces is None or env_spec.get("kwargs"):
        return task, None
    settings = {"name": "gym-mujoco", "task": task, "version": match["version"]}
    return task, settings | {"contact_forces": forces}
