"""Turn a training run into a shipped behaviour: a policy or a replay, each with its card."""

from __future__ import annotations

import datetime
import json
import platform
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import safe_open

from vrl_core.errors import VRLError
from vrl_envs.behaviours.card import BehaviourCard, Returns
from vrl_envs.behaviours.policy import BehaviourPolicy, write_history
from vrl_envs.behaviours.replay_file import PLANAR_ROOT, ROOT_POSITIONS, pack, write_replay
from vrl_envs.behaviours.shipped import LESSON_TASKS, SHIPPED
from vrl_envs.collection import episode_streams, run_episode
from vrl_envs.dmc.config import DMC
from vrl_envs.dmc.environment import DMCEnvironment

if TYPE_CHECKING:
    from vrl_envs.behaviours.online import OnlineTraining
    from vrl_envs.behaviours.training import BehaviourTraining

EVALUATION_SEED = 1_000_003
"""Seed of the card's episodes, away from the small ones that data is collected with."""


def ship(
    run_folder: Path,
    step: int,
    task: str,
    quality: str,
    evaluation_episodes: int = 100,
    *,
    destination: Path = SHIPPED,
    command: str = "",
    note: str = "",
) -> BehaviourCard:
    """Copy a run's policy of a step to `policies/<task>/<quality>` and write its card.

    The returns on the card are of the stochastic policy, as it collects. Raises `VRLError` when
    the run has no policy of that step or was another task's.
    """
    training = read_training(run_folder, task)
    source = find_policy(run_folder, step)
    policy = BehaviourPolicy.read(source)
    card = BehaviourCard(
        task=task,
        quality=quality,
        action_size=policy.action_size,
        observation_size=policy.observation_size,
        hidden_sizes=policy.hidden_sizes,
        returns=Returns.of(policy_returns(policy, task, evaluation_episodes)),
        training_steps=step,
        training=training,
        command=command or training_command(training),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        versions=versions(),
        note=note,
    )
    target = destination / "policies" / task / f"{quality}.safetensors"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    card.write(target.with_suffix(".json"))
    return card


def ship_replay(
    run_folder: Path,
    episodes: int,
    *,
    first: int = 0,
    destination: Path = SHIPPED,
    command: str = "",
    note: str = "",
) -> BehaviourCard:
    """Write `episodes` episodes of a run's replay, from `first` on, and their card.

    Raises `VRLError` when the run's saved state has fewer.
    """
    training = read_training(run_folder)
    task = str(training["task"])
    if training.get("action_repeat", 2) != 2:
        raise VRLError(f"The run in {run_folder} repeats actions other than twice, as data does.")
    arrays = read_saved_episodes(run_folder, first, episodes)
    replay = pack(
        arrays["positions"],
        arrays["actions"],
        arrays["rewards"],
        ROOT_POSITIONS.get(task, PLANAR_ROOT),
    )
    target = destination / "replays" / f"{task}.safetensors"
    write_replay(target, replay)
    card = BehaviourCard(
        task=task,
        quality="mixed",
        action_size=replay.actions.shape[-1],
        returns=Returns.of(replay.rewards.sum(1, dtype=np.float64)),
        training_steps=(first + episodes) * replay.rewards.shape[1],
        training=training,
        command=command or training_command(training),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        versions=versions(),
        note=note,
        extra={"first_episode": first},
    )
    card.write(target.with_suffix(".json"))
    return card


def ship_history(
    run_folder: Path,
    steps: Sequence[int],
    task: str,
    evaluation_episodes: int = 100,
    *,
    destination: Path = SHIPPED,
    note: str = "",
) -> BehaviourCard:
    """Write a run's policies of some steps as the behaviour `mixed`, and their card.

    For tasks whose replay would be too large to ship: the policies act again, one after another,
    each in as many episodes. Raises `VRLError` when the run has no policy of a step.
    """
    training = read_training(run_folder, task)
    target = destination / "policies" / task / "mixed.safetensors"
    history = write_history(target, [find_policy(run_folder, step) for step in steps])
    returns = [
        value
        for number, policy in enumerate(history.policies)
        for value in policy_returns(
            policy, task, evaluation_episodes // len(steps), first=number * evaluation_episodes
        )
    ]
    card = BehaviourCard(
        task=task,
        quality="mixed",
        action_size=history.action_size,
        observation_size=history.observation_size,
        hidden_sizes=history.policies[0].hidden_sizes,
        returns=Returns.of(returns),
        training_steps=max(steps),
        training=training,
        command=training_command(training),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        versions=versions(),
        note=note,
        extra={"steps": list(steps)},
    )
    card.write(target.with_suffix(".json"))
    return card


