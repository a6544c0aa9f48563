"""A run as the empirical bound sees it: its model, penalty and evaluations at a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vrl_core.checkpoint import checkpoints
from vrl_core.config import from_data
from vrl_core.episodes import DataSpec
from vrl_core.errors import VRLError, unknown_name
from vrl_core.evaluate_runs import parse_overrides
from vrl_core.hooks import PenaltyConfig
from vrl_core.protocols import EnsemblePrediction
from vrl_core.registry import Registry
from vrl_core.run_folder import CONFIG, RunFolder, restore
from vrl_theory.rollout_model import (
    RolloutModel,
    find_penalty_weight,
    find_rollout_model,
    model_is_trained,
    prediction_kind,
)

if TYPE_CHECKING:
    from vrl_core.store import Store

Penalty = Callable[[EnsemblePrediction], Tensor]
NO_PENALTY = "none"
"""Registered name of the penalty that is zero everywhere."""
MOST_RUNS = 1000
"""Runs that are looked at for one of a similar name."""


class UntrainedModelError(VRLError):
    """A checkpoint whose model is not trained yet, or is never trained."""


@dataclass(frozen=True, kw_only=True)
class JudgedRun:
    """A run at one of its checkpoints."""

    folder: Path
    label: str
    """What learned it from what, such as `mopo medium seed 0`."""
    step: int
    spec: DataSpec
    model: RolloutModel
    penalty_config: PenaltyConfig | None
    """The penalty that the algorithm was trained with."""
    penalty_coefficient: float | None
    """Its weight in the reward (lambda), if the algorithm says."""
    discount: float

    def policy_return(self) -> float | None:
        """Return the mean return of the evaluation at this checkpoint, or the last before it."""
        lines = RunFolder(self.folder).evaluations.read()
        known = [line for line in lines if line["step"] <= self.step]
        return float(np.mean(known[-1]["returns"])) if known else None


def distinct_labels(labelled: Sequence[tuple[str, Path]]) -> list[str]:
    """Return the labels of runs; where several folders have the same one, with the folder's name.

    Runs of one seed may differ in any setting, such as the penalty.
    """
    folders: dict[str, set[Path]] = {}
    for label, folder in labelled:
        folders.setdefault(label, set()).add(folder)
    return [
        f"{label} ({folder.name})" if len(folders[label]) > 1 else label
        for label, folder in labelled
    ]


def judged_steps(folder: Path) -> list[int]:
    """Return the steps of a run's checkpoints; raises `VRLError` when there are none."""
    run = RunFolder(folder)
    if not run.exists:
        raise unknown_name("run", str(folder), runs_near(folder), f"A run has a {CONFIG}.")
    steps = [step for step, _ in checkpoints(run.checkpoints)]
    if not steps:
        raise VRLError(f"{folder} has no checkpoint; go on with `vrl train --resume {folder}`.")
    return steps


def runs_near(folder: Path) -> list[str]:
    """Return the runs below the nearest folder above this one that exists and has some."""
    for above in folder.parents:
        paths = (path for depth in range(1, 5) for path in above.glob("*/" * depth + CONFIG))
        found = [str(path.parent) for path in islice(paths, MOST_RUNS)]
        if found:
            return found
    return []


def load_judged(folder: Path, registry: Registry, device: torch.device, step: int) -> JudgedRun:
    """Read a run's model at a checkpoint.

    Raises `VRLError` when it has none to imagine with, and `UntrainedModelError` when its training
    has not ended, or never began.
    """
    restored = restore(folder, registry, device, step)
    config, algorithm = restored.config.algorithm, restored.algorithm
    name = registered_name(config, registry)
    label = f"{name} {restored.spec.behaviour} seed {restored.config.seed}"
    model = find_rollout_model(algorithm, name)
    if not model_is_trained(algorithm):
        raise UntrainedModelError(
            f"{label} has no trained model at update {restored.step}: its training has not ended, "
            "or it trains none, as mopo and mbpo with real_share 1. Judge a later checkpoint, go "
            f"on by `vrl train --resume {folder}`, or give a run that learns from its model."
        )
    weight = find_penalty_weight(algorithm)
    penalty = getattr(config, "penalty", None)
    if weight is None and penalty is not None:
        weight = penalty.weight
    return JudgedRun(
        folder=folder,
        label=label,
        step=restored.step,
        spec=restored.spec,
        model=model,
        penalty_config=penalty,
        penalty_coefficient=None if weight is None else float(weight),
        discount=float(getattr(config, "discount", 0.99)),
    )


