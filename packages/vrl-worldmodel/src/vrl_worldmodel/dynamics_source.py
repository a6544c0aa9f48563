"""The dynamics ensemble of another run: found, compared with what is wanted, and read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vrl_core.config import from_data, load_yaml
from vrl_core.episodes import DataSpec
from vrl_core.errors import VRLError
from vrl_core.registry import Registry
from vrl_core.run_folder import CONFIG, RunFolder
from vrl_worldmodel.model_source import ModelSource
from vrl_worldmodel.mopo_config import DynamicsConfig

SHAPE = ("members", "elites", "hidden_layers", "spectral_normalisation")
"""Settings that a trained ensemble has for good; those of its training may differ."""
OF_DATA = ("task", "action_size", "observations", "environment")
"""What the data of both runs must agree in."""


def require_fitting(folder: Path, config: DynamicsConfig, spec: DataSpec) -> None:
    """Raise `VRLError` unless the run at `folder` has an ensemble as this one, for such data."""
    run = RunFolder(folder)
    theirs, data = _dynamics_config(run), run.spec()
    differences = [*_differing(theirs, config, SHAPE), *_differing(data, spec, OF_DATA)]
    if differences:
        raise VRLError(
            f"dynamics_run: the ensemble of {folder} does not fit: {'; '.join(differences)}. Give "
            "this run those settings and data of the same kind, or train an ensemble of its own."
        )


def read_dynamics(
    folder: Path, config: DynamicsConfig, spec: DataSpec
) -> tuple[Mapping[str, Any], ModelSource]:
    """Return the state of the trainer that ended in `folder`, and where it comes from.

    Raises `VRLError` when there is no run, its ensemble does not fit, or is not trained to the end.
    """
    require_fitting(folder, config, spec)
    run = RunFolder(folder)
    go_on = f"Go on with it by `vrl train --resume {folder}`"
    found = run.newest_checkpoint()
    if found is None:
        raise VRLError(f"dynamics_run: {folder} has no checkpoint yet. {go_on}.")
    state: Mapping[str, Any] = found[1]["algorithm"]["dynamics"]
    if load_yaml(run.path / CONFIG)["algorithm"].get("real_share") == 1:
        raise VRLError(
            f"dynamics_run: {folder} learns from the real data alone (real_share 1) and trains no "
            "ensemble. Name a run of mopo or mbpo that imagines."
        )
    if not state["finished"]:
        raise VRLError(
            f"dynamics_run: the ensemble of {folder} is not trained to the end: its newest "
            f"checkpoint is at update {found[0]}. {go_on}."
        )
    facts = run.facts()
    checksum = facts.get("dataset", {}).get("checksum")
    source = ModelSource(
        run=str(folder.absolute()), step=found[0], seed=facts.get("seed"), data=checksum
    )
    return state, source


def _dynamics_config(run: RunFolder) -> DynamicsConfig:
    if not run.exists:
        raise VRLError(
            f"dynamics_run: there is no run at {run.path.absolute()}: it has no {CONFIG}. Name the "
            "folder of a run of mopo or mbpo, such as runs/hiv/mopo/<time>-seed0."
        )
    algorithm = load_yaml(run.path / CONFIG).get("algorithm")
    algorithm = algorithm if isinstance(algorithm, Mapping) else {}
    if not isinstance(algorithm.get("dynamics"), Mapping):
        raise VRLError(
            f"dynamics_run: {run.path} is a run of {algorithm.get('name', 'an algorithm')}, which "
            "has no dynamics ensemble. Name a run of mopo or mbpo."
        )
    registry = Registry(installed=False)  # the ensemble's settings name no plugin
    return from_data(DynamicsConfig, algorithm["dynamics"], registry, path="algorithm.dynamics")


def _differing(theirs: Any, mine: Any, names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        there, here = getattr(theirs, name), getattr(mine, name)
        if there != here:
            yield f"{name.replace('_', ' ')} is {there} there and {here} here"
