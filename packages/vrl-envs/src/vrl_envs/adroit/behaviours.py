"""Who acts in Adroit's data: VRL's own agents, its script, or DAPG's experts from a folder."""

from __future__ import annotations

from pathlib import Path

from vrl_core.errors import VRLError
from vrl_envs.adroit.config import AdroitDataset
from vrl_envs.adroit.demonstrators import Demonstrator, demonstrator
from vrl_envs.adroit.environment import AdroitEnvironment
from vrl_envs.adroit.pickles import PICKLES, refuse_pickle
from vrl_envs.adroit.tasks import BALL, find_task
from vrl_envs.behaviours.policy import BehaviourPolicy, require_fit
from vrl_envs.behaviours.shipped import behaviour_files, policy_path
from vrl_envs.dapg_policy import SCALES, DAPGPolicy
from vrl_envs.qualities import qualities_in
from vrl_envs.settings import require_folder

ADVICE = (
    "DAPG published experts of all four tasks (github.com/aravindr93/hand_dapg, dapg/policies): "
    "convert one to {task}.npz in a folder and name it with --behaviours FOLDER. {conversion}"
)


def has_own_agents(folder: str | None) -> bool:
    """Whether a folder of behaviours has agents that VRL trained; VRL's own has, DAPG's has not.

    Raises `VRLError` when there is no such folder.
    """
    if folder is None:
        return True
    require_folder("behaviours", Path(folder).expanduser())
    return any((Path(folder).expanduser() / part).is_dir() for part in ("policies", "replays"))


def is_demonstrated(config: AdroitDataset) -> bool:
    """Whether VRL's demonstrator acts: of the ball it has no agent."""
    return config.task == BALL and config.behaviours is None


def behaviour_paths(config: AdroitDataset) -> list[Path]:
    """Return the files that a dataset's behaviours are read from.

    Raises `VRLError` that says where to get them when they are missing.
    """
    if config.quality == "random":
        return []
    if is_demonstrated(config):
        return [Path(__file__).with_name("demonstrators.py")]
    if not has_own_agents(config.behaviours):
        return [expert_path(config.task, config.behaviours)]
    try:
        return behaviour_files(config.task, config.quality, config.behaviours)
    except VRLError as error:
        advice = ADVICE.format(task=config.task, conversion=_how_to_convert(config.task))
        raise VRLError(f"{error} {advice}") from error


def read_actors(
    config: AdroitDataset, environment: AdroitEnvironment
) -> dict[str, BehaviourPolicy | DAPGPolicy | Demonstrator]:
    """Read who acts in each quality that a dataset is made of; nobody does in `random`.

    Raises `VRLError` when a behaviour is missing or of another task.
    """
    behaviour_paths(config)  # says what is missing
    qualities = [each for each in qualities_in(config.quality) if each != "random"]
    if is_demonstrated(config):
        return dict.fromkeys(qualities, demonstrator(environment))
    if not has_own_agents(config.behaviours):
        return dict.fromkeys(qualities, read_expert(config.task, config.behaviours))
    paths = {each: policy_path(config.task, each, config.behaviours) for each in qualities}
    policies = {each: BehaviourPolicy.read(path) for each, path in paths.items()}
    for quality, policy in policies.items():
        check_sizes(policy, paths[quality], config.task)
    return dict(policies)


def expert_path(task: str, folder: str | None) -> Path:
    """Return the file of DAPG's expert; raises `VRLError` that says how to get a missing one."""
    if folder is None:
        advice = ADVICE.format(task=task, conversion=_how_to_convert(task))
        raise VRLError(f"No expert of DAPG comes with VRL. {advice}")
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
    """Read DAPG's expert of a task. Raises `VRLError` when it is missing or of another task."""
    path = expert_path(task, folder)
    policy = DAPGPolicy.read(path)
    check_sizes(policy, path, task)
    return policy


def check_sizes(policy: BehaviourPolicy | DAPGPolicy, path: Path, task: str) -> None:
    """Raise `VRLError` when a policy is not of this task's sizes."""
    facts = find_task(task)
    require_fit(policy, path, task, facts.observation_size, facts.action_size)


def _how_to_convert(task: str) -> str:
    stem = task.removeprefix("adroit_")
    return (
        f"A file holds weight_0, bias_0, ... and, if any, {', '.join(SCALES)}. Put "
        f"{stem}-v0.pickle into the folder and call this again for the lines that convert it."
    )
