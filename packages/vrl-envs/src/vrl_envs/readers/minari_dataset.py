"""Minari's datasets as episodes; Minari itself is not needed.

Both sides align steps alike: `observations` have a row more than `actions`. A box of observations
becomes the field `state`, or `image` when it is one; a dictionary gives a field a part. Frames that
Minari stored as JPEG are decoded, and the description says so: they are not what the agent saw.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import numpy as np

from vrl_core.episodes import DataSpec, Episode, FieldSpec, cuts, whole
from vrl_core.errors import DamagedDataError, VRLError
from vrl_core.store_manifest import spec_from_data
from vrl_envs.collection import check_index
from vrl_envs.readers.actions import bounded
from vrl_envs.readers.d4rl_dataset import SIZES
from vrl_envs.readers.damage import IncompleteDataWarning, damaged, describe_all
from vrl_envs.readers.minari_config import Minari
from vrl_envs.readers.minari_spaces import Part, parts_of
from vrl_envs.readers.minari_storage import MAIN, STEPS, Recorded, open_episodes
from vrl_envs.settings import canonical_quality

DATA, METADATA = Path("data") / MAIN, Path("data/metadata.json")
TOTALS = ("total_episodes", "total_steps")
JPEG = ", frames decoded from JPEG, which are not exactly what the agent saw"
_ENVIRONMENT = re.compile(r"(?P<name>\w+)-(?P<version>v[45])")
DRAWING = {"render_mode", "width", "height", "camera_id", "camera_name", "default_camera_config"}
"""Arguments of an environment that change nothing but its pictures."""
_TASKS = {
    "HalfCheetah": "halfcheetah",
    "Hopper": "hopper",
    "Walker2d": "walker2d",
    "Ant": "ant",
}


class MinariDataset:
    """Episodes of one dataset, in Gymnasium's alignment, actions scaled into [-1, 1]."""

    def __init__(self, config: Minari) -> None:
        self.config, self.path = config, Path(config.path).expanduser()
        self.metadata = read_metadata(self.path)
        data_format = self.metadata.get("data_format", "hdf5")
        with damaged(self.path / METADATA):
            space = self.metadata["action_space"]
            self.low, self.high = action_bounds(self.path, space, clip=config.clip_actions)
            described = parts_of(self.path, self.metadata)
        self.episodes = open_episodes(self.path, data_format, described)
        self.parts = self.episodes.parts
        if not len(self.episodes):
            raise VRLError(f"The Minari dataset {self.path} has no episodes.")
        self.spec = describe(config, self.metadata, self.parts, len(self.low))
        if parent_process() is None:
            self._compare_totals(skip_damaged=config.skip_damaged)

    def __len__(self) -> int:
        return len(self.episodes)

    def __getitem__(self, index: int, /) -> Episode:
        """Read episode `index`. Raises `DamagedDataError` when the file is damaged."""
        return whole(self.pieces(index))

    def pieces(self, index: int, /) -> Iterator[Episode]:
        """Read episode `index` in pieces. Raises `DamagedDataError` when the file is damaged."""
        check_index(index, len(self))
        found = self.episodes[index]
        where = f"{self.path}, {found.name}"
        require_aligned(where, found)
        for first, stop in cuts(found.rows["actions"], (part.field for part in self.parts)):
            observations = {
                part.name: np.asarray(found.observed(part, first, stop + 1), part.field.dtype)
                for part in self.parts
                if part.kind != "Text"
            }
            require_shapes(where, self.parts, observations)
            terminations, truncations = (
                found.values(name, first, stop).astype(bool).reshape(-1)
                for name in ("terminations", "truncations")
            )
            last = np.arange(first, stop) == found.rows["actions"] - 1
            yield Episode(
                observations=observations,
                actions=self._scaled(found.values("actions", first, stop).astype(np.float64)),
                rewards=found.values("rewards", first, stop).astype(np.float32).reshape(-1),
                terminations=terminations,
                # Minari marks an episode that the collector cut short; one that it does not is
                # one too.
                truncations=(truncations | last) & ~terminations,
                info=facts(found) if stop == found.rows["actions"] else {},
            )

    def _compare_totals(self, *, skip_damaged: bool) -> None:
        """Raise `DamagedDataError` for episodes that are damaged or missing, or warn of them."""
        steps, notes = describe_all(
            range(len(self)), self._steps_of, skip_damaged=skip_damaged, noun="episodes"
        )
        counts = {"total_episodes": len(self)}
        if not notes:
            counts["total_steps"] = sum(steps)
        told = {name: self.metadata.get(name, count) for name, count in counts.items()}
        wrong = [f"{told[name]} {name}" for name in counts if told[name] != counts[name]]
        if wrong:
            there = " and ".join(f"{count} {name}" for name, count in counts.items())
            notes.append(
                f"{METADATA} says {' and '.join(wrong)}; there are {there}{self._missing(told)}. "
                "The dataset was not fully downloaded, or a part is damaged"
            )
            if not skip_damaged:
                hint = "--dataset.skip-damaged takes those that are there."
                raise DamagedDataError(f"{self.path}: {notes[-1]}. {hint}")
        for note in notes:
            warnings.warn(f"{self.path}: {note}.", IncompleteDataWarning, stacklevel=4)

    def _steps_of(self, index: int) -> int:
        """Return the steps of an episode. Raises `DamagedDataError`."""
        found = self.episodes[index]
        require_aligned(f"{self.path}, {found.name}", found)
        return found.rows["actions"]

    def _missing(self, told: Mapping[str, int]) -> str:
        """Name the first episode that is not there, if there are fewer than is told."""
        if told["total_episodes"] <= len(self):
            return ""
        gaps = np.flatnonzero(self.episodes.numbers != np.arange(len(self)))
        return f", the first that is missing is episode_{gaps[0] if len(gaps) else len(self)}"

    def _scaled(self, actions: np.ndarray) -> np.ndarray:
        share = (actions - self.low) / (self.high - self.low)
        return bounded((2 * share - 1).astype(np.float32), self.path, clip=self.config.clip_actions)


