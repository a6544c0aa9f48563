"""The configuration that names a LeRobot dataset. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vrl_core.errors import VRLError
from vrl_envs.readers.d4rl_config import TerminalObservation
from vrl_envs.readers.files_config import FilesConfig
from vrl_envs.settings import check_at_least, check_choice

if TYPE_CHECKING:
    from vrl_envs.readers.lerobot_dataset import LeRobotDataset

Reward = Literal["recorded", "zero", "success"]
Actions = Literal["scaled", "unit"]
Cameras = Literal["all", "main"]
Done = Literal["terminated", "truncated"]


@dataclass(frozen=True, kw_only=True)
class LeRobot(FilesConfig):
    """Episodes of a LeRobot dataset (versions 2.0, 2.1 and 3.0): cameras, states, actions."""

    path: str
    """The dataset's folder, which holds `meta/info.json`."""
    task: str | None = None
    """Name of the task; the folder's unless given."""
    quality: str = "unknown"
    """Behaviour, such as `expert`."""
    instruction: str | None = None
    """Keep only the episodes of this task text, one of those in the dataset."""
    reward: Reward = "recorded"
    """The column `next.reward` (or `reward`), or for demonstrations without one: `zero`, or
    `success`, 1 for the last step of every episode, which ends it."""
    actions: Actions = "scaled"
    """Scale actions into [-1, 1] from the least and largest of the dataset's statistics, or take
    them as they are: in the `unit` box already."""
    terminal_observation: TerminalObservation = "repeat"
    """What files lack is the state that an episode's last action led to. Where it ended the task:
    `repeat` the last state in its place, or `drop` that step, and with it the termination."""
    done: Done = "terminated"
    """How an episode ended whose last row is `next.done` where no other column tells: the task is
    over, or as in many recordings the time was up."""
    camera: str | None = None
    """Camera that becomes `image`, such as `top`; the first unless given."""
    cameras: Cameras = "all"
    """Keep the other cameras as `image_<camera>`, or the main one alone."""
    size: int | None = None
    """Height and width that frames are stretched to; their own unless given."""
    proprioception: bool = True
    """Keep the vectors: `observation.state` as `state`, further ones by their own names."""

    def __post_init__(self) -> None:
        check_choice("reward", self.reward, ("recorded", "zero", "success"))
        check_choice("actions", self.actions, ("scaled", "unit"))
        check_choice("cameras", self.cameras, ("all", "main"))
        check_choice("done", self.done, ("terminated", "truncated"))
        check_choice("terminal_observation", self.terminal_observation, ("repeat", "drop"))
        if (self.reward, self.terminal_observation) == ("success", "drop"):
            raise VRLError(
                "reward success pays for the last step, which terminal_observation drop leaves "
                "out; leave one of the two away."
            )
        if self.size is not None:
            check_at_least("size", self.size, 1)

    def build(self) -> LeRobotDataset:
        """Read what the dataset's folder says of its episodes.

        Raises `VRLError` when it is missing, damaged, of another version, or without rewards that
        were asked for, and when pyarrow or PyAV are not installed.
        """
        try:
            from vrl_envs.readers.lerobot_dataset import LeRobotDataset
        except ImportError as error:
            raise VRLError(
                f"LeRobot's files are read with pyarrow and PyAV ({error}). Install them: "
                "pip install 'vrl-envs[lerobot]'"
            ) from error
        return LeRobotDataset(self)

    @classmethod
    def recognises(cls, path: str | Path) -> bool:
        """Return whether a folder is a LeRobot dataset, by what its `meta/info.json` says."""
        from vrl_envs.readers.lerobot_info import looks_like_lerobot

        return looks_like_lerobot(Path(path))
