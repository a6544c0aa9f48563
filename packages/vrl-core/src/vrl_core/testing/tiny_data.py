"""A dataset of a few kilobytes whose every value says where it stands.

So a test can prove alignment: an image, a state, an action and a reward each encode their step.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vrl_core.episodes import DataSpec, Episode, FieldSpec
from vrl_core.errors import VRLError
from vrl_core.hooks import DatasetConfig

if TYPE_CHECKING:
    import numpy as np

    from vrl_core.store import Store


@dataclass(frozen=True, kw_only=True)
class TinyDataset(DatasetConfig):
    """Made-up episodes in which everything encodes its episode and step.

    Step t of episode e has images with `[..., 0] == e`, `[..., 1] == t` and noise in the third
    channel; states beginning with `e, t`; actions beginning with `-1 + 2 t / steps`; and reward
    `t / steps`. Every second episode ends by termination, the others by truncation.
    """

    episodes: int = 4
    """Number of episodes."""
    steps: int = 12
    """Steps of each episode."""
    image_size: int | None = 32
    """Height and width of the images; none leaves images out."""
    cameras: tuple[str, ...] = ("image",)
    """Names of the image fields; the noise of each is its own."""
    state_size: int | None = None
    """Numbers in a state, at least 2; none leaves states out."""
    action_size: int = 2
    """Numbers in an action."""
    seed: int = 0
    """Seed of what encodes nothing."""

    def build(self) -> TinyEpisodes:
        """Return the episodes; raises `VRLError` when they could not encode their steps."""
        if not 1 <= self.episodes <= 256 or not 1 <= self.steps <= 255:
            raise VRLError("Tiny data has at most 256 episodes of 255 steps: a pixel encodes both.")
        if self.state_size is not None and self.state_size < 2:
            raise VRLError("A state has at least 2 numbers: it encodes episode and step.")
        return TinyEpisodes(self)


class TinyEpisodes:
    """The episodes of a `TinyDataset`."""

    def __init__(self, config: TinyDataset) -> None:
        self._config = config

    @property
    def spec(self) -> DataSpec:
        """What the dataset holds."""
        observations: dict[str, FieldSpec] = {}
        if self._config.image_size is not None:
            size = self._config.image_size
            for name in self._config.cameras:
                observations[name] = FieldSpec((size, size, 3), "uint8")
        if self._config.state_size is not None:
            observations["state"] = FieldSpec((self._config.state_size,), "float32")
        return DataSpec(
            task="tiny",
            observations=observations,
            action_size=self._config.action_size,
            render_quality=None if self._config.image_size is None else "reference",
            behaviour="random",
            seed=self._config.seed,
            source="vrl_core.testing",
            licence="MIT",
        )

    def __len__(self) -> int:
        return self._config.episodes

    def __getitem__(self, index: int, /) -> Episode:
        import numpy as np

        if not 0 <= index < len(self):
            raise IndexError(f"episode {index} of {len(self)}")
        random = np.random.default_rng((self._config.seed, index))
        steps, last = self._config.steps, np.arange(self._config.steps) == self._config.steps - 1
        actions = random.uniform(-1, 1, (steps, self._config.action_size)).astype(np.float32)
        actions[:, 0] = -1 + 2 * np.arange(steps) / steps
        return Episode(
            observations=self._observations(index, random),
            actions=actions,
            rewards=(np.arange(steps) / steps).astype(np.float32),
            terminations=last if index % 2 else np.zeros(steps, dtype=bool),
            truncations=np.zeros(steps, dtype=bool) if index % 2 else last,
            info={"seed": self._config.seed},
        )

    def _observations(self, index: int, random: np.random.Generator) -> dict[str, Any]:
        import numpy as np

        rows = self._config.steps + 1
        observations: dict[str, Any] = {}
        if self._config.image_size is not None:
            size = self._config.image_size
            for name in self._config.cameras:
                image = random.integers(0, 256, (rows, size, size, 3), dtype=np.uint8)
                image[..., 0] = index
                image[..., 1] = np.arange(rows)[:, None, None]
                observations[name] = image
        if self._config.state_size is not None:
            state = random.normal(size=(rows, self._config.state_size)).astype(np.float32)
            state[:, 0], state[:, 1] = index, np.arange(rows)
            observations["state"] = state
        return observations


def episode_and_step(images: Any) -> tuple[Any, Any]:
    """Return the episode and the step that images of tiny data encode.

    Args:
        images: `(..., height, width, 3)` uint8, an array or a tensor.
    """
    return images[..., 0, 0, 0], images[..., 0, 0, 1]


def tiny_data(
    folder: Path | str,
    *,
    episodes: int = 4,
    steps: int = 12,
    image_size: int | None = 32,
    cameras: tuple[str, ...] = ("image",),
    state_size: int | None = None,
    action_size: int = 2,
    seed: int = 0,
) -> Store:
    """Write a small real store of a `TinyDataset` and open it."""
    from vrl_core.ingest import write_store

    config = TinyDataset(
        episodes=episodes,
        steps=steps,
        image_size=image_size,
        cameras=cameras,
        state_size=state_size,
        action_size=action_size,
        seed=seed,
    )
    return write_store(config, folder, workers=1)
