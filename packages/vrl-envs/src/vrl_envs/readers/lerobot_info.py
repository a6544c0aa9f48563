"""What a LeRobot dataset's `meta/info.json` says: version, columns, where files lie."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vrl_core.errors import VRLError
from vrl_envs.readers.field_names import by_field, field_name

INFO = Path("meta/info.json")
VERSIONS = ("v2.0", "v2.1", "v3.0")
TOTALS = ("total_episodes", "total_frames")
OBSERVATION = "observation."
_NUMBERS = ("float32", "float64", "int32", "int64", "float16", "int16", "int8", "uint8", "bool")


@dataclass(frozen=True, kw_only=True)
class Info:
    """The parts of `info.json` that are needed."""

    folder: Path
    version: str
    fps: float
    chunk_size: int
    """Episodes in a folder, of versions 2.0 and 2.1."""
    data_path: str
    video_path: str
    features: Mapping[str, Mapping[str, Any]]
    totals: Mapping[str, int]
    """Of `total_episodes` and `total_frames` those that are told."""

    @property
    def cameras(self) -> dict[str, str]:
        """Feature of each camera by the camera's name, without depth maps."""
        seen = {
            name: camera_name(name)
            for name, feature in self.features.items()
            if feature["dtype"] in ("image", "video") and not _is_depth(feature)
        }
        return by_field(seen, self.folder)

    @property
    def vectors(self) -> dict[str, str]:
        """Feature of each observed vector by the name of the field it becomes."""
        observed = {
            name: field_name(name.removeprefix(OBSERVATION).replace(".", "_"))
            for name, feature in self.features.items()
            if name.startswith(OBSERVATION) and feature["dtype"] in _NUMBERS
        }
        return by_field(observed, self.folder)

    @property
    def left_out(self) -> list[str]:
        """Observed features that are neither numbers nor cameras, which are not read."""
        read = {*self.cameras.values(), *self.vectors.values()}
        return [name for name in self.features if name.startswith(OBSERVATION) and name not in read]

    def is_video(self, feature: str) -> bool:
        """Return whether a camera's frames lie in videos rather than in the tables."""
        return bool(self.features[feature]["dtype"] == "video")

    def width(self, feature: str) -> int:
        """Return the numbers in a vector, or in a matrix, whose rows are joined."""
        return math.prod(int(size) for size in self.features[feature]["shape"])

    def file(self, template: str, **values: int | str) -> Path:
        """Return the file that a path of `info.json` stands for, which is inside the folder."""
        try:
            relative = Path(template.format(**values))
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise malformed(self.folder, f"the path {template!r} ({error})") from error
        # Links may lead anywhere: the hub's cache keeps all files behind them.
        if relative.is_absolute() or ".." in relative.parts:
            raise malformed(self.folder, f"the path {template!r}, which leads out of the folder")
        return self.folder / relative


def read_info(folder: Path) -> Info:
    """Read a dataset's `info.json`. Raises `VRLError`."""
    try:
        data = json.loads((folder / INFO).read_text(encoding="utf-8"))
        version = str(data["codebase_version"])
        if version not in VERSIONS:
            raise VRLError(
                f"{folder} is a LeRobot dataset of version {version}; read are "
                f"{', '.join(VERSIONS)}. LeRobot's own conversion scripts bring it up to date."
            )
        info = Info(
            folder=folder,
            version=version,
            fps=float(data["fps"]),
            chunk_size=int(data.get("chunks_size") or 1000),
            data_path=str(data["data_path"]),
            video_path=str(data.get("video_path") or ""),
            features={
                str(k): {**v, "shape": list(v["shape"])} for k, v in data["features"].items()
            },
            totals={name: int(data[name]) for name in TOTALS if data.get(name) is not None},
        )
        if "action" not in info.features or not info.fps > 0:
            raise KeyError("action" if info.fps > 0 else "fps")
        return info
    except OSError as error:
        raise VRLError(
            f"{folder} is no LeRobot dataset: {INFO} cannot be read ({error.strerror}). Give the "
            "folder that holds 'meta' and 'data'."
        ) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise malformed(folder, f"no {error}" if isinstance(error, KeyError) else error) from error


def looks_like_lerobot(folder: Path) -> bool:
    """Return whether a folder's `info.json`, damaged or not, is LeRobot's; never raises."""
    try:
        return b'"codebase_version"' in (folder / INFO).read_bytes()
    except OSError:
        return False


def malformed(folder: Path, reason: object) -> VRLError:
    """Build the error for metadata that is not as LeRobot writes it."""
    return VRLError(f"The LeRobot dataset {folder} is malformed: {INFO} has {reason}.")


def camera_name(feature: str) -> str:
    """Return `top` for `observation.images.top`, `image` for `observation.image`."""
    name = feature.removeprefix(OBSERVATION)
    return field_name(name.removeprefix("images.").replace(".", "_"))


def _is_depth(feature: Mapping[str, Any]) -> bool:
    notes = [feature.get(name) or {} for name in ("info", "video_info")]
    return any(note.get("is_depth_map") or note.get("video.is_depth_map") for note in notes)
