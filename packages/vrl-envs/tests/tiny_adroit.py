"""Small stand-ins for DAPG's experts and for demonstrations of the Adroit hand."""

from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np

from vrl_envs.adroit.config import Adroit
from vrl_envs.adroit.environment import AdroitEnvironment
from vrl_envs.adroit.tasks import find_task


def expert_arrays(task: str, *, scaled: bool = True, hidden: int = 5) -> dict[str, np.ndarray]:
    """The arrays of a policy that fits a task, its weights drawn at random."""
    rng, facts = np.random.default_rng(0), find_task(task)
    sizes = (facts.observation_size, hidden, hidden, facts.action_size)
    arrays = {}
    for number, (before, after) in enumerate(pairwise(sizes)):
        arrays[f"weight_{number}"] = rng.normal(0, 0.3, (after, before)).astype(np.float32)
        arrays[f"bias_{number}"] = rng.normal(0, 0.3, after).astype(np.float32)
    given = {
        "in_shift": sizes[0],
        "in_scale": sizes[0],
        "out_shift": sizes[-1],
        "out_scale": sizes[-1],
    }
    for name, size in given.items():
        arrays[name] = rng.uniform(0.5, 1, size) if scaled else np.zeros(0)
    return {**arrays, "log_std": np.zeros(sizes[-1])}


def write_expert(folder: Path, task: str, **options) -> Path:
    path = folder / f"{task}.npz"
    np.savez(path, **expert_arrays(task, **options))
    return path


def demonstrate(task: str, seed: int, steps: int = 8) -> dict[str, np.ndarray]:
    """What D4RL records of an episode of smooth actions, some of them beyond [-1, 1]."""
    env = AdroitEnvironment(Adroit(task=task, observation="state", reward="d4rl"))
    env.reset(seed=seed)
    rng, rows = np.random.default_rng(seed), []
    action = rng.uniform(-1, 1, env.task.action_size)
    for _ in range(steps):
        action = 0.9 * action + 0.2 * rng.standard_normal(env.task.action_size)
        row = {**env.simulator_state(), "observations": env.state(), "actions": action}
        reward = env.step(np.clip(action, -1, 1).astype(np.float32))[1]
        rows.append(row | {"rewards": reward})
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def write_tables(path: Path, task: str, episodes: list[dict[str, np.ndarray]]) -> Path:
    """D4RL's form: tables of all episodes, with the simulator's state at every step."""
    infos = {"qpos", "qvel", *find_task(task).layout}
    timeouts = np.concatenate([np.arange(len(each["actions"])) == len(each["actions"]) - 1
                               for each in episodes])  # fmt: skip
    with h5py.File(path, "w") as file:
        for name in episodes[0]:
            table = np.concatenate([each[name] for each in episodes])
            file[f"infos/{name}" if name in infos else name] = table.astype(np.float32)
        file["terminals"], file["timeouts"] = np.zeros(len(timeouts), bool), timeouts
    return path


def dapg_arrays(task: str, episodes: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """DAPG's form: arrays of each episode, with the state of its first step."""
    arrays = {}
    for number, each in enumerate(episodes):
        for name, value in each.items():
            recorded = name in ("actions", "observations", "rewards")
            key = f"{name}_{number:02}" if recorded else f"init_{name}_{number:02}"
            arrays[key] = value if recorded else value[0]
    return arrays
