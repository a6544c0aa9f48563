"""The classifier of rewards: what it learns, what is saved, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from lamp_dataset import SIZE, Lamp
from vrl_core.errors import VRLError
from vrl_core.ingest import write_store
from vrl_core.reward_classifier import RewardClassifier, RewardNetwork, classifier_files
from vrl_core.reward_config import ClassifierTraining
from vrl_core.reward_judgement import Judgement
from vrl_core.reward_labels import Frame, balanced_labels
from vrl_core.reward_training import split, train_classifier
from vrl_core.store import Store

SMALL = ClassifierTraining(
    steps=40, batch_size=16, channels=(4, 4), strides=(2, 2), hidden_size=8, shift_padding=1,
    learning_rate=1e-2, held_out=0.3,
)  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return write_store(Lamp(), tmp_path_factory.mktemp("lamp") / "store", workers=1)


@pytest.fixture(scope="module")
def labels(store):
    return balanced_labels(store, 36, np.random.default_rng(0))


@pytest.fixture(scope="module")
def classifier(store, labels) -> RewardClassifier:
    return train_classifier(store, "image", labels, SMALL)


def test_separable_images_are_told_apart(store, classifier):
    assert classifier.card.held_out.accuracy == 1
    frames = store[4].observations["image"]
    found = classifier.probabilities(frames)
    assert (found.dtype, found.shape) == (np.float32, (11,))
    assert (found[:4] < 0.5).all()
    assert (found[4:] > 0.5).all()


def test_the_gradient_reaches_every_weight_and_bytes_are_read_as_bytes():
    torch.manual_seed(0)
    network = RewardNetwork((SIZE, SIZE, 3), SMALL)
    images = torch.randint(0, 256, (6, 1, SIZE, SIZE, 3), dtype=torch.uint8)
    logits = network(images)
    assert logits.shape == (6,)
    binary_cross_entropy_with_logits(logits, torch.arange(6.0) % 2).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_the_same_seed_gives_the_same_weights_and_leaves_the_generators_alone(
    store, labels, classifier
):
    before = torch.get_rng_state()
    again = train_classifier(store, "image", labels, SMALL)
    assert torch.get_rng_state().equal(before)
    assert again.fingerprint == classifier.fingerprint
    other = train_classifier(store, "image", labels, replace(SMALL, seed=1, steps=2))
    assert other.fingerprint != classifier.fingerprint


def test_no_episode_is_both_trained_on_and_held_out(labels):
    training, held_out = split(labels, 0.3, np.random.default_rng(0))
    assert {**training, **held_out} == labels
    assert not {f.episode for f in training} & {f.episode for f in held_out}
    for kind in (True, False):
        count = sum(value == kind for value in labels.values())
        assert sum(value == kind for value in held_out.values()) >= 0.3 * count
    assert split(labels, 0, np.random.default_rng(0)) == (labels, {})
    one = {Frame(1, 1): False, Frame(1, 5): True}
    with pytest.raises(VRLError, match="2 labelled frames of 1 episodes cannot be parted"):
        split(one, 0.2, np.random.default_rng(0))


def test_judgement_by_hand():
    probabilities = np.array([0.9, 0.8, 0.2, 0.4, 0.6], np.float32)
    truth = np.array([True, False, True, False, True])
    judged = Judgement.of(probabilities, truth)
    assert (judged.frames, judged.positives) == (5, 3)
    assert judged.accuracy == pytest.approx(3 / 5)
    assert judged.precision == pytest.approx(2 / 3)
    assert judged.recall == pytest.approx(2 / 3)
    nothing = Judgement.of(np.zeros(2, np.float32), np.zeros(2, bool))
    assert (nothing.accuracy, nothing.precision, nothing.recall) == (1, 1, 1)


def test_what_is_written_is_read_back(store, classifier, tmp_path):
    written = classifier.write(tmp_path / "lamp")
    assert written == tmp_path / "lamp.safetensors"
    for path in (tmp_path / "lamp", written):
        read = RewardClassifier.read(path)
        assert read.card == classifier.card
        assert read.fingerprint == classifier.fingerprint
    frames = store[1].observations["image"]
    np.testing.assert_array_equal(read.probabilities(frames), classifier.probabilities(frames))
    card = read.card
    assert (card.task, card.observation, card.rendering) == ("lamp", "image", "fast")
    assert card.labels == {"positive": 18, "negative": 18}
    with pytest.raises(VRLError, match="exists already, and it is not overwritten"):
        classifier.write(tmp_path / "lamp")


def test_damaged_and_missing_files_are_explained(classifier, tmp_path):
    with pytest.raises(VRLError, match=r"There is no classifier at .*vrl reward train"):
        RewardClassifier.read(tmp_path / "none")
    weights, card = classifier_files(classifier.write(tmp_path / "lamp"))
    content, text = weights.read_bytes(), card.read_text()
    weights.write_bytes(content[:-4] + b"oops")
    with pytest.raises(VRLError, match=r"is damaged, or not the classifier that lamp\.json"):
        RewardClassifier.read(weights)
    weights.write_bytes(content)
    for broken, message in (
        ("{", "cannot be read"),
        ("[]", "is not the card of a classifier"),
        (json.dumps({**json.loads(text), "image_shape": None}), "is incomplete"),
        (json.dumps({**json.loads(text), "image_shape": [24, 24, 3]}), "do not fit the network"),
    ):
        card.write_text(broken)
        with pytest.raises(VRLError, match=message):
            RewardClassifier.read(weights)
    card.unlink()
    with pytest.raises(VRLError, match=r"lamp\.json is missing"):
        RewardClassifier.read(weights)


def test_other_images_are_refused(classifier):
    card = replace(classifier.card, camera="overhead")
    card.require_images((SIZE, SIZE, 3), camera="overhead", rendering="fast")
    card.require_images((SIZE, SIZE, 3), camera=None, rendering=None)  # nothing is known of logs
    with pytest.raises(VRLError, match="judges images of 16x16x3, these are of 8x8x3"):
        card.require_images((8, 8, 3), camera="overhead", rendering="fast")
    with pytest.raises(VRLError, match="camera 'overhead', these are of 'side'"):
        card.require_images((SIZE, SIZE, 3), camera="side", rendering="fast")
    with pytest.raises(VRLError, match="rendering 'fast', these are of 'reference'"):
        card.require_images((SIZE, SIZE, 3), camera="overhead", rendering="reference")


def test_bad_settings_are_explained(store, labels):
    for settings, message in (
        ({"steps": 0}, "steps is 0"),
        ({"held_out": 1.0}, "a share, from 0 to below 1"),
        ({"channels": (4,)}, "1 channels and 4 strides"),
        ({"seed": -1}, "cannot be negative"),
    ):
        with pytest.raises(VRLError, match=message):
            ClassifierTraining(**settings)
    with pytest.raises(VRLError, match="16x16 pixels are too small for 4 convolutions"):
        train_classifier(store, "image", labels, ClassifierTraining(steps=1))


def test_nothing_is_left_when_writing_fails(classifier, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(VRLError, match="cannot be a folder"):
        classifier.write(tmp_path / "file" / "lamp")
    assert [path.name for path in Path(tmp_path).iterdir()] == ["file"]
