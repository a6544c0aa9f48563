"""Commands that look into a world model. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vrl_core.errors import VRLError
from vrl_core.hooks import CommandConfig, Positional

if TYPE_CHECKING:
    from vrl_core.registry import Registry

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, kw_only=True)
class Imagine(CommandConfig):
    """Show what a run's world model reconstructs and imagines, and how far it errs.

    Several runs are shown the same clips, in one picture with a truth (V-D4RL, Figure 9).

    The first frames of clips of logged data are shown to the model; it imagines the rest from the
    actions alone. Writes truth, reconstruction and imagination as pictures and films, and the pixel
    error at every step beside the error of repeating the last frame that was shown.

    Give data that the model was not trained on, such as a store collected with another seed.
    """

    runs: Positional[tuple[Path, ...]]
    """Folders of the runs whose world models are looked at."""
    data: tuple[Path, ...]
    """Stores whose episodes are shown; of several, each is shown by itself."""
    episodes: int = 3
    """Episodes to take a clip from; the errors are means over them."""
    pictures: int = 3
    """Clips that are drawn and filmed, the first ones."""
    context: int = 5
    """Frames that the model is shown."""
    horizon: int = 45
    """Frames that it imagines after them."""
    start: int | None = None
    """First frame of every clip in its episode; none draws it."""
    seed: int = 0
    """Seed of the clips and of the latents."""
    output: Path | None = None
    """Folder for the files; none is `imagination/` in the run's folder. Several runs need one."""
    columns: int = 12
    """Frames in a film strip."""
    gif: bool = False
    """Write films as GIF too."""
    frames_per_second: float = 10.0
    """Speed of the films."""
    allow_mismatch: bool = False
    """Show data of another render quality or action repeat than the model's."""
    device: Device = "auto"
    """Where the model runs."""

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be meant; raises `VRLError`."""
        _require(self, "episodes", "context", least=1)
        _require(self, "horizon", least=2)
        _require(self, "columns", least=4)
        _require(self, "pictures", "start", "seed", least=0)
        _require(self, "frames_per_second", least=0.1)
        if not self.runs:
            raise VRLError("Say whose model to look at: vrl imagine RUN... --data STORE.")
        if not self.data:
            raise VRLError("Say what to show the model: --data STORE.")
        if len(self.runs) > 1 and self.output is None:
            raise VRLError("Several runs share their pictures: say where, --output FOLDER.")

    def run(self, registry: Registry) -> int:
        """Write the files and print the errors; raises `VRLError` for what does not fit."""
        from vrl_worldmodel.open_loop_report import imagine

        return imagine(self, registry)


@dataclass(frozen=True, kw_only=True)
class Penalties(CommandConfig):
    """Compare uncertainty penalties of world models on the states of datasets.

    Mean and standard deviation of every penalty, under the model of every run, over states of every
    store (V-D4RL, Table 13). With --calibration also how well each penalty ranks the states by the
    model's true one-step error. Penalties are not weighted here.
    """

    runs: Positional[tuple[Path, ...]]
    """Folders of the runs whose world models are looked at."""
    data: tuple[Path, ...]
    """Stores whose states are judged."""
    penalty: tuple[str, ...] = ()
    """Penalties, as NAME or NAME:KEY=VALUE; none means all that fit."""
    states: int = 1024
    """States of each store."""
    calibration: bool = False
    """Correlate ranks with the true errors, of pixels and of latents (Spearman)."""
    seed: int = 0
    """Seed of the states and of the latents."""
    output: Path | None = None
    """File to write the table to, ending in .md or .json."""
    json: bool = False
    """Print JSON instead of a table."""
    allow_mismatch: bool = False
    """Judge data of another render quality or action repeat than the model's."""
    device: Device = "auto"
    """Where the models run."""

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be meant; raises `VRLError`."""
        _require(self, "states", least=2)
        _require(self, "seed", least=0)
        if not self.runs:
            raise VRLError("Say whose penalties to compare: vrl penalties RUN... --data STORE.")
        if not self.data:
            raise VRLError("Say on whose states: --data STORE.")

    def run(self, registry: Registry) -> int:
        """Print the table; raises `VRLError` when no penalty, model and store fit."""
        from vrl_worldmodel.penalty_report import penalties

        return penalties(self, registry)


def _require(command: Any, *names: str, least: float) -> None:
    for name in names:
        value = getattr(command, name)
        if value is not None and not value >= least:
            flag = name.replace("_", "-")
            raise VRLError(f"--{flag} must be at least {least}, not {value}.")
