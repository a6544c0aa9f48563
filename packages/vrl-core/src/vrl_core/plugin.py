"""What the core itself adds, through the same door as every other plugin."""

from __future__ import annotations

from collections.abc import Mapping

from vrl_core.callback_config import TensorBoardConfig
from vrl_core.hooks import CallbackConfig, DatasetConfig, hookimpl
from vrl_core.store_config import JoinedStores, Rewarded, StoreDataset


@hookimpl
def vrl_datasets() -> Mapping[str, type[DatasetConfig]]:
    """Name the store, the format that every other dataset is written to, and what is made of it."""
    return {"store": StoreDataset, "joined": JoinedStores, "rewarded": Rewarded}


@hookimpl
def vrl_callbacks() -> Mapping[str, type[CallbackConfig]]:
    """Name the observers."""
    return {"tensorboard": TensorBoardConfig}
