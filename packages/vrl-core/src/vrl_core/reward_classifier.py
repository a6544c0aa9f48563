"""A classifier of single images whose probability of success serves as a reward.

LOMPO's real robot is rewarded so (Section 5.2): "we use the classifier probability as a reward".
Its network is not described there; this one is DrQ-v2's convolutions and a small head. A trained
one is `NAME.safetensors`, the weights, beside `NAME.json`, the card.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from vrl_core.atomic import replacing, write_text
from vrl_core.errors import VRLError
from vrl_core.image_encoder import Encoder
from vrl_core.networks import mlp
from vrl_core.observations import ImageShape
from vrl_core.reward_config import ClassifierTraining
from vrl_core.reward_judgement import Judgement
from vrl_core.writing import explained

FORMAT = 1
SUFFIX = ".safetensors"
BLOCK = 256
"""Images that are judged at once; bounds the memory."""


@dataclass(frozen=True, kw_only=True)
class ClassifierCard:
    """What a classifier judges, how it was trained, and how well it does."""

    image_shape: ImageShape
    """Height, width, channel."""
    observation: str
    """Field that the images are from."""
    task: str
    camera: str | None
    """The environment's camera, where the data told of it."""
    rendering: str | None
    """Render quality of the images."""
    store: str
    """Checksum of the store that the labelled frames are of."""
    labels: Mapping[str, int]
    """How many frames of each kind: `positive`, `negative`."""
    training: ClassifierTraining
    """Settings of network and training."""
    held_out: Judgement | None = None
    """Quality on labelled frames that were not trained on."""
    versions: Mapping[str, str] = field(default_factory=dict)

    def require_images(
        self, shape: tuple[int, ...], *, camera: str | None, rendering: str | None
    ) -> None:
        """Raise `VRLError` for images of another size, camera or quality than it was trained on.

        What is not known of either side is not compared.
        """
        if tuple(shape) != self.image_shape:
            raise VRLError(
                f"The classifier judges images of {_times(self.image_shape)}, these are of "
                f"{_times(shape)}. Use images of its size, or train one on such images."
            )
        pairs = {"camera": (self.camera, camera), "rendering": (self.rendering, rendering)}
        for name, (mine, theirs) in pairs.items():
            if None not in (mine, theirs) and mine != theirs:
                raise VRLError(
                    f"The classifier was trained on images of {name} {mine!r}, these are of "
                    f"{theirs!r}, which it has never seen. Use {name} {mine!r}, or train one on "
                    "such images."
                )


class RewardNetwork(nn.Module):
    """DrQ-v2's convolutions on one image, a hidden layer, and the logit of success."""

    def __init__(self, image_shape: ImageShape, settings: ClassifierTraining) -> None:
        """Raises `VRLError` when images are too small for the convolutions."""
        super().__init__()
        self.encoder = Encoder(image_shape, 1, settings.channels, settings.strides)
        self.head = mlp((self.encoder.features, settings.hidden_size, 1))

    def forward(
        self, images: UInt8[Tensor, "batch 1 height width channel"]
    ) -> Float[Tensor, " batch"]:
        """Return the logits of success."""
        logits: Tensor = self.head(self.encoder(images)).squeeze(-1)
        return logits


@dataclass(frozen=True)
class RewardClassifier:
    """A trained network and its card."""

    network: RewardNetwork
    card: ClassifierCard

    @classmethod
    def read(cls, path: str | Path) -> RewardClassifier:
        """Read a classifier. Raises `VRLError` when a file is missing, damaged, or of another."""
        weights = _weights_file(Path(path))
        document = _document(weights)
        content = weights.read_bytes()
        if document.get("sha256") != hashlib.sha256(content).hexdigest():
            raise VRLError(
                f"{weights} is damaged, or not the classifier that {_card_file(weights).name} "
                "describes: its checksum is another. Restore both from a copy, or train again."
            )
        card = _card(document, _card_file(weights))
        network = RewardNetwork(card.image_shape, card.training)
        try:
            network.load_state_dict(load(content))
        except (SafetensorError, RuntimeError) as error:
            raise VRLError(
                f"The weights {weights} do not fit the network of their card: {error}."
            ) from error
        return cls(network, card)

    def write(self, path: str | Path) -> Path:
        """Write weights and card; return the weights' file.

        Raises `VRLError` when one exists already or the folder cannot be written.
        """
        weights = refuse_existing(Path(path))
        content = save(dict(self.network.state_dict()))
        document = {"format": FORMAT, "sha256": hashlib.sha256(content).hexdigest()}
        text = json.dumps(document | asdict(self.card), indent=1, sort_keys=True)
        with explained(weights):
            weights.parent.mkdir(parents=True, exist_ok=True)
            with replacing(weights) as partial:
                partial.write_bytes(content)
            write_text(_card_file(weights), text + "\n")
        return weights

    @property
    def fingerprint(self) -> str:
        """Sixteen digits that change with the weights."""
        return hashlib.sha256(save(dict(self.network.state_dict()))).hexdigest()[:16]

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return the probability of success `(frames,)` float32 of each image.

        `images` are `(frames, height, width, channel)` uint8. One thread does it, so that the
        numbers do not depend on how many there are.
        """
        found = []
        with torch.inference_mode(), _one_thread():
            for first in range(0, len(images), BLOCK):
                block = torch.from_numpy(np.array(images[first : first + BLOCK]))
                found.append(self.network(block[:, None]).sigmoid())
        values: np.ndarray = torch.cat(found).numpy() if found else np.zeros(0, np.float32)
        return values


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def classifier_files(path: Path) -> tuple[Path, Path]:
    """Return the files of a classifier: weights and card."""
    weights = path.expanduser().with_suffix(SUFFIX)
    return weights, _card_file(weights)


def refuse_existing(path: Path) -> Path:
    """Return the weights' file of a classifier to be written; `VRLError` when there is one."""
    weights, _ = classifier_files(path)
    if weights.exists():
        raise VRLError(f"{weights} exists already, and it is not overwritten. Choose another.")
    return weights


def _card_file(weights: Path) -> Path:
    return weights.with_suffix(".json")


def _weights_file(path: Path) -> Path:
    weights, card = classifier_files(path)
    for file in (weights, card):
        if not file.is_file():
            raise VRLError(
                f"There is no classifier at {path}: {file} is missing. `vrl reward train` writes "
                f"one; its two files, {SUFFIX} and .json, stay together."
            )
    return weights


def _document(weights: Path) -> dict[str, Any]:
    file = _card_file(weights)
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VRLError(f"The classifier's card {file} cannot be read: {error}.") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise VRLError(f"{file} is not the card of a classifier, or one of another version of VRL.")
    return document


def _card(document: Mapping[str, Any], file: Path) -> ClassifierCard:
    values = {name: value for name, value in document.items() if name not in ("format", "sha256")}
    try:
        training = values["training"]
        sizes = {name: tuple(training[name]) for name in ("channels", "strides")}
        read = {
            "image_shape": tuple(values["image_shape"]),
            "training": ClassifierTraining(**(training | sizes)),
            "held_out": values["held_out"] and Judgement(**values["held_out"]),
        }
        return ClassifierCard(**(values | read))
    except (KeyError, TypeError) as error:
        raise VRLError(f"The classifier's card {file} is incomplete: {error}.") from error


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
