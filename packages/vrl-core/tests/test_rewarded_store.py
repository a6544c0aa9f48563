"""Rewards by a classifier: which frame pays which step, what is recorded, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

import vrl_core.plugin
from lamp_dataset import SIZE, Lamp
from vrl_core.config import from_data, to_data
from vrl_core.errors import VRLError
from vrl_core.ingest import write_store
from vrl_core.registry import Registry
from vrl_core.reward_classifier import RewardClassifier
from vrl_core.reward_config import ClassifierTraining
from vrl_core.reward_labels import balanced_labels
from vrl_core.reward_training import train_classifier
from vrl_core.rewarded_store import RewardedEpisodes, agreement
from vrl_core.store_config import Rewarded
from vrl_core.testing import check_dataset

SMALL = ClassifierTraining(
    steps=40, batch_size=16, channels=(4, 4), strides=(2, 2), hidden_size=8, learning_rate=1e-2
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store and a classifier of it."""
    folder = tmp_path_factory.mktemp("lamp")
    store = write_store(Lamp(view="overhead"), folder / "store", workers=1)
    labels = balanced_labels(store, 36, np.random.default_rng(0))
    train_classifier(store, "image", labels, SMALL).write(folder / "lamp")
    return folder


def config(folder, **settings) -> Rewarded:
    return Rewarded(path=str(folder / "store"), classifier=folder / "lamp", **settings)


@dataclass(frozen=True)
class Brightness(RewardClassifier):
    """Answers with the mean of each image, which tells frames apart exactly."""

    def probabilities(self, images):
        return images.mean((1, 2, 3), dtype=np.float64).astype(np.float32) / 255


def test_each_step_is_paid_by_the_frame_that_it_leads_to(folder):
    built = config(folder).build()
    rewarded = RewardedEpisodes(
        built.source, Brightness(built.classifier.network, built.classifier.card)
    )
    episode = rewarded[1]
    frames = episode.observations["image"]
    assert len(episode.rewards) == len(frames) - 1
    means = frames.mean((1, 2, 3)) / 255
    np.testing.assert_allclose(episode.rewards, means[1:], rtol=1e-6)


def test_only_rewards_change_and_the_logged_return_is_kept(folder):
    rewarded = config(folder).build()
    source, episode = rewarded.source[1], rewarded[1]
    for name in ("actions", "terminations", "truncations"):
        np.testing.assert_array_equal(getattr(episode, name), getattr(source, name))
    np.testing.assert_array_equal(episode.observations["image"], source.observations["image"])
    assert episode.info == {"success": True, "logged_return": 4.0}
    assert rewarded.classifier.fingerprint in rewarded.spec.source
    assert "rewards: probability by classifier" in rewarded.spec.source
    assert replace(rewarded.spec, source="") == replace(rewarded.source.spec, source="")


def test_a_threshold_makes_rewards_zero_or_one(folder):
    rewarded = config(folder, threshold=0.5).build()
    assert "probability from 0.5" in rewarded.spec.source
    assert rewarded[1].rewards.tolist() == [0, 0, 0, 1, 1, 1, 1]
    probabilities = config(folder).build()[1].rewards
    assert len(np.unique(probabilities)) > 2


def test_agreement_with_true_rewards(folder):
    built = config(folder).build()
    judged = agreement(built.source, built.classifier)
    assert (judged.frames, judged.positives) == (51, 24)
    assert judged.accuracy > 0.95


def test_it_is_a_dataset_like_any_other(folder, tmp_path):
    check_dataset(config(folder), episodes=2, spawn=False)
    store = write_store(config(folder), tmp_path / "rewarded", workers=1)
    np.testing.assert_array_equal(store[2].rewards, config(folder).build()[2].rewards)
    assert config(folder).variant() == "rewarded"
    registry = Registry(installed=False, modules=(vrl_core.plugin,))
    assert from_data("datasets", to_data(config(folder), registry), registry) == config(folder)


def test_the_fingerprint_changes_with_the_classifier(folder, tmp_path):
    built = config(folder).build()
    other = train_classifier(
        built.source, "image", balanced_labels(built.source, 8, np.random.default_rng(1)),
        replace(SMALL, steps=1, held_out=0),
    )  # fmt: skip
    other.write(tmp_path / "lamp")
    changed = replace(config(folder), classifier=tmp_path / "lamp")
    assert changed.fingerprint() != config(folder).fingerprint()
    digest = "content of its files"
    assert changed.fingerprint()[digest] != config(folder).fingerprint()[digest]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": SIZE + 2}, "judges images of 16x16x3, these are of 18x18x3"),
        ({"camera": "wrist"}, "no observation field that the classifier reads named 'image'"),
        ({"view": "side"}, "camera 'overhead', these are of 'side'"),
        ({"task": "candle"}, "tells successes of 'lamp', the data is of 'candle'"),
    ],
)
def test_stores_that_the_classifier_does_not_know_are_refused(folder, tmp_path, settings, message):
    lamp = Lamp(**{"view": "overhead", "episodes": 1, **settings})
    write_store(lamp, tmp_path / "other", workers=1)
    with pytest.raises(VRLError, match=message):
        replace(config(folder), path=str(tmp_path / "other")).build()


def test_the_same_task_by_another_name_is_taken_on_request(folder, tmp_path):
    write_store(Lamp(task="candle", episodes=1), tmp_path / "other", workers=1)
    renamed = replace(config(folder), path=str(tmp_path / "other"), other_task=True)
    assert len(renamed.build()) == 1


def test_missing_files_and_bad_thresholds_are_explained(folder, tmp_path):
    with pytest.raises(VRLError, match="There is no classifier"):
        replace(config(folder), classifier=tmp_path / "none").build()
    with pytest.raises(VRLError, match="There is no store"):
        replace(config(folder), path=str(tmp_path / "none")).build()
    with pytest.raises(VRLError, match="threshold is 0"):
        config(folder, threshold=0.0)
