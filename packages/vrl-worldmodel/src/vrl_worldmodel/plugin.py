"""What this package adds to VRL."""

from collections.abc import Mapping

from vrl_core.hooks import AlgorithmConfig, CommandConfig, PenaltyConfig, hookimpl
from vrl_worldmodel.commands import Imagine, Penalties
from vrl_worldmodel.config import LMBRLConfig, LOMPOConfig, OfflineDV2Config, OfflineSLACConfig
from vrl_worldmodel.mopo_config import MBPOConfig, MOPOConfig
from vrl_worldmodel.penalty_config import (
    EnsembleStd,
    LogitStd,
    LogProbStd,
    LogProbVariance,
    MaxDisagreement,
    MaxStd,
    MeanDisagreement,
    MeanStd,
    NoPenalty,
    TrueError,
)


@hookimpl
def vrl_algorithms() -> Mapping[str, type[AlgorithmConfig]]:
    """Name the algorithms on learned models."""
    return {
        "lmbrl": LMBRLConfig,
        "lompo": LOMPOConfig,
        "mbpo": MBPOConfig,
        "mopo": MOPOConfig,
        "offline-dv2": OfflineDV2Config,
        "offline-slac": OfflineSLACConfig,
    }


@hookimpl
def vrl_penalties() -> Mapping[str, type[PenaltyConfig]]:
    """Name the penalties."""
    return {
        "ensemble-std": EnsembleStd,
        "log-prob-std": LogProbStd,
        "log-prob-variance": LogProbVariance,
        "logit-std": LogitStd,
        "max-disagreement": MaxDisagreement,
        "max-std": MaxStd,
        "mean-disagreement": MeanDisagreement,
        "mean-std": MeanStd,
        "none": NoPenalty,
        "true-error": TrueError,
    }


@hookimpl
def vrl_commands() -> Mapping[str, type[CommandConfig]]:
    """Name the commands that look into a world model."""
    return {"imagine": Imagine, "penalties": Penalties}
