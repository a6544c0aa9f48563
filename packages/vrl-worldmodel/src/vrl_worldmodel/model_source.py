"""The world model of another run: found, compared with what is wanted, and read."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from vrl_core.checkpoint import checkpoints, load_checkpoint
from vrl_core.config import from_data, load_yaml
from vrl_core.episodes import DataSpec
from vrl_core.errors import VRLError
from vrl_core.observations import choose_fields, narrowed
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
OF_DATA = ("task", "action_size", "render_quality", "action_repeat")
"""What the data of both runs must agree in, beside the observations."""


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """Where a model was trained; kept in the checkpoints of the runs that use it."""

    run: str
    """Absolute path of the run's folder."""
    step: int
    """Updates of the checkpoint it was read from."""
    seed: int | None
    """Seed of the run."""
    data: str | None
    """Checksum of the data it was trained on."""

    def to_data(self) -> dict[str, Any]:
        """Return the fields as JSON data."""
        return dataclasses.asdict(self)


def load_model(
    folder: Path, config: WorldModelConfig, spec: DataSpec, at: int | None = None
) -> tuple[dict[str, Tensor], ModelSource]:
    """Read the world model of a run from its newest whole checkpoint, or from that of update `at`.

    Raises `VRLError` when there is no run or no such checkpoint, it has no world model or has not
    trained it to the end (unless `at` names a checkpoint), or the model is of other sizes, or of
    data of another task or with other observations or actions. Those of `spec` are all that the
    model is to read.
    """
    run = RunFolder(folder)
    algorithm = _algorithm(run)
    model = _model_config(run, algorithm)
    theirs = run.spec()
    fields = choose_fields(theirs, algorithm.get("observations"), "model_run")
    _require_agreement(run, model, config, narrowed(theirs, fields), spec)
    step, state = _newest(run, algorithm) if at is None else _at(run, at)
    facts = run.facts()
    source = ModelSource(
        run=str(folder.absolute()),
        step=step,
        seed=facts.get("seed"),
        data=facts.get("dataset", {}).get("checksum"),
    )
    return state["algorithm"]["model"], source


def has_model(folder: Path, at: int | None) -> bool:
    """Whether there is such a folder, with a checkpoint of update `at` if one is named."""
    return folder.exists() and (
        at is None or at in dict(checkpoints(RunFolder(folder).checkpoints))
    )


def missing_model(folder: Path, at: int | None) -> VRLError:
    """Word that a folder is no run, or has no checkpoint of update `at`."""
    run = RunFolder(folder)
    if run.exists and at is not None:
        steps = ", ".join(str(step) for step, _ in checkpoints(run.checkpoints)) or "none"
        return VRLError(
            f"model_run_step: {folder} has no checkpoint of update {at}. There are: {steps}. A run "
            "keeps its newest ones (keep_checkpoints)."
        )
    return VRLError(
        f"model_run: there is no run at {folder.absolute()}: it has no {CONFIG}. Name the folder "
        "of a run that trained a world model, such as runs/walker_walk/offline-dv2/<time>-seed0."
    )


def _algorithm(run: RunFolder) -> Mapping[str, Any]:
    """Return the algorithm's part of the run's configuration."""
    if not run.exists:
        raise missing_model(run.path, None)
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
    run: RunFolder,
    theirs: WorldModelConfig,
    mine: WorldModelConfig,
    their_data: DataSpec,
    my_data: DataSpec,
) -> None:
    differences = [
        *_differences_of_models(theirs, mine),
        *_differences_of_data(their_data, my_data),
    ]
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
    there, here = (tuple(sorted(spec.observations)) for spec in (theirs, mine))
    if there != here:
        yield "the observations (--observations)", ", ".join(there), ", ".join(here)
    for field in sorted({*there} & {*here}):
        shape, wanted = theirs.observations[field].shape, mine.observations[field].shape
        if shape != wanted:
            yield f"the shape of {field!r}", shape, wanted
    for name in OF_DATA:
        other, own = getattr(theirs, name), getattr(mine, name)
        if other != own:
            yield f"the data's {name.replace('_', ' ')}", other, own


def _at(run: RunFolder, step: int) -> tuple[int, Any]:
    known = dict(checkpoints(run.checkpoints))
    if step not in known:
        raise missing_model(run.path, step)
    return load_checkpoint(known[step])


def _newest(run: RunFolder, algorithm: Mapping[str, Any]) -> tuple[int, Any]:
    found = run.newest_checkpoint()
    go_on = f"Go on with it by `vrl train --resume {run.path}`"
    if found is None:
        raise VRLError(f"model_run: {run.path} has no checkpoint yet. {go_on}.")
    state = found[1]
    if algorithm.get("model_run") is None and state["phase"] == 0:
        done, steps = state["phase_step"], algorithm.get("model_steps")
        raise VRLError(
            f"model_run: the model of {run.path} is not trained to the end: its newest checkpoint "
            f"is at update {done} of {steps} of the model phase. {go_on}, or take the model as it "
            f"is there by --model-run-step {found[0]}."
        )
    return found
