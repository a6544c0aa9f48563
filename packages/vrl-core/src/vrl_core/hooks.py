"""The plugin interface: six hooks, and the configurations they name.

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
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeVar

import pluggy

if TYPE_CHECKING:
    import gymnasium
    import torch

    from vrl_core.episodes import Dataset, DataSpec
    from vrl_core.protocols import Algorithm, Callback, EnsemblePrediction
    from vrl_core.registry import Registry

PROJECT = "vrl"
API_VERSION = 1
"""Version of this interface; plugins register under the entry-point group of their version."""
ENTRY_POINT_GROUP = f"vrl.v{API_VERSION}"

POSITIONAL = "positional"
"""Mark of a command's field that is given by place instead of by a flag."""
FieldT = TypeVar("FieldT")
Positional = Annotated[FieldT, POSITIONAL]
"""Type of such a field: `runs: Positional[tuple[Path, ...]]` takes `vrl imagine RUN RUN`."""

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

    def schedule(self) -> str:
        """Say what depends on the number of updates in all, such as a falling rate, if anything.

        A run that is given more of them is not one that had them from the beginning, then.
        """
        return ""

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

    weight: float | None = None
    """Factor of the penalty in the penalised reward; none leaves it to the algorithm."""

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

    layout_settings: ClassVar[tuple[str, ...]] = ("size",)
    """Settings that change no more than an observation's sizes or fields, which are compared as
    such. All others must equal those that data was recorded with, for its policies to be judged."""

    def build(self) -> gymnasium.Env[Any, Any]:
        """Create the environment.

        Observations are a `uint8` image `(height, width, channel)`, a state vector, or a `Dict`
        of both; actions are a `Box` in [-1, 1].
        """
        raise NotImplementedError(f"{type(self).__name__} must define build()")

    def versions(self) -> Mapping[str, str]:
        """Return what frames depend on beside settings and installed releases, by name.

        Such as the revision of a way of drawing; data has it among `DataSpec.versions`, and
        whoever evaluates is told when it is another.
        """
        return {}

    @classmethod
    def gallery(cls) -> Mapping[str, Self]:
        """Return named settings that show what there is: `vrl gallery` draws each.

        By default the class's own defaults, if every field has one.
        """
        given = (f for f in fields(cls) if MISSING is f.default is f.default_factory)
        return {} if any(given) else {"default": cls()}

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
    task_prefix: ClassVar[str | None] = None
    """What begins the names of further tasks that cannot all be listed, if any."""
    qualities: ClassVar[tuple[str, ...]] = ()
    """Behaviour qualities that collection knows, if any."""

    def build(self) -> Dataset:
        """Open the source; it is a sequence of episodes with a `spec`.

        Raises `VRLError` when files are missing or malformed.
        """
        raise NotImplementedError(f"{type(self).__name__} must define build()")

    def variant(self) -> str:
        """Return what sets these episodes apart from others of their task and quality, if anything.

        A word for the name of their store's folder, such as `moderate`.
        """
        return ""

    def fingerprint(self) -> Mapping[str, Any]:
        """Return JSON data that is another whenever the episodes may be others.

        By default: the settings, this class's file and its plugin's version, and the files that
        the fields `path` and `behaviours` or fields of type `Path` name. A dataset that reads
        others says so: `return describe(self, files=..., packages=...)`.
        """
        from vrl_core.fingerprint import describe

        return describe(self)


@dataclass(frozen=True, kw_only=True)
class CallbackConfig:
    """Settings of one observer of a run."""

    def build(self) -> Callback:
        """Create the observer."""
        raise NotImplementedError(f"{type(self).__name__} must define build()")


@dataclass(frozen=True, kw_only=True)
class CommandConfig:
    """One call of a command of `vrl`: the fields are its flags, the docstring is its help.

        @dataclass(frozen=True, kw_only=True)
        class Count(CommandConfig):
            "Count the episodes of stores."

            stores: Positional[tuple[Path, ...]]
            "Folders of stores."
            longer_than: int = 0
            "Count only episodes of more steps."

            def run(self, registry):
                from vrl_core.store import Store

                for path in self.stores:
                    print(path, (Store.open(path).lengths > self.longer_than).sum())
                return 0

    A field of type `PenaltyConfig`, or another kind of plugin, is chosen as in `vrl train`.
    """

    def run(self, registry: Registry) -> int:
        """Do the work and return the exit status; import here whatever is heavy.

        A `VRLError` is shown as one line and ends the command with status 1.
        """
        raise NotImplementedError(f"{type(self).__name__} must define run(registry)")


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


@hookspec
def vrl_commands() -> Mapping[str, type[CommandConfig]]:  # type: ignore[empty-body]
    """Name commands of `vrl`."""


HOOKS: Mapping[str, type] = {
    "vrl_algorithms": AlgorithmConfig,
    "vrl_penalties": PenaltyConfig,
    "vrl_environments": EnvironmentConfig,
    "vrl_datasets": DatasetConfig,
    "vrl_callbacks": CallbackConfig,
    "vrl_commands": CommandConfig,
}
"""Every hook, and the class that its answers must derive from."""
