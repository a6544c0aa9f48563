"""A dataset whose pixels, actions and rewards encode episode and step; importable by workers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vrl_core.episodes import DataSpec, Episode, FieldSpec
from vrl_core.errors import DamagedDataError
from vrl_core.hooks import DatasetConfig


@dataclass(frozen=True, kw_only=True)
class Counting(DatasetConfig):
    """Episode i has `steps + i` steps, frames of colour (i, t, 7) and rewards t + i/8."""

    tasks = ("count_up", "count_down")
    qualities = ("good", "bad")

    task: str = "count_up"
    quality: str = "good"
    size: int = 4
    episodes: int = 5
    steps: int = 6
    seed: int = 0
    rendering: str = "fast"
    dies_at: int = -1
    fails_at: int = -1
    damaged: tuple[int, ...] = ()
    skip_damaged: bool = False
    pause: float = 0.0
    diary: str = ""
    """Folder in which each process leaves a file named after it."""

    def build(self) -> CountingDataset:
        return CountingDataset(self)

    def variant(self) -> str:
        return "long" if self.steps > 10 else ""


class CountingDataset:
    def __init__(self, config: Counting) -> None:
        self.config = config
        self.spec = DataSpec(
            task=config.task,
            observations={
                "image": FieldSpec((config.size, config.size, 3), "uint8"),
                "state": FieldSpec((2,), "float32"),
            },
            action_size=2,
            behaviour=config.quality,
            render_quality=config.rendering,
            seed=config.seed,
            environment={"name": "counting", "size": config.size},
        )

    def __len__(self) -> int:
        return self.config.episodes

    def __getitem__(self, index: int, /) -> Episode:
        if index == self.config.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if index in self.config.damaged:
            raise DamagedDataError(f"Tape {index} is torn.")
        if index == self.config.fails_at:
            raise ZeroDivisionError("no such thing")
        if self.config.diary:
            Path(self.config.diary, f"made_by.{os.getpid()}").touch()
        time.sleep(self.config.pause)
        return counting_episode(index, self.config.steps + index, self.config.size)


@dataclass(frozen=True, kw_only=True)
class CountingInPieces(Counting):
    """The same episodes, three steps at a time; of damaged ones the first piece can be read."""

    def build(self) -> PiecesDataset:
        return PiecesDataset(self)


class PiecesDataset(CountingDataset):
    def pieces(self, index: int, /) -> Iterator[Episode]:
        whole = counting_episode(index, self.config.steps + index, self.config.size)
        for first in range(0, len(whole), 3):
            if first and index in self.config.damaged:
                raise DamagedDataError(f"Tape {index} is torn.")
            if first and index == self.config.dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            rows, steps = slice(first, first + 4), slice(first, first + 3)
            yield Episode(
                observations={name: seen[rows] for name, seen in whole.observations.items()},
                actions=whole.actions[steps],
                rewards=whole.rewards[steps],
                terminations=whole.terminations[steps],
                truncations=whole.truncations[steps],
                info=whole.info if first + 3 >= len(whole) else {},
            )


def counting_episode(index: int, steps: int, size: int = 4) -> Episode:
    image = np.zeros((steps + 1, size, size, 3), np.uint8)
    image[..., 0], image[..., 2] = index, 7
    image[..., 1] = np.arange(steps + 1)[:, None, None]
    count = np.arange(steps + 1, dtype=np.float32)
    return Episode(
        observations={"image": image, "state": np.stack([count, count + 0.5], 1)},
        actions=np.stack([count[:-1] / 100, -count[:-1] / 100], 1),
        rewards=count[:-1] + np.float32(index / 8),
        terminations=np.zeros(steps, bool),
        truncations=np.arange(steps) == steps - 1,
        info={"seed": index, "folder": Path("x")},
    )
