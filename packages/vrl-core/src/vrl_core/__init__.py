"""VRL's core: plugins, data, training and evaluation. Importing it loads nothing heavy."""

from vrl_core.errors import VRLError
from vrl_core.hooks import (
    AlgorithmConfig,
    CallbackConfig,
    DatasetConfig,
    EnvironmentConfig,
    PenaltyConfig,
    ReferenceReturns,
    hookimpl,
)

__all__ = [
    "AlgorithmConfig",
    "CallbackConfig",
    "DatasetConfig",
    "EnvironmentConfig",
    "PenaltyConfig",
    "ReferenceReturns",
    "VRLError",
    "hookimpl",
]