def find_policy(run_folder: Path, step: int) -> Path:
    """Return a run's policy of a step. Raises `VRLError`, with the nearest, when it has none."""
    known = {
        int(path.stem.removeprefix("step_")): path
        for folder in ("policies", "steps")
        for path in (run_folder / folder).glob("step_*.safetensors")
    }
    if step not in known:
        near = min(known, key=lambda each: abs(each - step), default=None)
        raise VRLError(f"{run_folder} has no policy of step {step}; the nearest is {near}.")
    return known[step]


def policy_returns(
    policy: BehaviourPolicy, task: str, episodes: int, *, first: int = 0
) -> list[float]:
    """Returns of the stochastic policy in `episodes` episodes of 500 agent steps."""
    environment = DMCEnvironment(DMC(task=task, observation="state"))
    returns = []
    for episode in range(first, first + episodes):
        seed, noise = episode_streams(EVALUATION_SEED, episode)
        played = run_episode(environment, seed, lambda state: policy.sample(state, noise))  # noqa: B023
        returns.append(played.undiscounted_return)
    environment.close()
    return returns


def read_training(run_folder: Path, task: str | None = None) -> dict[str, Any]:
    """Read a run's settings. Raises `VRLError` when there are none or the task is another."""
    path = run_folder / "training.json"
    if not path.is_file():
        raise VRLError(f"{run_folder} is no training run: it has no training.json.")
    training: dict[str, Any] = json.loads(path.read_text())
    if task is not None and training["task"] != task:
        raise VRLError(f"The run in {run_folder} was trained on {training['task']}, not {task}.")
    return training


def read_saved_episodes(run_folder: Path, first: int, episodes: int) -> dict[str, np.ndarray]:
    """Read some of the replay in a run's saved state, without loading the rest."""
    path = run_folder / "resume.safetensors"
    if not path.is_file():
        raise VRLError(f"{run_folder} has no saved state with a replay: {path.name} is missing.")
    with safe_open(path, "np") as file:
        saved = file.get_slice("replay.rewards").get_shape()[0]
        if first + episodes > saved:
            raise VRLError(
                f"Episodes {first} to {first + episodes - 1} were asked for; the run has {saved}."
            )
        return {
            name: file.get_slice(f"replay.{name}")[first : first + episodes]
            for name in ("positions", "actions", "rewards")
        }


def training_command(training: dict[str, Any]) -> str:
    """Return the command that trains with a run's settings, when a preset has them."""
    from vrl_envs.behaviours.presets import HUMANOID_STAGES, PRESETS, humanoid_lessons

    known: dict[tuple[str, str], BehaviourTraining | OnlineTraining] = dict(PRESETS)
    for task in LESSON_TASKS:
        known |= {
            (task, name): humanoid_lessons(task, name) for name in ("mixed", *HUMANOID_STAGES)
        }
    for (task, name), config in known.items():
        settings = json.loads(json.dumps(asdict(config)))
        longer = training["steps"] != settings["steps"]
        # A run from before a setting existed had that setting's default.
        if settings == settings | training | {"steps": settings["steps"]}:
            command = f"python -m vrl_envs.behaviours.train --task {task} --preset {name}"
            return f"{command} --steps {training['steps']}" if longer else command
    return "vrl_envs.behaviours.training.BehaviourRun with the settings under `training`"


def versions() -> dict[str, str]:
    """Versions of what a behaviour's returns depend on."""
    packages = ("vrl-envs", "torch", "dm_control", "mujoco", "numpy")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}
