"""Turn an online training on a state task into shipped behaviours, each with its card."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vrl_core.errors import VRLError
from vrl_core.hooks import EnvironmentConfig
from vrl_envs.adroit.config import Adroit
from vrl_envs.adroit.tasks import ADROIT_TASKS
from vrl_envs.behaviours.action_replay import (
    ActionReplay,
    episode_seeds,
    pack_actions,
    write_action_replay,
)
from vrl_envs.behaviours.card import BehaviourCard, Returns
from vrl_envs.behaviours.online import keep_policy, one_episode
from vrl_envs.behaviours.policy import BehaviourPolicy
from vrl_envs.behaviours.shipped import SHIPPED, replay_path
from vrl_envs.behaviours.shipping import EVALUATION_SEED, read_training, versions
from vrl_envs.behaviours.state_replay import StateReplay, join, read_state_replay
from vrl_envs.collection import episode_streams, run_episode
from vrl_envs.dclaw.config import TASKS as DCLAW_TASKS
from vrl_envs.dclaw.config import DClaw
from vrl_envs.gym_mujoco.config import GymMuJoCo
from vrl_envs.hiv.config import HIV, HIV_TASK


def ship_state_policy(
    run_folder: Path,
    step: int,
    quality: str,
    evaluation_episodes: int = 100,
    *,
    destination: Path = SHIPPED,
    note: str = "",
) -> BehaviourCard:
    """Copy a run's policy of a step to `policies/<task>/<quality>` and write its card.

    The returns on the card are of the stochastic policy, as it collects. Raises `VRLError` when
    the run has no policy of that step.
    """
    training = read_training(run_folder)
    task = str(training["task"])
    source = run_folder / "steps" / f"step_{step:08d}.safetensors"
    target = keep_policy(source, destination, task, quality)
    policy = BehaviourPolicy.read(target)
    environment = environment_of(training).build()
    card = BehaviourCard(
        task=task,
        quality=quality,
        action_size=policy.action_size,
        observation_size=policy.observation_size,
        hidden_sizes=policy.hidden_sizes,
        returns=Returns.of(policy_returns(policy, environment, evaluation_episodes)),
        training_steps=step,
        note=note,
        **facts(training),
    )
    environment.close()
    card.write(target.with_suffix(".json"))
    return card


def ship_state_replay(
    run_folder: Path,
    *,
    until: int | None = None,
    one_of: int = 1,
    destination: Path = SHIPPED,
    note: str = "",
) -> BehaviourCard:
    """Write a run's replay as seeds and actions, and its card; of large ones, `one_of` so many.

    `until` the agent steps of the medium policy it is what the medium agent saw, as V-D4RL's
    (Section 3.2) and D4RL's are; without it the whole training is. Every episode is simulated from
    them first; raises `VRLError` unless all are what they were.
    """
    training = read_training(run_folder)
    task, environment = str(training["task"]), environment_of(training).build()
    replay, recorded = read_state_replay(replay_path(task, run_folder))
    ends = np.cumsum(replay.lengths)
    seen = len(replay) if until is None else int((ends <= until).sum())
    chosen = range(one_of - 1, seen, one_of)
    seeds = episode_seeds(training["seed"], len(replay))[list(chosen)]
    trained = int(ends[seen - 1])
    if len(chosen) < len(replay):
        replay = join([one_episode(replay, index) for index in chosen])
    packed = pack_actions(replay, seeds)
    require_same_episodes(environment, replay, packed)
    environment.close()
    target = destination / "replays" / f"{task}.safetensors"
    write_action_replay(target, packed, recorded)
    returns = [replay.episode(index, {}).undiscounted_return for index in range(len(replay))]
    card = BehaviourCard(
        task=task,
        quality="mixed",
        action_size=packed.actions.shape[1],
        returns=Returns.of(returns),
        training_steps=trained,
        note=note,
        extra={"one_of": one_of} if one_of > 1 else {},
        **facts(training),
    )
    card.write(target.with_suffix(".json"))
    return card


def require_same_episodes(environment: Any, replay: StateReplay, packed: ActionReplay) -> None:
    """Raise `VRLError` when an episode that is simulated again differs from the recorded one."""
    for index in range(len(replay)):
        recorded, again = replay.episode(index, {}), packed.simulate(environment, index, {})
        pairs = (
            (recorded.observations["state"], again.observations["state"]),
            (recorded.rewards, again.rewards),
            (recorded.terminations, again.terminations),
        )
        if not all(np.array_equal(one, other) for one, other in pairs):
            raise VRLError(
                f"Episode {index} of the replay is another when its actions are simulated again. "
                "Ship it on the machine and with the versions that trained it."
            )


def environment_of(training: Mapping[str, Any]) -> EnvironmentConfig:
    """Return the settings of the environment that a run was trained in."""
    kinds: dict[str, type[EnvironmentConfig]] = {
        HIV_TASK: HIV,
        **dict.fromkeys(DCLAW_TASKS, DClaw),
        **dict.fromkeys(ADROIT_TASKS, Adroit),
    }
    return kinds.get(str(training["task"]), GymMuJoCo)(**training["environment"])


def policy_returns(policy: BehaviourPolicy, environment: Any, episodes: int) -> list[float]:
    """Return the returns of the stochastic policy."""
    returns = []
    for episode in range(episodes):
        seed, noise = episode_streams(EVALUATION_SEED, episode)
        played = run_episode(environment, seed, lambda state: policy.sample(state, noise))  # noqa: B023
        returns.append(played.undiscounted_return)
    return returns


def facts(training: Mapping[str, Any]) -> dict[str, Any]:
    """Return what every card of a training says of it."""
    task, steps, seed = training["task"], training["steps"], training["seed"]
    command = f"python -m vrl_envs.behaviours.train --task {task} --preset mixed"
    return {
        "training": dict(training),
        "command": f"{command} --steps {steps} --seed {seed}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": versions(),
    }
