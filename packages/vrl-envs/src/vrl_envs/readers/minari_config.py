"""The configuration that names a Minari dataset. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vrl_envs.readers.files_config import FilesConfig

if TYPE_CHECKING:
    from vrl_envs.readers.minari_dataset import MinariDataset


@dataclass(frozen=True, kw_only=True)
class Minari(FilesConfig):
    """Episodes of a Minari dataset, such as `mujoco/halfcheetah/expert-v0`."""

    path: str
    """The dataset's folder, which holds `data/metadata.json`; Minari's own are under
    `~/.minari/datasets`."""
    task: str | None = None
    """Task; the one of the dataset's environment unless given."""
    quality: str | None = None
    """Behaviour, such as `medium`; the dataset's own name unless given."""

    def build(self) -> MinariDataset:
        """Open the dataset.

        Raises `VRLError` when it is missing or damaged, of another format, or its spaces hold no
        numbers.
        """
        from vrl_envs.readers.minari_dataset import MinariDataset

        return MinariDataset(self)

    @classmethod
    def recognises(cls, path: str | Path) -> bool:
        """Return whether a folder is a Minari dataset."""
        from vrl_envs.readers.minari_dataset import looks_like_minari

        return looks_like_minari(Path(path))
