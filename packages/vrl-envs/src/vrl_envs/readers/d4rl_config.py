"""The configuration that names a D4RL file. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vrl_envs.readers.files_config import FilesConfig
from vrl_envs.settings import check_at_least, check_choice

if TYPE_CHECKING:
    from vrl_envs.readers.d4rl_dataset import D4RLDataset

TerminalObservation = Literal["repeat", "drop"]
Observations = Literal["state", "parts"]


@dataclass(frozen=True, kw_only=True)
class D4RL(FilesConfig):
    """Episodes in a D4RL `.hdf5` file: flat tables of states (MuJoCo bodies, Kitchen, Adroit)."""

    path: str
    """The file, such as `halfcheetah_medium-v2.hdf5`."""
    task: str | None = None
    """Task, such as `halfcheetah`; read off the file's name unless given."""
    quality: str | None = None
    """Behaviour, such as `medium`; read off the file's name unless given."""
    terminal_observation: TerminalObservation = "repeat"
    """What files without `next_observations` lack is the state that a termination led to:
    `repeat` the last state in its place (right for values, wrong for one row of a learned model),
    or `drop` that step, and with it the termination."""
    time_limit: int | None = None
    """Steps after which an episode was cut, for files without `timeouts`; the task's own (Gymnasium
    1000, Kitchen 280, Adroit 200, its pen 100) unless given."""
    observations: Observations = "state"
    """One vector `state`, or Kitchen's `parts` as fields of their own: `robot` (9), `objects` (21)
    and `goal` (30)."""

    def __post_init__(self) -> None:
        check_choice("observations", self.observations, ("state", "parts"))
        if self.time_limit is not None:
            check_at_least("time_limit", self.time_limit, 1)
        check_choice("terminal_observation", self.terminal_observation, ("repeat", "drop"))

    def build(self) -> D4RLDataset:
        """Open the file and find its episodes.

        Raises `VRLError` when it is missing, damaged, or not of this format.
        """
        from vrl_envs.readers.d4rl_dataset import D4RLDataset

        return D4RLDataset(self)

    @classmethod
    def recognises(cls, path: str | Path) -> bool:
        """Return whether a file has D4RL's tables."""
        from vrl_envs.readers.d4rl_dataset import looks_like_d4rl

        return looks_like_d4rl(Path(path))
