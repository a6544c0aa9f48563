"""The plugin interface: five hooks, and the configurations they name.

A plugin is a module that answers some of these hooks with a dictionary from names to
configuration classes. A configuration is a frozen, keyword-only dataclass: its fields are the
command line's flags and a file's keys, its docstring is the help, and its `build` method imports
whatever is heavy. Nothing here imports torch, numpy or a simulator.

    from dataclasses import dataclass
    from vrl_core import PenaltyConfig, hookimpl

    @dataclass(frozen=True, kw_only=True)
    class Mine(PenaltyConfig):
        ...

    @hookimpl
    def vrl_penalties():
        return {"mine": Mine}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import pluggy

if TYPE_CHECKING:
    import gymnasium
    import torch

    from vrl_core.episodes import Dataset, DataSpec
    from vrl_core.protocols import Algorithm, Callback, EnsemblePrediction

PROJECT = "vrl"
API_VERSION = 1
"""Version of this interface; plugins register under the entry-point group of their version."""
ENTRY_POINT_GROUP = f"vrl.v{API_VERSION}"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True, kw_only=True)
class AlgorithmConfig:
    """Settings of one algorithm."""

    default_preset: ClassVar[str] = "paper"

    @classmethod
    def presets(cls) -> Mapping[str, Self]:
        """Return named settings, such as `paper`, `reference-code` and `small`."""
        return {cls.default_preset: cls()}

    def build(self, spec: DataSpec, device: torch.device) -> Algorithm:
        """Create the algorithm for data of this `spec` on this device.

        Called after torch's generators have been seeded, so initialisation is reproducible.
        Raises `VRLError` when the data lacks what the algorithm needs.
        """
        raise NotImplementedError(f"{type(self).__name__} must define build(spec, device)")


@dataclass(frozen=True, kw_only=True)
class PenaltyConfig:
    """Settings of one uncertainty penalty on an ensemble's prediction."""

    kinds: ClassVar[tuple[str, ...]] = ("categorical", "gaussian")
    """Kinds of `EnsemblePrediction` that the penalty is defined for."""

    weight: float = 1.0
    """Factor of the penalty in the penalised reward."""

    def build(self) -> Callable[[EnsemblePrediction], torch.Tensor]:
        """Return the function from a prediction to penalties of shape `(... batch)`."""
        raise NotImplementedError(f"{type(self).__name__} must define build()")


@dataclass(frozen=True)
class ReferenceReturns:
    """Mean returns that normalise a score: 0 at `random`, 100 at `expert`."""

    random: float
    expert: float

    def normalise(self, value: float) -> float:
        """Map a return to the normalised score in percent."""
        return 100.0 * (value - self.random) / (self.expert - self.random)


@dataclass(frozen=True, kw_only=True)
class EnvironmentConfig:
    """Settings of one environment."""

    def build(self) -> gymnasium.Env[Any, Any]:
        """Create the environment.

        Observations are a `uint8` image `(height, width, channel)`, a state vector, or a `Dict`
        of both; actions are a `Box` in [-1, 1].
        """
        raise NotImplementedError(f"{type(self).__name__} must define build()")

    def references(self) -> ReferenceReturns | None:
        """Return the returns that normalise this environment's score, if they are known."""
        return None

    def published_score(self, value: float) -> float | None:  # noqa: ARG002
        """Map a return to the scale of the papers' tables, if they have one of their own."""
        return None


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """Settings of one source of logged episodes."""

    tasks: ClassVar[tuple[str, ...]] = ()
    """Tasks this dataset can be collected for here with `vrl data collect --task`, if any."""
    qualities: ClassVar[tuple[str, ...]] = ()
    """Behaviour qualities that collection knows, if any."""

    def build(self) -> Dataset:
        """Open the source; it is a sequence of episodes with a `spec`.

        Raises `VRLError` when files are missing or malformed.
        """
        raise NotImplementedError(f"{type(self).__name__} must define build()")


@dataclass(frozen=True, kw_only=True)
class CallbackConfig:
    """Settings of one observer of a run."""

    def build(self) -> Callback:
        """Create the observer."""
        raise NotImplementedError(f"{type(self).__name__} must define build()")


@hookspec
def vrl_algorithms() -> Mapping[str, type[AlgorithmConfig]]:  # type: ignore[empty-body]
    """Name algorithms."""


@hookspec
def vrl_penalties() -> Mapping[str, type[PenaltyConfig]]:  # type: ignore[empty-body]
    """Name penalties."""


@hookspec
def vrl_environments() -> Mapping[str, type[EnvironmentConfig]]:  # type: ignore[empty-body]
    """Name environments."""


@hookspec
def vrl_datasets() -> Mapping[str, type[DatasetConfig]]:  # type: ignore[empty-body]
    """Name datasets."""


@hookspec
def vrl_callbacks() -> Mapping[str, type[CallbackConfig]]:  # type: ignore[empty-body]
    """Name callbacks."""


HOOKS: Mapping[str, type] = {
    "vrl_algorithms": AlgorithmConfig,
    "vrl_penalties": PenaltyConfig,
    "vrl_environments": EnvironmentConfig,
    "vrl_datasets": DatasetConfig,
    "vrl_callbacks": CallbackConfig,
}
"""Every hook, and the class that its answers must derive from."""
