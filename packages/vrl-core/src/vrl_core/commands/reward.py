"""`vrl reward`: labels for frames, a classifier that learns from them, and its agreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import tyro

from vrl_core.errors import VRLError, unknown_name
from vrl_core.reward_config import ClassifierTraining

if TYPE_CHECKING:
    from vrl_core.registry import Registry

COMMANDS: Mapping[str, str] = {
    "label": "Draw frames of a store and write them as pictures with a table to fill in",
    "train": "Train a classifier on labelled frames and say how well it does on others",
    "check": "Compare a classifier with the true rewards of a store",
}
EXAMPLES = (
    "vrl reward label data/drawer labels",
    "vrl reward train labels --data data/drawer --output closed",
    "vrl data convert rewarded --dataset.path data/drawer --dataset.classifier closed data/learned",
)
FlagsT = TypeVar("FlagsT")


def main(arguments: Sequence[str], registry: Registry) -> int:  # noqa: ARG001
    """Run one reward command and return its exit status."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        _print_help()
        return 0
    command, *words = arguments
    if command not in COMMANDS:
        raise unknown_name("reward command", command, COMMANDS, "See: vrl reward --help")
    return {"label": label, "train": train, "check": check}[command](words)


def _print_help() -> None:
    from vrl_core.commands.data import print_commands

    print_commands("vrl reward", COMMANDS, EXAMPLES)


def _flags(kind: type[FlagsT], command: str, words: Sequence[str]) -> FlagsT:
    return tyro.cli(kind, prog=f"vrl reward {command}", args=list(words))


@dataclass(frozen=True, kw_only=True)
class Label:
    """Draw frames of a store, and write them as pictures with a table to fill in.

    Write 1 (success) or 0 into the table's column `label`, or move the pictures into the folders
    `positive` and `negative`. Frames that cannot be told stay unlabelled.
    """

    store: tyro.conf.Positional[Path]
    """Folder of the store."""
    output: tyro.conf.Positional[Path]
    """Folder for the pictures and the table."""
    frames: int = 200
    """How many frames; 200 is LOMPO's number."""
    from_rewards: bool = False
    """Label them by the store's own rewards of 0 and 1, half of each: what a person would say, if
    the rewards are a simulator's."""
    ending_share: float = 0.5
    """Share of the frames that are the last ones of episodes, where successes are; the others are
    from anywhere. Without a meaning where rewards label."""
    camera: str | None = None
    """Observation field; `image` unless given."""
    seed: int = 0
    """Seed of the choice."""

    def __post_init__(self) -> None:
        if self.frames < 2:
            raise VRLError(f"--frames is {self.frames}; two kinds need at least 2.")
        if not 0 <= self.ending_share <= 1:
            raise VRLError(f"--ending-share is {self.ending_share}; it is a share, from 0 to 1.")
        if self.seed < 0:
            raise VRLError(f"--seed is {self.seed}; it must be at least 0.")


def label(words: Sequence[str]) -> int:
    """Run `vrl reward label`."""
    import numpy as np

    from vrl_core import reward_labels
    from vrl_core.store import Store

    given = _flags(Label, "label", words)
    store = Store.open(given.store)
    camera = reward_labels.camera_field(store, given.camera)
    rng = np.random.default_rng(given.seed)
    if given.from_rewards:
        labels = reward_labels.balanced_labels(store, given.frames, rng)
        reward_labels.write_labels(given.output, store, camera, list(labels), labels)
        print(f"{given.output}: {len(labels)} frames, labelled by the rewards of {given.store}")
        return 0
    frames = reward_labels.draw_frames(store, given.frames, given.ending_share, rng)
    reward_labels.write_labels(given.output, store, camera, frames)
    print(
        f"{given.output}: {len(frames)} frames to label. Write 1 or 0 into the column label of "
        f"{given.output / reward_labels.TABLE}, or move pictures from {reward_labels.FRAMES}/ into "
        "positive/ and negative/. Then:\n"
        f"  vrl reward train {given.output} --data {given.store} --output CLASSIFIER"
    )
    return 0


@dataclass(frozen=True, kw_only=True)
class Train(ClassifierTraining):
    """Train a classifier on labelled frames and say how well it does on frames held out."""

    labels: tyro.conf.Positional[Path]
    """Folder that `vrl reward label` wrote, or a table with columns episode, step and label."""
    data: Path
    """Folder of the store that the frames are of."""
    output: Path
    """File of the classifier; .safetensors and .json are put behind it."""
    camera: str | None = None
    """Observation field; `image` unless given."""

    def settings(self) -> ClassifierTraining:
        """Return the training's settings alone."""
        own = {field.name: getattr(self, field.name) for field in fields(ClassifierTraining)}
        return ClassifierTraining(**own)


def train(words: Sequence[str]) -> int:
    """Run `vrl reward train`."""
    from vrl_core.reward_classifier import refuse_existing
    from vrl_core.reward_labels import camera_field, read_labels
    from vrl_core.reward_training import train_classifier
    from vrl_core.store import Store

    given = _flags(Train, "train", words)
    store = Store.open(given.data)
    camera = camera_field(store, given.camera)
    labels = read_labels(given.labels, store)
    refuse_existing(given.output)
    classifier = train_classifier(store, camera, labels, given.settings())
    written = classifier.write(given.output)
    card = classifier.card
    print(f"labels: {card.labels['positive']} successes and {card.labels['negative']} others")
    if card.held_out is not None:
        print(f"on held-out frames: {card.held_out}")
    print(f"{written}  ({classifier.fingerprint})")
    return 0


@dataclass(frozen=True, kw_only=True)
class Check:
    """Compare a classifier with the true rewards of a store, 0 and 1, of all of its frames."""

    classifier: tyro.conf.Positional[Path]
    """File of the classifier."""
    stores: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of stores."""
    json: bool = False
    """All digits, as JSON."""


def check(words: Sequence[str]) -> int:
    """Run `vrl reward check`."""
    import json
    from dataclasses import asdict

    from vrl_core.reward_classifier import RewardClassifier
    from vrl_core.rewarded_store import agreement
    from vrl_core.store import Store

    given = _flags(Check, "check", words)
    if not given.stores:
        raise VRLError("Name at least one store: vrl reward check CLASSIFIER STORE ...")
    classifier = RewardClassifier.read(given.classifier)
    found = {str(path): agreement(Store.open(path), classifier) for path in given.stores}
    if given.json:
        print(json.dumps({path: asdict(judged) for path, judged in found.items()}, indent=1))
    else:
        print("\n".join(f"{path}: {judged}" for path, judged in found.items()))
    return 0
