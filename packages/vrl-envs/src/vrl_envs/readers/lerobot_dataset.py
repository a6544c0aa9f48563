"""LeRobot's datasets as episodes; LeRobot itself is not needed.

Row t holds observation t, the action taken at it and that action's reward, as in D4RL. Where an
episode's last action led is not recorded: its last row gives the last observation, and a step only
where it ended the task (`terminal_observation`).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import tee
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet as parquet

from vrl_core.episodes import DataSpec, Episode, FieldSpec, cuts, whole
from vrl_core.errors import DamagedDataError, VRLError, unknown_name
from vrl_envs.collection import check_index
from vrl_envs.readers.actions import bounded
from vrl_envs.readers.damage import IncompleteDataWarning, damaged
from vrl_envs.readers.lerobot_config import LeRobot
from vrl_envs.readers.lerobot_episodes import (
    EpisodePlace,
    action_bounds,
    find_episodes,
    of_instruction,
    require_files,
    require_totals,
)
from vrl_envs.readers.lerobot_frames import FrameStream, decoded_image, video_frames
from vrl_envs.readers.lerobot_info import Info, read_info
from vrl_envs.readers.lerobot_tables import ImageColumns, groups_of, matrix
from vrl_envs.settings import canonical_quality

REWARDS = ("next.reward", "reward")
ENDS = ("next.terminated", "next.truncated", "next.success", "next.done")


class LeRobotDataset:
    """Episodes of one dataset, in Gymnasium's alignment, actions scaled into [-1, 1]."""

    def __init__(self, config: LeRobot) -> None:
        self.config = config
        self.info = read_info(Path(config.path).expanduser())
        listed = find_episodes(self.info)
        notes = require_totals(listed, skip_damaged=config.skip_damaged)
        found = of_instruction(listed, config.instruction)
        self.episodes = found.those(found.length >= 2)
        if not len(self.episodes):
            raise VRLError(f"No episode of {self.info.folder} has a step.")
        require_files(self.episodes, skip_damaged=config.skip_damaged)
        self.reward = reward_column(self.info, config)
        self.cameras = camera_fields(self.info, config)
        self.vectors = self.info.vectors if config.proprioception else {}
        if not self.cameras and not self.vectors:
            raise VRLError(f"The LeRobot dataset {self.info.folder} has nothing to observe.")
        self.bounds = action_bounds(self.info) if config.actions == "scaled" else None
        self._rows: tuple[tuple[Path, tuple[int, ...]], pyarrow.Table] | None = None
        self._images: ImageColumns | None = None
        self.spec = self._describe(self._frame_shapes())
        if parent_process() is None:
            for note in (*notes, *self._notes(len(found))):
                warnings.warn(f"{self.info.folder}: {note}.", IncompleteDataWarning, stacklevel=3)

    def __len__(self) -> int:
        return len(self.episodes)

    def __getitem__(self, index: int, /) -> Episode:
        """Read one episode. Raises `DamagedDataError` when a file is damaged."""
        return whole(self.pieces(index))

    def pieces(self, index: int, /) -> Iterator[Episode]:
        """Read one episode in pieces. Raises `DamagedDataError` when a file is damaged."""
        check_index(index, len(self))
        place = self.episodes[index]
        rows, places = self._table(place)
        terminated, kept = self._end(rows, place.data)
        steps = place.length if kept else place.length - 1
        frames = self._frames(place, rows, places)
        for first, stop in cuts(steps, self.spec.observations.values()):
            part = rows.slice(first, stop - first)
            last = np.arange(first, stop) == steps - 1
            yield Episode(
                observations=self._observations(place, rows, frames, (first, stop)),
                actions=self._scaled(matrix(part, "action", place.data), place.data),
                rewards=self._rewards(part, first, place),
                terminations=last & (terminated and kept),
                truncations=last & (not (terminated and kept)),
                info=self._facts(place),
            )

    def _table(self, place: EpisodePlace) -> tuple[pyarrow.Table, np.ndarray]:
        """Return an episode's rows without images, in the order of their frames.

        And where they lie in the groups of rows that hold them.
        """
        with damaged(place.data, pyarrow.ArrowException):
            table = self._groups(place)
            own = np.flatnonzero(matrix(table, "episode_index", place.data)[:, 0] == place.index)
            frames = matrix(table, "frame_index", place.data)[own, 0]
            places = own[np.argsort(frames, kind="stable")]
            # Rows that lie together are a view, not a copy.
            together = len(places) and (np.diff(places) == 1).all()
            rows = table.slice(int(places[0]), len(places)) if together else table.take(places)
        if len(rows) != place.length:
            raise DamagedDataError(
                f"{place.data} has {len(rows)} rows of episode {place.index}, which has "
                f"{place.length} by the dataset's list. Fetch it again."
            )
        return rows, places

    def _groups(self, place: EpisodePlace) -> pyarrow.Table:
        """Read the groups of rows that an episode may be in; the newest are kept."""
        with parquet.ParquetFile(place.data) as file:
            groups = groups_of(file, place.index)
            if self._rows is None or self._rows[0] != (place.data, groups):
                columns = self._columns(place, file.schema_arrow.names)
                self._rows = None
                read = file.read_row_groups(list(groups), columns=columns)
                self._rows = (place.data, groups), read
        return self._rows[1]

    def _columns(self, place: EpisodePlace, names: Sequence[str]) -> list[str]:
        """Return the columns to read of those in a table. Raises `DamagedDataError`."""
        images = {name for name in self.cameras.values() if not self.info.is_video(name)}
        needed = {"episode_index", "frame_index", "action", *images, *self.vectors.values()}
        needed |= {self.reward} if self.reward else set()
        missing = sorted(needed - set(names))
        if missing:
            raise DamagedDataError(f"{place.data} has no column {', '.join(missing)}.")
        return [name for name in names if name in {*needed, *ENDS, "timestamp"} - images]

    def _end(self, rows: pyarrow.Table, path: Path) -> tuple[bool, bool]:
        """Return whether the last step ended the task, and whether it is kept."""
        last = rows.slice(len(rows) - 1)
        ends = {
            name: bool(matrix(last, name, path)[0, 0]) for name in ENDS if name in rows.schema.names
        }
        terminated = self.config.reward == "success" or self._terminated(ends)
        return terminated, terminated and self.config.terminal_observation == "repeat"

    def _terminated(self, ends: Mapping[str, bool]) -> bool:
        """Return whether the last row ended the task rather than the recording, as it says."""
        for name in ("next.terminated", "next.success"):
            if name in ends:
                return ends[name]
        if "next.truncated" in ends:
            return ends.get("next.done", False) and not ends["next.truncated"]
        return ends.get("next.done", False) and self.config.done == "terminated"

    def _observations(
        self,
        place: EpisodePlace,
        rows: pyarrow.Table,
        frames: Mapping[str, FrameStream],
        steps: tuple[int, int],
    ) -> dict[str, np.ndarray]:
        """Return the observations of steps; behind the last row, the last is repeated."""
        first, stop = steps
        count = min(stop + 1, len(rows)) - first
        seen = rows.slice(first, count)
        fields = {field: stream.take(count) for field, stream in frames.items()}
        fields |= {
            field: matrix(seen, name, place.data).astype(np.float32)
            for field, name in self.vectors.items()
        }
        for field, values in fields.items():
            wanted = self.spec.observations[field].shape
            if values.shape[1:] != wanted:
                raise DamagedDataError(
                    f"{field} of episode {place.index} in {place.data} has rows of shape "
                    f"{values.shape[1:]}; the dataset has {wanted}."
                )
        if count == stop + 1 - first:
            return fields
        return {name: np.concatenate((each, each[-1:])) for name, each in fields.items()}

    def _frame_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of a frame of each camera; what `info.json` says is not always true.

        Looks at the first frame of the first episode, or of the first that can be read.
        """
        if not self.cameras:
            return {}
        for number in range(len(self.episodes)):
            place = self.episodes[number]
            try:
                frames = self._frames(place, *self._table(place))
                return {field: stream.take(1).shape[1:] for field, stream in frames.items()}
            except DamagedDataError as error:
                if not self.config.skip_damaged:
                    raise DamagedDataError(
                        f"{error} --dataset.skip-damaged leaves such episodes out."
                    ) from error
        raise DamagedDataError(f"Every episode of {self.info.folder} is damaged.")

    def _frames(
        self, place: EpisodePlace, rows: pyarrow.Table, places: np.ndarray
    ) -> dict[str, FrameStream]:
        """Return each camera's frames."""
        found = {
            field: FrameStream(self._shown(place, rows, name), str(place.videos[name].path))
            for field, name in self.cameras.items()
            if self.info.is_video(name)
        }
        encoded = [name for name in self.cameras.values() if not self.info.is_video(name)]
        if encoded:
            streams = tee(self._encoded(encoded, places), len(encoded))
            found |= {
                field: FrameStream(self._decoded(place, stream, name), str(place.data))
                for stream, (field, name) in zip(
                    streams,
                    ((f, n) for f, n in self.cameras.items() if n in encoded),
                    strict=True,
                )
            }
        return {field: found[field] for field in self.cameras}

    def _shown(self, place: EpisodePlace, rows: pyarrow.Table, name: str) -> Iterator[np.ndarray]:
        video = place.videos[name]
        if "timestamp" in rows.schema.names:
            seconds = matrix(rows, "timestamp", place.data)[:, 0]
        else:
            seconds = np.arange(len(rows)) / self.info.fps
        times = (video.start + seconds).tolist()
        return video_frames(video.path, times, fps=self.info.fps, size=self.config.size)

    def _encoded(self, names: Sequence[str], places: np.ndarray) -> Iterator[dict[str, Any]]:
        """Yield each row's encoded images; goes on where the episode before ended."""
        assert self._rows is not None, "rows are read before images"
        source = (*self._rows[0], tuple(names))
        if self._images is None or self._images.source != source:
            self._images = ImageColumns(*source)
        return self._images.cells(places)

    def _decoded(
        self, place: EpisodePlace, cells: Iterator[dict[str, Any]], name: str
    ) -> Iterator[np.ndarray]:
        for each in cells:
            yield decoded_image(each[name], place.data, size=self.config.size)

    def _rewards(self, rows: pyarrow.Table, first: int, place: EpisodePlace) -> np.ndarray:
        if self.reward:
            return matrix(rows, self.reward, place.data)[:, 0].astype(np.float32)
        last = np.arange(first, first + len(rows)) == place.length - 1
        rewards: np.ndarray = (last & (self.config.reward == "success")).astype(np.float32)
        return rewards

    def _scaled(self, actions: np.ndarray, path: Path) -> np.ndarray:
        """Map the least to -1 and the largest to 1; a number that never changes to 0."""
        if actions.shape[1] != self.spec.action_size:
            raise DamagedDataError(
                f"{path} has actions of {actions.shape[1]} numbers; the dataset's have "
                f"{self.spec.action_size}."
            )
        if self.bounds is None:
            return bounded(actions.astype(np.float32), path, clip=self.config.clip_actions)
        low, high = self.bounds
        moves = high > low
        share = (actions - low) / np.where(moves, high - low, 1.0)
        scaled = np.where(moves, 2 * share - 1, 0.0).astype(np.float32)
        return bounded(scaled, path, clip=self.config.clip_actions)

    def _facts(self, place: EpisodePlace) -> dict[str, Any]:
        """Return what using a policy needs as well: the instruction, what actions stand for."""
        facts: dict[str, Any] = {"episode": place.index, "instruction": "; ".join(place.tasks)}
        if self.bounds is not None:
            facts |= {"action_low": self.bounds[0].tolist(), "action_high": self.bounds[1].tolist()}
        return facts

    def _describe(self, frames: Mapping[str, tuple[int, ...]]) -> DataSpec:
        fields = {field: FieldSpec(shape, "uint8") for field, shape in frames.items()}
        fields |= {
            field: FieldSpec((self.info.width(name),), "float32")
            for field, name in self.vectors.items()
        }
        camera = f", camera {self.cameras['image']}" if self.cameras else ""
        return DataSpec(
            task=self.config.task or self.info.folder.absolute().name,
            observations=fields,
            action_size=self.info.width("action"),
            render_quality="reference" if self.cameras else None,
            behaviour=canonical_quality(self.config.quality),
            source=f"LeRobot{camera}",
            versions={"lerobot": self.info.version},
        )

    def _notes(self, found: int) -> list[str]:
        notes = []
        if found > len(self.episodes):
            count = found - len(self.episodes)
            notes.append(f"{count} episodes of a single row have no step and are left out")
        if self.info.left_out:
            names = ", ".join(self.info.left_out)
            notes.append(f"only numbers and pictures in colour are read, not {names}")
        told = {name for name in ENDS if name in self.info.features}
        if told == {"next.done"} and self.config.reward != "success":
            taken = {
                "terminated": "terminations, and the last state is repeated for where they led",
                "truncated": "ends by a time limit",
            }[self.config.done]
            notes.append(
                f"next.done alone tells how episodes ended; it is taken for {taken} "
                "(--dataset.done, --dataset.terminal-observation)"
            )
        return notes


def reward_column(info: Info, config: LeRobot) -> str | None:
    """Return the column of the rewards, None where others were asked for. Raises `VRLError`."""
    if config.reward != "recorded":
        return None
    found = next((name for name in REWARDS if name in info.features), None)
    if found is None:
        raise VRLError(
            f"The LeRobot dataset {info.folder} has no rewards (next.reward). Say which its "
            "demonstrations get: --dataset.reward success (1 for the last step, which ends the "
            "episode) or --dataset.reward zero (for imitation alone)."
        )
    return found


def camera_fields(info: Info, config: LeRobot) -> dict[str, str]:
    """Return the features of the cameras by the names their fields get, `image` the main one.

    Raises `VRLError` when the camera asked for is not there.
    """
    found = info.cameras
    if config.camera is not None and config.camera not in found:
        raise unknown_name("camera in the dataset", config.camera, found)
    if not found:
        return {}
    main = config.camera or next(iter(found))
    others = {f"image_{name}": feature for name, feature in found.items() if name != main}
    return {"image": found[main], **(others if config.cameras == "all" else {})}
