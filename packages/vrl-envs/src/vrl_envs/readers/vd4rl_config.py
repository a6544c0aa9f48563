"""The configuration that names V-D4RL's files. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typing_extensions import Doc

from vrl_envs.readers.files_config import FilesConfig

if TYPE_CHECKING:
    from vrl_core.store import Store
    from vrl_envs.readers.vd4rl_dataset import VD4RLDataset


@dataclass(frozen=True, kw_only=True)
class VD4RL(FilesConfig):
    """Episodes in V-D4RL's files: 64 px `.npz`, one an episode, or 84 px `.hdf5` tables."""

    path: str
    """Folder of the files, one file, or the downloaded tree that holds several datasets."""
    task: str | None = None
    """Task, such as `walker_walk`; read off the path unless given."""
    quality: str | None = None
    """Behaviour, such as `medium_expert`; read off the path unless given."""
    suite: Literal["main", "distracting", "multitask"] | None = None
    """Suite; read off the path unless given."""
    difficulty: Literal["easy", "medium", "hard"] | None = None
    """Difficulty of the distractions in the suite `distracting`; read off the path unless given."""
    layout: Literal["auto", "npz", "hdf5"] = "auto"
    """Kind of file to read; needed only where a folder holds both."""
    proprioception: bool = False
    """Keep what some files hold beside images (`orientations`, `height`, `velocity`) as
    observations."""

    def build(self) -> VD4RLDataset:
        """Find the files and read their sizes.

        Raises `VRLError` when there are none, several datasets fit, the task is not known, or a
        file is damaged or not of this format.
        """
        from vrl_envs.readers.vd4rl_dataset import VD4RLDataset
        from vrl_envs.readers.vd4rl_files import find_source

        return VD4RLDataset(
            find_source(
                self.path,
                task=self.task,
                quality=self.quality,
                layout=self.layout,
                suite=self.suite,
                difficulty=self.difficulty,
            ),
            proprioception=self.proprioception,
            skip_damaged=self.skip_damaged,
            clip_actions=self.clip_actions,
        )

    @classmethod
    def recognises(cls, path: str | Path) -> bool:
        """Return whether V-D4RL's files lie at a path; looks into one of them."""
        from vrl_envs.readers.vd4rl_files import looks_like_vd4rl

        return looks_like_vd4rl(Path(path))

    @classmethod
    def download(
        cls,
        identifier: str,
        output: Annotated[
            Path | None,
            Doc("Folder of the store; by default data/<task>/<quality>/<size>px."),
        ] = None,
        *,
        keep: Annotated[bool, Doc("Keep the files that came beside the store.")] = False,
        proprioception: Annotated[
            bool, Doc("Keep what some files hold beside images as observations.")
        ] = False,
        workers: Annotated[int | None, Doc("Processes; by default one for each core.")] = None,
    ) -> Store:
        """Fetch one dataset from the Hugging Face hub and write it as a store.

        `identifier` is like `v-d4rl/walker_walk/medium_expert/84px`. The files come into
        `$VRL_HOME/downloads` and are removed when the store is written, unless `keep`.
        Interrupted, it goes on where it stopped. Raises `VRLError` when the name is not known,
        the store exists, the hub cannot be reached, or a checksum is wrong.
        """
        from vrl_envs.readers.vd4rl_download import download

        return download(
            identifier,
            output=output,
            keep=keep,
            proprioception=proprioception,
            workers=workers,
        )
