"""The configuration that names episodes of LOMPO's replay buffers. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vrl_envs.readers.files_config import FilesConfig
from vrl_envs.settings import check_at_least, check_choice

if TYPE_CHECKING:
    from vrl_envs.readers.lompo_dataset import LOMPODataset

Reward = Literal["recorded", "zero"]


@dataclass(frozen=True, kw_only=True)
class LOMPO(FilesConfig):
    """Episodes in LOMPO's `.npz` files, one an episode: images, actions and rewards."""

    path: str
    """Folder of the files, with all folders in it, or one file."""
    task: str | None = None
    """Task, such as `door_open`; the folder's name unless given."""
    quality: str = "unknown"
    """Behaviour, such as `medium_replay`."""
    reward: Reward = "recorded"
    """The column `reward`, or for a robot's logs without one `zero`."""
    action_repeat: int = 1
    """Simulator steps for each action; the files do not tell."""
    proprioception: bool = False
    """Keep the column `state` as an observation beside the image."""

    def __post_init__(self) -> None:
        check_choice("reward", self.reward, ("recorded", "zero"))
        check_at_least("action_repeat", self.action_repeat, 1)

    def build(self) -> LOMPODataset:
        """Find the files and read their sizes.

        Raises `VRLError` when there are none, or one is damaged or not of this format.
        """
        from vrl_envs.readers.lompo_dataset import LOMPODataset

        return LOMPODataset(self)

    @classmethod
    def recognises(cls, path: str | Path) -> bool:
        """Return whether LOMPO's files lie at a path; looks into one of them."""
        from vrl_envs.readers.lompo_dataset import is_lompo
        from vrl_envs.readers.recognition import looks_like_recorded_npz

        return looks_like_recorded_npz(Path(path), is_lompo)
