"""What this package adds to VRL."""

from collections.abc import Mapping

from vrl_core.hooks import AlgorithmConfig, hookimpl
from vrl_modelfree.config import BCConfig, CQLConfig, DrQBCConfig


@hookimpl
def vrl_algorithms() -> Mapping[str, type[AlgorithmConfig]]:
    """Name the model-free algorithms."""
    return {"bc": BCConfig, "cql": CQLConfig, "drq-bc": DrQBCConfig}
