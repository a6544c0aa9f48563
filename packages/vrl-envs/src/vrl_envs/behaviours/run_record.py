"""What a behaviour's training leaves in its folder for the day it goes on: settings and metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vrl_core.atomic import write_text
from vrl_core.errors import VRLError
from vrl_core.json_lines import JsonLines
from vrl_envs.settings import check_at_least

if TYPE_CHECKING:
    from vrl_envs.behaviours.online import OnlineTraining
    from vrl_envs.behaviours.training import BehaviourTraining

LEAST = {
    "steps": 1,
    "seed": 0,
    "random_steps": 0,
    "updates_per_step": 0,
    "batch_size": 1,
    "evaluate_every": 1,
    "evaluation_episodes": 1,
    "demonstrations": 0,
}
"""Smallest numbers that the settings of a training can have, where it has them."""


def check_training(config: OnlineTraining | BehaviourTraining) -> None:
    """Raise `VRLError` for numbers of which no training comes."""
    for name, least in LEAST.items():
        check_at_least(name, getattr(config, name, least), least)


def record_settings(config: OnlineTraining | BehaviourTraining, folder: Path) -> None:
    """Write `training.json`; raises `VRLError` when the folder holds a training of other settings.

    More steps are no other settings: a run goes on to them.
    """
    path = folder / "training.json"
    settings = json.loads(json.dumps(asdict(config)))
    for name, (old, new) in _differences(_read(path), settings).items():
        raise VRLError(
            f"{folder} holds a training with {name} {old!r}, and {new!r} was asked for. Go on with "
            f"{old!r}, or begin in another folder (--output)."
        )
    write_text(path, json.dumps(settings, indent=1))


def forget_after(steps: int, folder: Path) -> None:
    """Drop the lines of `metrics.jsonl` beyond these steps, which the run will take again."""
    lines = JsonLines(folder / "metrics.jsonl")
    kept = [line for line in lines.read() if line["steps"] <= steps]
    if lines.path.exists():
        write_text(lines.path, "".join(json.dumps(line) + "\n" for line in kept))


def _read(path: Path) -> dict[str, Any]:
    try:
        recorded: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise VRLError(
            f"{path} is damaged ({error}), so nothing tells what was trained there. Begin in "
            "another folder (--output)."
        ) from error
    return recorded


def _differences(
    old: Mapping[str, Any], new: Mapping[str, Any]
) -> dict[str, tuple[object, object]]:
    """Return what both say of settings but the steps; one that is in only one says nothing."""
    return {
        name: (old[name], new[name])
        for name in new
        if name in old and name != "steps" and old[name] != new[name]
    }