def named_penalty(word: str, registry: Registry) -> PenaltyConfig:
    """Read `NAME` or `NAME:KEY=VALUE,KEY=VALUE`; raises `VRLError` for unknown ones."""
    name, _, settings = word.partition(":")
    overrides = parse_overrides(settings.split(",") if settings else ())
    config: PenaltyConfig = from_data("penalties", {"name": name, **overrides}, registry)
    return config


def with_penalty(
    run: JudgedRun, word: str | None, weight: float | None, registry: Registry
) -> JudgedRun:
    """Return the run judged by another penalty or weight.

    Raises `VRLError` when one is missing or is not for models of this kind, or the run's penalty
    says nothing without being asked for: that of a run without one, which is zero.
    """
    if word is not None:
        config = named_penalty(word, registry)
        run = replace(run, penalty_config=config)
        if config.weight is not None:
            run = replace(run, penalty_coefficient=config.weight)
    if weight is not None:
        run = replace(run, penalty_coefficient=weight)
    require_estimate(run, registry, asked=word is not None)
    if run.penalty_coefficient is None:
        raise VRLError(f"{run.label} does not say its penalty's weight. Give it: --weight NUMBER.")
    return run


def require_estimate(run: JudgedRun, registry: Registry, *, asked: bool) -> None:
    """Raise `VRLError` when a run's penalty estimates no error from its predictions alone."""
    config = run.penalty_config
    kind = prediction_kind(run.model)
    name = NO_PENALTY if config is None else registered_name(config, registry)
    if name == NO_PENALTY and not asked:
        raise VRLError(f"{run.label} was trained without a penalty. {_naming(registry, kind)}")
    if _asks_a_simulator(config):
        raise VRLError(
            f"The penalty {name} of {run.label} is no estimate: it asks the simulator, and here "
            f"only what the model predicts is known. {_naming(registry, kind)}"
        )
    if not _fits(config, kind):
        raise VRLError(
            f"The penalty {name} is one on {' or '.join(_kinds(config))} ensembles, and that of "
            f"{run.label} is {kind}. {_naming(registry, kind)}"
        )


def registered_name(config: object, registry: Registry) -> str:
    """Return the name of a configuration, else that of its class."""
    found = registry.name_of(type(config))
    return type(config).__name__ if found is None else found[1]


def _asks_a_simulator(config: object) -> bool:
    return bool(getattr(config, "needs_simulator", False))


def _kinds(config: object) -> tuple[str, ...]:
    return tuple(getattr(config, "kinds", PenaltyConfig.kinds))


def _fits(config: object, kind: str | None) -> bool:
    return kind is None or kind in _kinds(config)


def _naming(registry: Registry, kind: str | None) -> str:
    names = [
        name
        for name, cls in registry.options("penalties").items()
        if name != NO_PENALTY and not _asks_a_simulator(cls) and _fits(cls, kind)
    ]
    return f"Name one, --penalty NAME: {', '.join(names) or 'none is installed'}."


def build_penalty(config: PenaltyConfig, device: torch.device) -> Penalty:
    """Return the penalty's function; raises `VRLError` when the penalty cannot be had alone."""
    penalty = config.build()
    if isinstance(penalty, torch.nn.Module):
        penalty.to(device)
    return penalty


def require_same_kind(run: JudgedRun, store: Store) -> None:
    """Raise `VRLError` when the store's episodes are not of the run's data's kind.

    Observations, actions, and what their environments say: task, reward scale, time, pictures. A
    setting that only one of them names says nothing.
    """
    mine, theirs = run.spec, store.spec
    for field in run.model.fields:
        expected, found = mine.observations.get(field), theirs.observations.get(field)
        if found is not None and expected != found:
            raise VRLError(
                f"The model of {run.folder} observes {field} of shape "
                f"{expected.shape if expected else None}, that of {store.path} is {found.shape}. "
                "Give data of the kind that the run learnt from."
            )
    if mine.action_size != theirs.action_size:
        raise VRLError(
            f"Actions of {store.path} have {theirs.action_size} numbers, those of "
            f"{run.folder} {mine.action_size}. Give data of the run's task."
        )
    ours, other = _circumstances(mine), _circumstances(theirs)
    for name in ours:
        if name in other and ours[name] != other[name]:
            raise VRLError(
                f"{store.path} has {name.replace('_', ' ')} {other[name]!r}, the data of "
                f"{run.folder} {ours[name]!r}: returns and errors would not compare. Give data "
                f"with {ours[name]!r}."
            )


def _circumstances(spec: DataSpec) -> dict[str, object]:
    """Return what episodes' returns and errors depend on, by name."""
    own = {name: getattr(spec, name) for name in ("task", "action_repeat", "render_quality")}
    return {**(spec.environment or {}), **own}
