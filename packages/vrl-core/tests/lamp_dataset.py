"""Episodes of a lamp that goes on at some step: what a classifier of rewards should see.

Frames of noise, with a bright square where the lamp is on; reward t is whether it is on in frame
t + 1, so the sparse reward says which frames are successes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vrl_core.episodes import DataSpec, Episode, FieldSpec
from vrl_core.hooks import DatasetConfig

SIZE = 16


@dataclass(frozen=True, kw_only=True)
class Lamp(DatasetConfig):
    """Episode i has 6 + i steps; the lamp goes on in frame 4, in every third episode never."""

    episodes: int = 6
    size: int = SIZE
    camera: str = "image"
    task: str = "lamp"
    view: str | None = None
    """The environment's camera."""
    reward: float = 1.0

    def build(self) -> LampEpisodes:
        return LampEpisodes(self)


class LampEpisodes:
    def __init__(self, config: Lamp) -> None:
        self.config = config
        self.spec = DataSpec(
            task=config.task,
            observations={config.camera: FieldSpec((config.size, config.size, 3), "uint8")},
            action_size=1,
            environment=config.view and {"name": "desk", "camera": config.view},
            render_quality="fast",
            source="a lamp",
        )

    def __len__(self) -> int:
        return self.config.episodes

    def __getitem__(self, index: int) -> Episode:
        steps, rng = 6 + index, np.random.default_rng(index)
        on = np.arange(steps + 1) >= (4 if index % 3 else np.inf)
        images = rng.integers(0, 120, (steps + 1, self.config.size, self.config.size, 3), np.uint8)
        images[on, 5:10, 5:10] = 255
        ends = np.arange(steps) == steps - 1
        return Episode(
            observations={self.config.camera: images},
            actions=np.zeros((steps, 1), np.float32),
            rewards=self.config.reward * on[1:].astype(np.float32),
            terminations=np.zeros(steps, bool),
            truncations=ends,
            info={"success": bool(on.any())},
        )
