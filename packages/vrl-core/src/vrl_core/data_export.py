"""A store in Minari's format, frames unchanged unless asked, for everything that reads Minari.

    vrl data export data/walker_walk/expert/64px --output out/walker/expert-v0
    MINARI_DATASETS_PATH=out python -c "import minari; minari.load_dataset('walker/expert-v0')"

Both sides align steps alike, so the arrays are copied as they are. Observations are a `Dict` space
with the store's field names.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vrl_core.episodes import DataSpec, Episode, FieldSpec
from vrl_core.errors import VRLError
from vrl_core.store import Store, staging_folder
from vrl_core.store_manifest import spec_to_data
from vrl_core.writing import explained

if TYPE_CHECKING:
    import gymnasium

DataFormat = Literal["hdf5", "arrow", "parquet"]
_VERSIONED = re.compile(r"[\w-]+-v\d+")
_IDENTIFIER = re.compile(r"([\w-]+/)*[\w-]+-v\d+")


@dataclass(frozen=True, kw_only=True)
class MinariPlace:
    """Where a Minari dataset lies."""

    root: Path
    """What `MINARI_DATASETS_PATH` must say to read it."""
    identifier: str
    """Name for `minari.load_dataset`, such as `walker_walk/expert-v0`."""

    @property
    def folder(self) -> Path:
        """Folder of this dataset."""
        return self.root / self.identifier


def minari_place(spec: DataSpec, output: Path | None, identifier: str | None) -> MinariPlace:
    """Choose root and identifier.

    `output` is the dataset's own folder when its name ends in `-v<N>`, and else a Minari root,
    by default Minari's own. Raises `VRLError` when `output` and `identifier` contradict each
    other or the identifier is malformed.
    """
    if identifier is not None and not _IDENTIFIER.fullmatch(identifier):
        raise VRLError(
            f"{identifier!r} cannot name a Minari dataset; it looks like namespace/name-v0, of "
            "letters, digits, '_' and '-'."
        )
    if output is None or not _VERSIONED.fullmatch(output.name):
        root = output if output is not None else _minari_root()
        # Minari joins a relative path twice.
        return MinariPlace(root=root.resolve(), identifier=identifier or _default_identifier(spec))
    parts = output.resolve().parts
    identifier = identifier or "/".join(parts[-2:])
    depth = identifier.count("/") + 1
    if "/".join(parts[-depth:]) != identifier or not _IDENTIFIER.fullmatch(identifier):
        raise VRLError(
            f"The folder {output} is not where Minari looks for {identifier!r}. Give the folder's "
            "last parts as the identifier, or a folder to put it in."
        )
    return MinariPlace(root=Path(*parts[:-depth]), identifier=identifier)


def export_minari(
    store: Store,
    place: MinariPlace,
    *,
    data_format: DataFormat = "hdf5",
    jpeg: bool = False,
    on_episode: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a Minari dataset and return its folder; it appears whole or not at all.

    With `jpeg`, frames from 32 x 32 pixels on lose what JPEG leaves out; all else stays as it is.
    Raises `VRLError` when Minari or what its format needs is not installed, the store is damaged,
    or the folder exists or cannot be written.
    """
    _require_minari(data_format)
    folder = place.folder
    if folder.exists():
        raise VRLError(
            f"{folder} exists already, and it is not overwritten. Choose another --output."
        )
    staging = staging_folder(folder)
    with explained(folder):
        if staging.exists():
            shutil.rmtree(staging)  # of an export that was stopped; there is no work in it to save
        (staging / "data").mkdir(parents=True)
        storage = _new_storage(store.spec, staging / "data", data_format, jpeg)
        _write(store, storage, place.identifier, on_episode)
        staging.rename(folder)
    return folder


def _new_storage(spec: DataSpec, folder: Path, data_format: DataFormat, jpeg: bool) -> Any:
    from minari.dataset.minari_storage import MinariStorage

    return MinariStorage.new(
        folder,
        observation_space=_observation_space(spec),
        action_space=_box(FieldSpec((spec.action_size,), "float32"), -1, 1),
        data_format=data_format,
        jpeg_encoding=jpeg,
    )


def _write(
    store: Store, storage: Any, identifier: str, on_episode: Callable[[int, int], None] | None
) -> None:
    from importlib.metadata import version

    spec = store.spec
    for index, episode in enumerate(store):
        store.require_sound([index])
        storage.update_episodes([_buffer(episode)])
        storage.update_episode_metadata([{"info": json.dumps(dict(episode.info))}], [index])
        if on_episode:
            on_episode(index + 1, len(store))
    storage.update_metadata(
        {
            "dataset_id": identifier,
            "minari_version": version("minari"),
            "algorithm_name": spec.behaviour,
            "author": {spec.source},
            "description": _description(spec),
            "vrl_spec": json.dumps(spec_to_data(spec)),
        }
    )


def _buffer(episode: Episode) -> Any:
    from minari.data_collector import EpisodeBuffer

    seed = episode.info.get("seed")
    return EpisodeBuffer(
        id=None,
        seed=seed if isinstance(seed, int) else None,
        observations=dict(episode.observations),
        actions=episode.actions,
        rewards=episode.rewards,
        terminations=episode.terminations,
        truncations=episode.truncations,
        infos=None,
    )


def _observation_space(spec: DataSpec) -> gymnasium.spaces.Dict:
    import gymnasium

    return gymnasium.spaces.Dict(
        {name: _box(field, *_bounds(field)) for name, field in spec.observations.items()}
    )


def _bounds(field: FieldSpec) -> tuple[float, float]:
    dtype = np.dtype(field.dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return limits.min, limits.max
    return (0, 1) if dtype.kind == "b" else (-np.inf, np.inf)


def _box(field: FieldSpec, low: float, high: float) -> gymnasium.spaces.Box:
    import gymnasium

    return gymnasium.spaces.Box(low, high, field.shape, np.dtype(field.dtype).type)


def _description(spec: DataSpec) -> str:
    facts = [
        f"{spec.task}, behaviour {spec.behaviour}, from {spec.source}, licence {spec.licence}",
        f"action repeat {spec.action_repeat}",
        f"render quality {spec.render_quality}" if spec.render_quality else "",
    ]
    return ". ".join(fact for fact in facts if fact) + "."


def _default_identifier(spec: DataSpec) -> str:
    task, behaviour = (re.sub(r"[^\w-]", "_", name) for name in (spec.task, spec.behaviour))
    return f"vrl/{task}/{behaviour}-v0"


def _minari_root() -> Path:
    named = os.environ.get("MINARI_DATASETS_PATH")
    return Path(named) if named else Path.home() / ".minari" / "datasets"


def _require_minari(data_format: DataFormat) -> None:
    needed = "minari.dataset._storages." + ("hdf5" if data_format == "hdf5" else "arrow")
    try:
        importlib.import_module(f"{needed}_storage")
    except ImportError as error:
        extra = "" if data_format == "hdf5" else " pyarrow"
        raise VRLError(
            f"Export writes Minari's {data_format} format with Minari, and not all of it is "
            f"installed. Install it with: pip install 'vrl-core[minari]'{extra}"
        ) from error
