"""Who acts in Adroit's data: DAPG's experts, from a folder of the user's."""

from __future__ import annotations

from pathlib import Path

from vrl_core.errors import VRLError
from vrl_envs.adroit.pickles import PICKLES, refuse_pickle
from vrl_envs.adroit.tasks import find_task
from vrl_envs.dapg_policy import SCALES, DAPGPolicy


def expert_path(task: str, folder: str | None) -> Path:
    """Return an expert's file. Raises `VRLError` that says where to get one when it is missing."""
    if folder is None:
        raise VRLError(
            f"No expert of {task} comes with VRL; qualities random and human need none. DAPG "
            f"published some (github.com/aravindr93/hand_dapg, dapg/policies): convert one to "
            f"{task}.npz in a folder and name it with --behaviours FOLDER. {_how_to_convert(task)}"
        )
    path = Path(folder).expanduser() / f"{task}.npz"
    if path.is_file():
        return path
    stem = task.removeprefix("adroit_")
    pickles = sorted(file for file in path.parent.glob(f"*{stem}*") if file.suffix in PICKLES)
    if pickles:
        raise refuse_pickle(pickles[0], str(path))
    there = ", ".join(sorted(file.name for file in path.parent.glob("*"))) or "nothing"
    raise VRLError(f"There is no expert {path}; the folder holds {there}. {_how_to_convert(task)}")


def read_expert(task: str, folder: str | None) -> DAPGPolicy:
    """Read a task's expert. Raises `VRLError` when it is missing or of another task."""
    path = expert_path(task, folder)
    policy, facts = DAPGPolicy.read(path), find_task(task)
    if (policy.observation_size, policy.action_size) != (facts.observation_size, facts.action_size):
        raise VRLError(
            f"The expert {path} takes {policy.observation_size} state numbers and gives "
            f"{policy.action_size} actions; {task} has {facts.observation_size} and "
            f"{facts.action_size}. It is another task's."
        )
    return policy


def _how_to_convert(task: str) -> str:
    stem = task.removeprefix("adroit_")
    return (
        f"A file holds weight_0, bias_0, ... and, if any, {', '.join(SCALES)}. Put "
        f"{stem}-v0.pickle into the folder and call this again for the lines that convert it."
    )
