"""Trains a classifier of success on labelled frames, and says how far it can be trusted.

Some labelled frames are held out, by whole episodes: neighbouring frames are nearly the same, and
a frame beside one that was trained on proves nothing.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from vrl_core.augment import random_shift
from vrl_core.device import preserve_random_state, seed_everything
from vrl_core.errors import VRLError
from vrl_core.reward_classifier import ClassifierCard, RewardClassifier, RewardNetwork
from vrl_core.reward_config import ClassifierTraining
from vrl_core.reward_judgement import Judgement
from vrl_core.reward_labels import Frame, Labels, environment_camera, images_of
from vrl_core.store import Store, manifest_checksum


def train_classifier(
    store: Store, camera: str, labels: Labels, settings: ClassifierTraining
) -> RewardClassifier:
    """Train on labelled frames of a store's camera; its card has the held-out quality.

    The same labels, settings and machine give the same weights. Raises `VRLError` when labels are
    too few to hold some out.
    """
    rng = np.random.default_rng(settings.seed)
    training, held_out = split(labels, settings.held_out, rng)
    height, width, channel = store.spec.observations[camera].shape
    device = torch.device("cpu")
    with preserve_random_state(device):
        seed_everything(settings.seed)
        network = RewardNetwork((height, width, channel), settings)
        _fit(network, *_tensors(store, camera, training), settings)
    card = _describe(store, camera, labels, settings)
    classifier = RewardClassifier(network, card)
    if not held_out:
        return classifier
    images, truth = _arrays(store, camera, held_out)
    judged = Judgement.of(classifier.probabilities(images), truth)
    return RewardClassifier(network, replace(card, held_out=judged))


def split(labels: Labels, share: float, rng: np.random.Generator) -> tuple[Labels, Labels]:
    """Return the labels to train on and those to judge by; no episode is in both.

    Episodes are taken in random order until `share` of either kind is held out. Raises `VRLError`
    when either part would lack successes or failures.
    """
    if share == 0:
        return labels, {}
    wanted = {kind: share * _count(labels, kind) for kind in (True, False)}
    held_out: dict[Frame, bool] = {}
    for episode in rng.permutation(sorted({frame.episode for frame in labels})):
        frames = {frame: kind for frame, kind in labels.items() if frame.episode == episode}
        if any(_count(held_out, kind) < wanted[kind] for kind in set(frames.values())):
            held_out |= frames
        if all(_count(held_out, kind) >= wanted[kind] for kind in wanted):
            break
    training = {frame: kind for frame, kind in labels.items() if frame not in held_out}
    for part in (training, held_out):
        if len(set(part.values())) < 2:
            raise VRLError(
                f"{len(labels)} labelled frames of {len({f.episode for f in labels})} episodes "
                "cannot be parted so that training and judging both have successes and failures "
                "of their own episodes. Label frames of more episodes, or train on all with "
                "--held-out 0."
            )
    return training, held_out


def _count(labels: Labels, kind: bool) -> int:
    return sum(verdict == kind for verdict in labels.values())


def _fit(
    network: RewardNetwork, images: Tensor, truth: Tensor, settings: ClassifierTraining
) -> None:
    """Minimise the cross-entropy on batches with as many successes as failures, shifted."""
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    # Either kind weighs one half, however many there are of it.
    weights = torch.where(truth > 0, 0.5 / truth.sum(), 0.5 / (1 - truth).sum())
    for _ in range(settings.steps):
        rows = torch.multinomial(weights, settings.batch_size, replacement=True)
        shifted = random_shift(images[rows], settings.shift_padding)
        loss = binary_cross_entropy_with_logits(network(shifted), truth[rows])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def _tensors(store: Store, camera: str, labels: Labels) -> tuple[Tensor, Tensor]:
    images, truth = _arrays(store, camera, labels)
    return torch.from_numpy(images)[:, None], torch.from_numpy(truth).float()


def _arrays(store: Store, camera: str, labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    """Return images `(frames, height, width, channel)` and whether they are successes."""
    images = np.stack(list(images_of(store, camera, labels)))
    return images, np.array(list(labels.values()), dtype=bool)


def _describe(
    store: Store, camera: str, labels: Labels, settings: ClassifierTraining
) -> ClassifierCard:
    height, width, channel = store.spec.observations[camera].shape
    return ClassifierCard(
        image_shape=(height, width, channel),
        observation=camera,
        task=store.spec.task,
        camera=environment_camera(store),
        rendering=store.spec.render_quality,
        store=manifest_checksum(store.manifest),
        labels={"positive": _count(labels, True), "negative": _count(labels, False)},
        training=settings,
        versions={name: version(name) for name in ("torch", "vrl-core")},
    )
