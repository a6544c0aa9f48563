"""Where behaviours lie: `policies/<task>/<quality>.safetensors` and `replays/<task>.safetensors`.

Beside each file is its card, with the same name and `.json`.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from vrl_core.errors import VRLError
from vrl_envs.adroit.tasks import ADROIT_TASKS
from vrl_envs.dclaw.config import TASKS as DCLAW_TASKS
from vrl_envs.gym_mujoco.config import TASKS as GYM_TASKS
from vrl_envs.hiv.config import HIV_TASK
from vrl_envs.qualities import qualities_in
from vrl_envs.settings import require_folder

STATE_TASKS = (*GYM_TASKS, HIV_TASK, *DCLAW_TASKS, *ADROIT_TASKS)
LESSON_TASKS = ("humanoid_stand", "humanoid_walk", "humanoid_run")
"""dm_control tasks that are learnt in `humanoid_lessons`."""
SHIPPED = Path(__file__).parent
"""Folder of the behaviours that come with this package."""


def policy_path(task: str, quality: str, folder: str | Path | None = None) -> Path:
    """Return a policy's file. Raises `VRLError` that names what exists when it is missing."""
    root = SHIPPED if folder is None else Path(folder)
    path = root / "policies" / task / f"{quality}.safetensors"
    if not path.is_file():
        raise _missing(task, quality, root)
    return path


def replay_path(task: str, folder: str | Path | None = None) -> Path:
    """Return a replay's file. Raises `VRLError` that names what exists when it is missing."""
    root = SHIPPED if folder is None else Path(folder)
    path = root / "replays" / f"{task}.safetensors"
    if not path.is_file():
        raise _missing(task, "mixed", root)
    return path


def history_path(task: str, folder: str | Path | None = None) -> Path | None:
    """Return the file of a training's policies that act in `mixed`; None where a replay is it."""
    root = SHIPPED if folder is None else Path(folder)
    path = root / "policies" / task / "mixed.safetensors"
    return path if path.is_file() else None


def behaviour_files(task: str, quality: str, folder: str | Path | None = None) -> list[Path]:
    """Return the files that a quality's episodes are made with: policies, or a replay.

    Raises `VRLError` when there is no such behaviour.
    """
    if quality == "mixed":
        history = history_path(task, folder)
        return [replay_path(task, folder) if history is None else history]
    acting = [each for each in qualities_in(quality) if each != "random"]
    return [policy_path(task, each, folder) for each in acting]


def available(folder: str | Path | None = None) -> dict[str, tuple[str, ...]]:
    """Return the qualities of every task that a policy or a replay exists for."""
    root = SHIPPED if folder is None else Path(folder)
    found: dict[str, set[str]] = {}
    for path in root.glob("policies/*/*.safetensors"):
        found.setdefault(path.parent.name, set()).add(path.stem)
    for path in root.glob("replays/*.safetensors"):
        found.setdefault(path.stem, set()).add("mixed")
    for qualities in found.values():
        if {"medium", "expert"} <= qualities:
            qualities.add("medium_expert")
    return {task: tuple(sorted(qualities)) for task, qualities in sorted(found.items())}


def _missing(task: str, quality: str, root: Path) -> VRLError:
    require_folder("behaviours", root)
    known = available(root)
    nearest = difflib.get_close_matches(task, known, n=1, cutoff=0.5)
    listing = "; ".join(f"{name}: {', '.join(qualities)}" for name, qualities in known.items())
    place = "is shipped" if root == SHIPPED else f"is in {root}"
    parts = [f"No behaviour for {task} {quality!r} {place}."]
    if nearest and nearest[0] != task:
        parts.append(f"The nearest task is {nearest[0]!r}.")
    parts.append(f"There are {listing or 'none'}. Every task has 'random', which needs no file.")
    parts.append(_training_advice(task, quality))
    return VRLError(" ".join(parts))


def _training_advice(task: str, quality: str) -> str:
    """Say how a behaviour is made: a medium policy is a step of the training that `mixed` is of."""
    preset = "expert" if quality == "expert" else "mixed"
    command = f"python -m vrl_envs.behaviours.train --task {task} --preset {preset} --output FOLDER"
    parts = [f"Train one with `{command}`"]
    if quality == "medium" and task in (*STATE_TASKS, *LESSON_TASKS):
        parts.append(f", then choose one of its steps: `{command} --keep STEP medium`")
    return "".join([*parts, "; collect with `--behaviours FOLDER`."])
