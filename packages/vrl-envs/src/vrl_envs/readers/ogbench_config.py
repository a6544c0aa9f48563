"""The configuration that names OGBench's published files. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vrl_core.hooks import DatasetConfig
from vrl_envs.ogbench.tasks import canonical_task
from vrl_envs.releases import OGBENCH
from vrl_envs.settings import check_choice

if TYPE_CHECKING:
    from vrl_envs.readers.ogbench_dataset import OGBenchFile

Split = Literal["train", "val"]
Ends = Literal["task", "recording"]


@dataclass(frozen=True, kw_only=True)
class OGBenchFiles(DatasetConfig):
    """Episodes of OGBench's `.npz` files, with the rewards of one of its tasks."""

    path: str
    """A file, such as `visual-cube-single-play-v0.npz`, or a folder with the files of one
    dataset."""
    task: str | None = None
    """Task that gives the rewards, such as `cube_single_task1`; OGBench's default task of the
    environment in the file's name unless given."""
    quality: str | None = None
    """Behaviour, such as `play` or `navigate`; that in the file's name unless given."""
    split: Split = "train"
    """Of a folder, the file to read: `train`, or `val` (its name ends in `-val`)."""

    ends: Ends = "task"
    """`task`: an episode ends with the step taken in a solved state, as OGBench's `masks` say, and
    the recording goes on as the next one; `recording`: recordings stay whole and never terminate,
    for what learns from long sequences."""

    def __post_init__(self) -> None:
        check_choice("ends", self.ends, ("task", "recording"))
        check_choice("split", self.split, ("train", "val"))
        if self.task is not None:
            object.__setattr__(self, "task", canonical_task(self.task))

    def build(self) -> OGBenchFile:
        """Find the file and the ends of its episodes.

        Raises `VRLError` when there is none, it is damaged or of another environment, or OGBench,
        which knows the rewards, is missing.
        """
        OGBENCH.require()
        from vrl_envs.readers.ogbench_dataset import OGBenchFile

        return OGBenchFile(self)

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what the episodes depend on: the file, the settings, and OGBench's rewards."""
        from vrl_core.fingerprint import describe

        return describe(self, packages=tuple(OGBENCH.supported))

    @classmethod
    def recognises(cls, path: str | Path) -> bool:
        """Return whether OGBench's files lie at a path; looks into one of them."""
        from vrl_envs.readers.recognition import looks_like_recorded_npz

        wanted = {"observations", "actions", "terminals"}
        return looks_like_recorded_npz(Path(path), lambda names, _: names >= wanted)
