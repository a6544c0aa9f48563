"""A store's episodes with a classifier's rewards instead of their own.

Reward t is of frame t + 1, which step t led to; frame 0 earns nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from vrl_core.episodes import DataSpec, Episode, whole
from vrl_core.errors import VRLError, unknown_name
from vrl_core.reward_classifier import RewardClassifier
from vrl_core.reward_judgement import Judgement
from vrl_core.reward_labels import environment_camera, true_successes
from vrl_core.store import Store

if TYPE_CHECKING:
    from vrl_core.store_config import Rewarded


@dataclass(frozen=True)
class RewardedEpisodes:
    """Episodes of a store, rewarded by a classifier.

    Raises `VRLError` when the store's images are not such as the classifier was trained on.
    """

    source: Store
    classifier: RewardClassifier
    kept_bytes: ClassVar[int] = 256 * 2**20
    """Memory of torch in each process."""
    threshold: float | None = None
    """Probability from which the reward is 1, and else 0; None rewards with the probability."""

    def __post_init__(self) -> None:
        card, spec = self.classifier.card, self.source.spec
        if card.observation not in spec.observations:
            raise unknown_name(
                "observation field that the classifier reads", card.observation, spec.observations
            )
        card.require_images(
            spec.observations[card.observation].shape,
            camera=environment_camera(self.source),
            rendering=spec.render_quality,
        )

    @property
    def spec(self) -> DataSpec:
        """The source's description, which says whose the rewards are."""
        spec = self.source.spec
        how = "probability" if self.threshold is None else f"probability from {self.threshold:g}"
        source = f"{spec.source}, rewards: {how} by classifier {self.classifier.fingerprint}"
        return replace(spec, source=source)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int, /) -> Episode:
        """Reward episode `index`; its info keeps the return that was logged."""
        return whole(self.pieces(index))

    def pieces(self, index: int, /) -> Iterator[Episode]:
        """Reward episode `index` in pieces."""
        for piece in self.source.pieces(index):
            info = {**piece.info, "logged_return": float(self.source.returns[index])}
            yield replace(piece, rewards=self.rewards(piece), info=info)

    def rewards(self, episode: Episode) -> np.ndarray:
        """Return the classifier's rewards `(T,)` float32 of an episode's frames 1 to T."""
        frames = episode.observations[self.classifier.card.observation][1:]
        found = self.classifier.probabilities(frames)
        return found if self.threshold is None else (found >= self.threshold).astype(np.float32)


def open_rewarded(config: Rewarded) -> RewardedEpisodes:
    """Open store and classifier; see `Rewarded.build`."""
    source = Store.open(Path(config.path).expanduser())
    classifier = RewardClassifier.read(config.classifier)
    if classifier.card.task != source.spec.task and not config.other_task:
        raise VRLError(
            f"The classifier tells successes of {classifier.card.task!r}, the data is of "
            f"{source.spec.task!r}. Train one on labels of this data, or, where both are the same "
            "task by other names, add --dataset.other-task."
        )
    return RewardedEpisodes(source, classifier, config.threshold)


def agreement(store: Store, classifier: RewardClassifier) -> Judgement:
    """Judge a classifier by the true rewards of a store; reads all of its frames.

    Raises `VRLError` when its images are others than the classifier's, or its rewards do not tell
    successes.
    """
    truth = true_successes(store)
    rewarded = RewardedEpisodes(store, classifier)
    found = [rewarded.rewards(episode) for episode in store]
    return Judgement.of(np.concatenate(found), np.concatenate(truth))
