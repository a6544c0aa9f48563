"""The world model of another run: found, compared with what is wanted, and read."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from vrl_core.config import from_data, load_yaml
from vrl_core.episodes import DataSpec
from vrl_core.errors import VRLError
from vrl_core.registry import Registry
from vrl_core.run_folder import CONFIG, RunFolder
from vrl_worldmodel.config import WorldModelConfig

TRAINING = frozenset(
    {
        "batch_size",
        "sequence_length",
        "kl_balance",
        "free_nats",
        "learning_rate",
        "epsilon",
        "weight_decay",
        "gradient_clip",
    }
)
"""Settings of a model's training. Any of them may differ: the trained model is the same."""
OF_DATA = ("action_size", "render_quality", "action_repeat")
"""What the data of both runs must agree in, beside the images' size."""


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """Where a model was trained; kept in the checkpoints of the runs that use it."""

    run: str
    """Absolute path of the run's folder."""
    step: int
    """Updates of the checkpoint it was read from; the model rests since its phase ended."""
    seed: int | None
    """Seed of the run."""
    data: str | None
    """Checksum of the data it was trained on."""

    def to_data(self) -> dict[str, Any]:
        """Return the fields as JSON data."""
        return dataclasses.asdict(self)


def load_model(
    folder: Path, config: WorldModelConfig, spec: DataSpec
) -> tuple[dict[str, Tensor], ModelSource]:
    """Read the trained world model of a run from its newest whole checkpoint.

    Raises `VRLError` when there is no run, it has no world model or has not trained it to the
    end, or the model is of other sizes, or of data with other images or actions.
    """
    run = RunFolder(folder)
    algorithm = _algorithm(run)
    _require_agreement(run, _model_config(run, algorithm), config, spec)
    step, state = _checkpoint(run, algorithm)
    facts = run.facts()
    source = ModelSource(
        run=str(folder.absolute()),
        step=step,
        seed=facts.get("seed"),
        data=facts.get("dataset", {}).get("checksum"),
    )
    return state["algorithm"]["model"], source


def missing_run(folder: Path) -> VRLError:
    """Word that a folder is no run."""
    return VRLError(
        f"model_run: there is no run at {folder.absolute()}: it has no {CONFIG}. Name the folder "
        "of a run that trained a world model, such as runs/walker_walk/offline-dv2/<time>-seed0."
    )


def _algorithm(run: RunFolder) -> Mapping[str, Any]:
    """Return the algorithm's part of the run's configuration."""
    if not run.exists:
        raise missing_run(run.path)
    algorithm = load_yaml(run.path / CONFIG).get("algorithm")
    return algorithm if isinstance(algorithm, Mapping) else {}


def _model_config(run: RunFolder, algorithm: Mapping[str, Any]) -> WorldModelConfig:
    if not isinstance(algorithm.get("model"), Mapping):
        raise VRLError(
            f"model_run: {run.path} is a run of {algorithm.get('name', 'an algorithm')}, which has "
            "no world model. Name a run of offline-dv2, lompo, lmbrl or offline-slac."
        )
    registry = Registry(installed=False)  # a model's settings name no plugin
    return from_data(WorldModelConfig, algorithm["model"], registry, path="algorithm.model")


def _require_agreement(
    run: RunFolder, theirs: WorldModelConfig, mine: WorldModelConfig, spec: DataSpec
) -> None:
    other = run.spec()
    differences = [*_differences_of_models(theirs, mine), *_differences_of_data(other, spec)]
    if differences:
        words = "; ".join(
            f"{name} is {there} there and {here} here" for name, there, here in differences
        )
        raise VRLError(
            f"model_run: the world model of {run.path} does not fit: {words}. Give this run the "
            "model's settings and data of the same kind, or train a model of its own."
        )


def _differences_of_models(
    theirs: WorldModelConfig, mine: WorldModelConfig
) -> Iterator[tuple[str, Any, Any]]:
    ignored = TRAINING | ({"minimum_std"} if mine.latent == "categorical" else {"classes"})
    for field in dataclasses.fields(mine):
        there, here = getattr(theirs, field.name), getattr(mine, field.name)
        if field.name not in ignored and there != here:
            yield f"model.{field.name}", there, here


def _differences_of_data(theirs: DataSpec, mine: DataSpec) -> Iterator[tuple[str, Any, Any]]:
    there, here = (spec.observations["image"].shape for spec in (theirs, mine))
    if there != here:
        yield "the images' (height, width, channel)", there, here
    for name in OF_DATA:
        other, own = getattr(theirs, name), getattr(mine, name)
        if other != own:
            yield f"the data's {name.replace('_', ' ')}", other, own


def _checkpoint(run: RunFolder, algorithm: Mapping[str, Any]) -> tuple[int, Any]:
    found = run.newest_checkpoint()
    go_on = f"Go on with it by `vrl train --resume {run.path}`"
    if found is None:
        raise VRLError(f"model_run: {run.path} has no checkpoint yet. {go_on}.")
    state = found[1]
    if algorithm.get("model_run") is None and state["phase"] == 0:
        done, steps = state["phase_step"], algorithm.get("model_steps")
        raise VRLError(
            f"model_run: the model of {run.path} is not trained to the end: its newest checkpoint "
            f"is at update {done} of {steps} of the model phase. {go_on}."
        )
    return found
