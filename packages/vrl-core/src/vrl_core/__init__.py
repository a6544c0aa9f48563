"""VRL's core: plugins, data, training and evaluation. Importing it loads nothing heavy."""

from vrl_core.errors import VRLError
from vrl_core.hooks import (
    AlgorithmConfig,
    CallbackConfig,
    CommandConfig,
    DatasetConfig,
    EnvironmentConfig,
    PenaltyConfig,
    Positional,
    ReferenceReturns,
    hookimpl,
)

__all__ = [
    "AlgorithmConfig",
    "CallbackConfig",
    "CommandConfig",
    "DatasetConfig",
    "EnvironmentConfig",
    "PenaltyConfig",
    "Positional",
    "ReferenceReturns",
    "VRLError",
    "hookimpl",
]
