"""The configuration that names D5RL's kitchen episodes. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vrl_envs.readers.files_config import FilesConfig
from vrl_envs.settings import check_choice

if TYPE_CHECKING:
    from vrl_envs.readers.d5rl_dataset import D5RLDataset

Cameras = Literal["all", "main"]


@dataclass(frozen=True, kw_only=True)
class D5RL(FilesConfig):
    """Episodes of D5RL's kitchen in `.npz` files, one an episode: cameras, joints, rewards."""

    path: str
    """Folder of the files, with all folders in it, or one file."""
    task: str | None = None
    """Elements whose rewards are summed, joined by `_`, such as `microwave_kettle_switch_slide`;
    read off the folder's name unless given."""
    quality: str = "unknown"
    """Behaviour, such as `expert` or `play`."""
    camera: str | None = None
    """Camera that becomes `image`, such as `12` or `wrist`; by default the column `image`, else
    the only camera, else 12."""
    cameras: Cameras = "all"
    """Keep the other cameras as `image_<camera>`, or the main one alone."""
    proprioception: bool = True
    """Keep the robot's joints (`proprio` or `robot_qp`) as `state`."""

    def __post_init__(self) -> None:
        check_choice("cameras", self.cameras, ("all", "main"))

    def build(self) -> D5RLDataset:
        """Find the files and read their sizes.

        Raises `VRLError` when there are none or only pickles, one is damaged or not of this
        format, or the task has elements without a reward.
        """
        from vrl_envs.readers.d5rl_dataset import D5RLDataset

        return D5RLDataset(self)

    @classmethod
    def recognises(cls, path: str | Path) -> bool:
        """Return whether D5RL's files lie at a path; looks into one of them."""
        from vrl_envs.readers.d5rl_dataset import looks_like_d5rl

        return looks_like_d5rl(Path(path))
