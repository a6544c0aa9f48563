"""Small data and small models: 16 px images, two convolutions, three members."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from vrl_core.episodes import DataSpec, FieldSpec
from vrl_core.protocols import SequenceBatch
from vrl_worldmodel.config import WorldModelConfig

SIZE = 16
ACTIONS = 2
CATEGORICAL = WorldModelConfig(
    deterministic_size=12,
    stochastic_size=3,
    classes=4,
    hidden_size=10,
    members=3,
    channels=(4, 6),
    reward_layers=(8,),
    batch_size=3,
    sequence_length=5,
)
GAUSSIAN = replace(
    CATEGORICAL,
    latent="gaussian",
    stochastic_size=5,
    recurrence="gru",
    convolution_activation="relu",
    kl_balance=None,
    free_nats=0.0,
)


WAITING = frozenset(
    {
        "aten::_local_scalar_dense",  # item(), float(), if
        "aten::item",
        "aten::is_nonzero",
        "aten::equal",
        "aten::nonzero",  # and other results whose size depends on the contents
        "aten::masked_select",
        "aten::_unique2",
        "aten::unique_dim",
        "aten::repeat_interleave.Tensor",
        "aten::lift_fresh",  # torch.tensor(numbers), which are copied to the device
    }
)
"""Operators that wait for a GPU, or copy from the host to it."""


class NoHostReads(TorchDispatchMode):
    """Refuses what waits for a GPU or copies from the host, seen on the CPU.

    Also indexing by a boolean mask, of which only the mask's type tells.
    """

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.name()
        assert name not in WAITING, name
        if name.startswith(("aten::index.", "aten::index_put", "aten::_index_put_impl")):
            masks = [i for i in args[1] if i is not None and i.dtype in (torch.bool, torch.uint8)]
            assert not masks, f"{name} with a mask"
        return function(*args, **(kwargs or {}))


@pytest.fixture
def no_host_reads() -> type[NoHostReads]:
    """A context in which nothing may wait for the device."""
    return NoHostReads


@pytest.fixture(params=[CATEGORICAL, GAUSSIAN], ids=["categorical", "gaussian"])
def model_config(request: pytest.FixtureRequest) -> WorldModelConfig:
    """Settings of a model that updates in milliseconds, of each kind of latent."""
    config: WorldModelConfig = request.param
    return config


@pytest.fixture
def categorical() -> WorldModelConfig:
    return CATEGORICAL


@pytest.fixture
def gaussian() -> WorldModelConfig:
    return GAUSSIAN


@pytest.fixture
def spec() -> DataSpec:
    images = {"image": FieldSpec((SIZE, SIZE, 3), "uint8")}
    return DataSpec(
        task="walker_walk", observations=images, action_size=ACTIONS, behaviour="random"
    )


@pytest.fixture
def make_batch() -> Callable[..., SequenceBatch]:
    """Make batches of random windows; the same seed makes the same batch."""

    def make(size: int = 3, length: int = 4, seed: int = 0, image_size: int = SIZE):
        generator = torch.Generator().manual_seed(seed)
        shape = (size, length + 1, image_size, image_size, 3)
        start = torch.arange(size)[:, None] * (length + 1)
        rows = start + torch.arange(length + 1)
        return SequenceBatch(
            observations={
                "image": torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
            },
            action=torch.rand(size, length, ACTIONS, generator=generator) * 1.8 - 0.9,
            reward=torch.rand(size, length, generator=generator),
            termination=torch.zeros(size, length, dtype=torch.bool),
            is_first=rows == start,
            rows=rows,
        )

    return make
