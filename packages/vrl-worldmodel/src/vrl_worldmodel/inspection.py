"""The world model of a run, and whether a store's data can be shown to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vrl_core.errors import VRLError
from vrl_core.observations import narrowed
from vrl_core.run_folder import restore
from vrl_worldmodel.config import WorldModelAlgorithmConfig
from vrl_worldmodel.world_model import WorldModel

if TYPE_CHECKING:
    import torch

    from vrl_core.episodes import DataSpec
    from vrl_core.registry import Registry
    from vrl_core.store import Store


@dataclass(frozen=True, kw_only=True)
class InspectedModel:
    """A world model as it stands in a run's checkpoint."""

    folder: Path
    label: str
    """What learned it from what, such as `offline-dv2 random seed 0`."""
    model: WorldModel
    spec: DataSpec
    """The data that the run learns from, with the observation fields that the model reads."""
    step: int
    """Updates of the run when the checkpoint was written."""

    @property
    def latent(self) -> str:
        """Kind of the model's latent, `categorical` or `gaussian`."""
        return self.model.config.latent


def load_model(folder: Path, registry: Registry, device: torch.device) -> InspectedModel:
    """Read the world model of the run in `folder` from its newest whole checkpoint.

    Raises `VRLError` when there is no run or no checkpoint, or the run has no world model.
    """
    restored = restore(folder, registry, device)
    model = getattr(restored.algorithm, "model", None)
    algorithm = restored.config.algorithm
    name = _algorithm_name(algorithm, registry)
    if not isinstance(model, WorldModel):
        raise VRLError(
            f"The run {folder} is of {name}, which has no world model. These have one: "
            f"{', '.join(_with_world_model(registry))}."
        )
    return InspectedModel(
        folder=Path(folder),
        label=f"{name} {restored.spec.behaviour} seed {restored.config.seed}",
        model=model.requires_grad_(False),
        spec=narrowed(restored.spec, model.fields),
        step=restored.step,
    )


def mismatch(spec: DataSpec, data: DataSpec, *, allow_identity: bool = False) -> str | None:
    """Say why a model of data `spec` cannot be shown `data`; None when it can.

    Another task or behaviour is no reason: to look at shifted data is what this is for. Another
    render quality or action repeat is one unless allowed: the error would not tell it from a
    worse model.
    """
    for name, field in spec.observations.items():
        if name not in data.observations:
            return f"the data has no field {name!r}, only {', '.join(data.observations)}"
        mine, theirs = (_shape(each.shape) for each in (field, data.observations[name]))
        if mine != theirs:
            return f"the data's field {name!r} is {theirs}, the model's {mine}"
    if data.action_size != spec.action_size:
        return f"the data's actions have {data.action_size} numbers, the model's {spec.action_size}"
    for name in () if allow_identity else ("render_quality", "action_repeat"):
        theirs, mine = getattr(data, name), getattr(spec, name)
        if theirs != mine:
            words = name.replace("_", " ")
            return (
                f"the data has {words} {theirs!r}, the model's data {mine!r}; to look at just "
                "this, add --allow-mismatch"
            )
    return None


def require_match(model: InspectedModel, store: Store, *, allow_identity: bool = False) -> None:
    """Raise `VRLError` when the model cannot be shown the store's data."""
    reason = mismatch(model.spec, store.spec, allow_identity=allow_identity)
    if reason:
        raise VRLError(
            f"The world model of {model.folder} cannot be shown {store.path}: {reason}. Give data "
            "as the model's, or a model of such data."
        )


def distinct(labels: list[str], paths: list[Path]) -> list[str]:
    """Return the labels, with the path added to those that several things share."""
    return [
        f"{label} ({path})" if labels.count(label) > 1 else label
        for label, path in zip(labels, paths, strict=True)
    ]


def _algorithm_name(algorithm: object, registry: Registry) -> str:
    names = registry.names("algorithms")
    return next(
        (name for name in names if _class_of(name, registry) is type(algorithm)),
        type(algorithm).__name__,
    )


def _with_world_model(registry: Registry) -> list[str]:
    return [
        name
        for name in registry.names("algorithms")
        if issubclass(_class_of(name, registry), WorldModelAlgorithmConfig)
    ]


def _class_of(name: str, registry: Registry) -> type:
    try:
        cls: type = registry.get("algorithms", name)
    except VRLError:  # two distributions claim the name
        return object
    return cls


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
