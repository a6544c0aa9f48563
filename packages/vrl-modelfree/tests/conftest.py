"""Small data, small settings, and the networks once more in NumPy."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch

from vrl_core.episodes import DataSpec, FieldSpec
from vrl_core.protocols import TransitionBatch

SIZE = 24
ACTIONS = 2
SMALL = {
    "batch_size": 6,
    "encoder_channels": (4, 4),
    "encoder_strides": (2, 2),
    "feature_size": 5,
    "hidden_size": 16,
    "precision": "float32",
}


@pytest.fixture
def small() -> dict:
    """Settings of a network that updates in milliseconds."""
    return dict(SMALL)


@pytest.fixture
def spec() -> DataSpec:
    images = {"image": FieldSpec((SIZE, SIZE, 3), "uint8")}
    return DataSpec(
        task="walker_walk", observations=images, action_size=ACTIONS, behaviour="expert"
    )


@pytest.fixture
def make_batch():
    """Make batches of random transitions; the same seed makes the same batch."""

    def make(size: int = 6, seed: int = 0, image_size: int = SIZE) -> TransitionBatch:
        generator = torch.Generator().manual_seed(seed)
        shape = (size, 3, image_size, image_size, 3)

        def images() -> dict[str, torch.Tensor]:
            return {"image": torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)}

        return TransitionBatch(
            observation=images(),
            action=torch.rand(size, ACTIONS, generator=generator) * 1.8 - 0.9,
            reward=torch.rand(size, generator=generator),
            discount=torch.full((size,), 0.97),
            next_observation=images(),
        )

    return make


class NumpyNetworks:
    """Forward passes written from the papers, in float64, on a learner's weights."""

    @staticmethod
    def array(tensor: torch.Tensor) -> np.ndarray:
        return tensor.detach().double().numpy()

    def trunk(self, trunk: torch.nn.Module, features: np.ndarray) -> np.ndarray:
        weights = {name: self.array(value) for name, value in trunk.named_parameters()}
        x = features @ weights["linear.weight"].T + weights["linear.bias"]
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)
        return np.tanh(x * weights["normalisation.weight"] + weights["normalisation.bias"])

    def actor(self, actor: torch.nn.Module, features: np.ndarray) -> np.ndarray:
        x = self.trunk(actor.trunk, features)
        for layer in (actor.hidden[0], actor.hidden[2]):
            x = np.maximum(x @ self.array(layer.weight).T + self.array(layer.bias), 0)
        return np.tanh(x @ self.array(actor.output.weight).T + self.array(actor.output.bias))

    def critic(
        self, critic: torch.nn.Module, features: np.ndarray, action: np.ndarray
    ) -> np.ndarray:
        """Values `(2, batch)`, head by head."""
        heads = []
        for head in range(2):
            x = np.concatenate((self.trunk(critic.trunk, features), action), -1)
            for layer in (critic.hidden[0], critic.hidden[2]):
                x = np.maximum(x @ self.array(layer.weight[head]) + self.array(layer.bias[head]), 0)
            output = critic.output
            heads.append(x @ self.array(output.weight[head]) + self.array(output.bias[head]))
        return np.stack(heads)[..., 0]


@pytest.fixture
def networks() -> NumpyNetworks:
    return NumpyNetworks()