def looks_like_minari(path: Path) -> bool:
    """Return whether a folder holds Minari's files, of any of its formats; never raises.

    The episodes may be missing where the metadata are Minari's.
    """
    try:
        metadata = (path / METADATA).read_bytes()
    except OSError:
        return False
    episodes = (path / DATA).is_file() or any((path / "data").glob("[0-9]*"))
    return episodes or b'"observation_space"' in metadata


def read_metadata(path: Path) -> dict[str, Any]:
    """Read a dataset's metadata. Raises `VRLError` when it is missing or malformed."""
    try:
        metadata: dict[str, Any] = json.loads((path / METADATA).read_text())
        for name in ("observation_space", "action_space", "env_spec"):
            if isinstance(metadata.get(name), str):
                metadata[name] = json.loads(metadata[name])
        metadata |= {name: int(metadata[name]) for name in TOTALS if name in metadata}
        kinds = metadata["action_space"]["type"], metadata["observation_space"]["type"]
        if not all(isinstance(kind, str) for kind in kinds):
            raise ValueError(f"spaces of kinds {kinds}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VRLError(
            f"{path} is no Minari dataset that can be read: {METADATA}: {error}. Give the folder "
            "that holds 'data', such as ~/.minari/datasets/mujoco/halfcheetah/expert-v0."
        ) from error
    return metadata


def action_bounds(
    path: Path, space: Mapping[str, Any], *, clip: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the actions `(action,)` that -1 and 1 stand for: of a box without bounds themselves.

    Raises `VRLError` for another space, or one without bounds unless it is to `clip` them.
    """
    if space["type"] != "Box" or len(space["shape"]) != 1:
        raise VRLError(
            f"Actions of the Minari dataset {path} are {space['type']}; "
            "VRL needs a Box of one axis."
        )
    low, high = (
        np.broadcast_to(np.asarray(space[name], np.float64), space["shape"])
        for name in ("low", "high")
    )
    if np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all():
        return low, high
    if clip:
        return np.full(space["shape"], -1.0), np.full(space["shape"], 1.0)
    raise VRLError(
        f"Actions of the Minari dataset {path} have no bounds ({low.tolist()} to "
        f"{high.tolist()}), so they cannot be scaled into [-1, 1]. --dataset.clip-actions takes "
        "them as they are, and clips what lies beyond."
    )


def describe(
    config: Minari, metadata: Mapping[str, Any], parts: Sequence[Part], action_size: int
) -> DataSpec:
    """Describe the data: what VRL wrote about data that it exported, or what Minari knows."""
    jpeg = JPEG if any(part.jpeg for part in parts) else ""
    if "vrl_spec" in metadata:
        exported = spec_from_data(json.loads(metadata["vrl_spec"]))
        return replace(exported, source=exported.source + jpeg)
    path = Path(config.path).expanduser().absolute()
    fields = {part.name: part.field for part in parts if part.kind != "Text"}
    task, environment = _environment(metadata.get("env_spec"), fields, action_size)
    named = re.sub(r"-v\d+$", "", path.name)
    return DataSpec(
        task=config.task or task or path.parent.name,
        observations=fields,
        action_size=action_size,
        environment=environment,
        behaviour=canonical_quality(config.quality or named),
        source=f"Minari {metadata.get('dataset_id', path.name)}{jpeg}",
        versions={"minari": str(metadata.get("minari_version", "unknown"))},
    )


def require_aligned(where: str, found: Recorded) -> None:
    """Raise `DamagedDataError` unless there is a reward an action, and an observation more."""
    steps = found.rows["actions"]
    if steps < 1:
        raise DamagedDataError(f"{where} is damaged: it has no step.")
    rows = {name: count for name, count in found.rows.items() if name not in STEPS}
    uneven = any(found.rows[name] != steps for name in STEPS)
    if uneven or any(count != steps + 1 for count in rows.values()):
        raise DamagedDataError(
            f"{where} is damaged: {steps} actions, {found.rows['rewards']} rewards, observations "
            f"{rows}; there must be one observation more than actions."
        )
    if found.metadata.get("total_steps", steps) != steps:
        raise DamagedDataError(
            f"{where} is damaged: it has {steps} steps, and {found.metadata['total_steps']} by "
            "what is said of it (total_steps)."
        )


def require_shapes(
    where: str, parts: Sequence[Part], observations: Mapping[str, np.ndarray]
) -> None:
    """Raise `DamagedDataError` unless observations have the shapes of the dataset's space."""
    for part in parts:
        shape = observations[part.name].shape[1:] if part.name in observations else part.shape
        if shape != part.shape:
            raise DamagedDataError(
                f"{where} has {part.name} of shape {shape}; the dataset's space says {part.shape}."
            )


def facts(found: Recorded) -> dict[str, Any]:
    """Return an episode's information: seed, texts, success, and what VRL exported of it."""
    exported = found.metadata.get("info")
    known: dict[str, Any] = json.loads(exported) if isinstance(exported, str) else {}
    seed = found.metadata.get("seed")
    if isinstance(seed, int | np.integer):
        known["seed"] = int(seed)
    success = found.success()
    if success is not None:
        known["success"] = success
    return {"episode": found.name, **known, **found.texts()}


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
    if forces is None or set(env_spec.get("kwargs") or {}) - DRAWING:
        return task, None
    settings = {"name": "gym-mujoco", "task": task, "version": match["version"]}
    return task, settings | {"contact_forces": forces}
