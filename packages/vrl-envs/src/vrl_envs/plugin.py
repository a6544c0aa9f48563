"""What this package adds to VRL."""

from collections.abc import Mapping

from vrl_core.hooks import DatasetConfig, EnvironmentConfig, hookimpl
from vrl_envs.config import DMC, DMCDataset
from vrl_envs.readers.vd4rl_config import VD4RL


@hookimpl
def vrl_environments() -> Mapping[str, type[EnvironmentConfig]]:
    """Name the environments."""
    return {"dmc": DMC}


@hookimpl
def vrl_datasets() -> Mapping[str, type[DatasetConfig]]:
    """Name the collected and the published datasets."""
    return {"dmc": DMCDataset, "v-d4rl": VD4RL}
