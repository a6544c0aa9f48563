"""The configuration that names TD-MPC2's data. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vrl_envs.readers.files_config import FilesConfig
from vrl_envs.settings import check_at_least

if TYPE_CHECKING:
    from vrl_envs.readers.tdmpc2_dataset import TDMPC2Dataset


@dataclass(frozen=True, kw_only=True)
class TDMPC2(FilesConfig):
    """Episodes of TD-MPC2's multitask data, states only, as plain tensors in `.safetensors`."""

    path: str
    """Folder of the files, or one file."""
    task: str | None = None
    """Task, such as `walker_walk` or `mw_door_open`, or its number; needed to choose of several,
    and where the files do not tell it."""
    quality: str = "mixed"
    """Behaviour; the published data are replays of agents."""
    observation_size: int | None = None
    """Numbers in an observation of the task, where files pad them with zeros; by default all."""
    action_size: int | None = None
    """Numbers in an action of the task, where files pad them with zeros; by default all."""

    def __post_init__(self) -> None:
        for name in ("observation_size", "action_size"):
            if getattr(self, name) is not None:
                check_at_least(name, getattr(self, name), 1)

    def build(self) -> TDMPC2Dataset:
        """Find the files and the task's episodes in them.

        Raises `VRLError` when there are none, when there are only `.pt` files, which are pickles,
        and when the task is not in them.
        """
        from vrl_envs.readers.tdmpc2_dataset import TDMPC2Dataset

        return TDMPC2Dataset(self)

    @classmethod
    def recognises(cls, path: str | Path) -> bool:
        """Return whether TD-MPC2's tensors lie at a path; unpickles nothing."""
        from vrl_envs.readers.tdmpc2_dataset import looks_like_tdmpc2

        return looks_like_tdmpc2(Path(path))
