"""Settings of the quickstart. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vrl_core.errors import VRLError


@dataclass(frozen=True, kw_only=True)
class QuickstartConfig:
    """The whole way once, small: collect a dataset, learn from it, evaluate, report.

    Stopped at any point, the same command goes on from there.
    """

    output: Path = Path("quickstart")
    """Folder for the data, the run and the results."""
    seed: int = 0
    """Seed of collection, training and evaluation."""
    task: str = "walker_walk"
    """Task to collect and to learn."""
    quality: str = "expert"
    """Quality of the policy that acts in the data."""
    dataset: str = "dmc"
    """Dataset that collects; `vrl plugins` lists them."""
    algorithm: str = "bc"
    """Algorithm to train; `vrl plugins` lists them."""
    preset: str = "small"
    """Preset of the algorithm."""
    episodes: int = 200
    """Episodes to collect."""
    size: int = 64
    """Height and width of the images, in pixels."""
    steps: int | None = None
    """Updates; none leaves them to the preset."""
    evaluation_episodes: int = 20
    """Episodes that judge the random and the learned policy."""
    workers: int | None = None
    """Processes for collecting and evaluating; none means one a core, 0 this process."""

    def __post_init__(self) -> None:
        """Refuse numbers that make no quickstart; raises `VRLError`."""
        positive, natural = (
            ("episodes", "size", "steps", "evaluation_episodes"),
            ("seed", "workers"),
        )
        for names, least in ((positive, 1), (natural, 0)):
            for name in names:
                value = getattr(self, name)
                if value is not None and value < least:
                    raise VRLError(f"{name} must be at least {least}, not {value}.")
