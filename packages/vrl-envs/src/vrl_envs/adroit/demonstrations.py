"""Files of human demonstrations of the Adroit hand, read as what was recorded.

Two forms: DAPG's as plain arrays (`actions_NN`, `observations_NN`, `rewards_NN`, `init_qpos_NN`,
`init_qvel_NN` and the scene, such as `init_door_body_pos_NN`) and D4RL's HDF5 tables with `infos`.
Row t holds the observation, the action taken at it, and that action's reward.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vrl_core.errors import VRLError
from vrl_envs.adroit.pickles import PICKLES, refuse_pickle
from vrl_envs.adroit.tasks import AdroitTask, find_task
from vrl_envs.readers.d4rl_dataset import episode_bounds, open_tables
from vrl_envs.readers.damage import damaged

RECORDED = ("actions", "observations", "rewards")


@dataclass(frozen=True, kw_only=True)
class SimulatorState:
    """A state to begin at."""

    qpos: np.ndarray
    """Joints `(joints,)`."""
    qvel: np.ndarray
    """Their velocities `(joints,)`."""
    layout: Mapping[str, np.ndarray]
    """What the scene has drawn, by D4RL's names."""


@dataclass(frozen=True, kw_only=True)
class Demonstration:
    """What was recorded of one demonstration of T steps."""

    actions: np.ndarray
    """`(T, action)` float64, as recorded: they may leave [-1, 1]."""
    observations: np.ndarray
    """`(T, state)` float64: the observation that each action was taken at."""
    rewards: np.ndarray
    """`(T,)` float64."""
    states: tuple[SimulatorState, ...]
    """The first state, or one for each step."""

    def __len__(self) -> int:
        return len(self.actions)


@dataclass(frozen=True, kw_only=True)
class DemonstrationFile:
    """A file of demonstrations, each read when it is asked for."""

    path: Path
    count: int
    every_state: bool
    """Whether it has the simulator's state at every step, not only at the first."""
    read: Callable[[int], Demonstration]


def open_demonstrations(path: Path, task: str) -> DemonstrationFile:
    """Open a file of a task's demonstrations.

    Raises `VRLError` when it is missing, damaged, a pickle, of another form or of another task.
    """
    path = path.expanduser()
    if path.suffix in PICKLES:
        raise refuse_pickle(path, str(path.with_suffix(".npz")))
    if not path.is_file():
        raise VRLError(
            f"There is no file {path}. Name D4RL's demonstrations, such as door-human-v1.hdf5, or "
            "DAPG's as .npz."
        )
    if path.suffix in (".hdf5", ".h5"):
        return _open_tables(path, task)
    if path.suffix == ".npz":
        return _open_arrays(path, task)
    raise VRLError(
        f"{path} is no file of demonstrations by its name; they are .hdf5 (D4RL's) or .npz (DAPG's "
        "as plain arrays)."
    )


def _open_arrays(path: Path, task: str) -> DemonstrationFile:
    facts = find_task(task)
    with damaged(path), np.load(path, allow_pickle=False) as archive:
        arrays = {name: np.asarray(archive[name]) for name in archive.files}
    labels = sorted(match[1] for name in arrays if (match := re.fullmatch(r"actions_(\d+)", name)))
    if not labels:
        raise VRLError(
            f"{path} holds no demonstrations: there is no actions_00, but "
            f"{', '.join(sorted(arrays)[:6]) or 'nothing'}."
        )
    needed = (*RECORDED, "init_qpos", "init_qvel", *(f"init_{name}" for name in facts.layout))
    for label in labels:
        missing = [f"{name}_{label}" for name in needed if f"{name}_{label}" not in arrays]
        if missing:
            raise VRLError(f"{path} lacks {', '.join(missing)}: are these episodes of {task}?")
        _check(path, task, {name: arrays[f"{name}_{label}"] for name in needed})

    def read(index: int) -> Demonstration:
        def of(name: str) -> np.ndarray:
            return np.asarray(arrays[f"{name}_{labels[index]}"], np.float64)

        observations = of("observations")
        state = SimulatorState(
            qpos=with_observed_joints(facts, of("init_qpos"), observations[0]),
            qvel=of("init_qvel"),
            layout={name: of(f"init_{name}") for name in facts.layout},
        )
        return Demonstration(
            actions=of("actions"),
            observations=observations,
            rewards=of("rewards").reshape(-1),
            states=(state,),
        )

    return DemonstrationFile(path=path, count=len(labels), every_state=False, read=read)


def _open_tables(path: Path, task: str) -> DemonstrationFile:
    facts = find_task(task)
    file = open_tables(path)
    infos = ("qpos", "qvel", *facts.layout)
    missing = [f"infos/{name}" for name in infos if f"infos/{name}" not in file]
    if missing:
        there = ", ".join(f"infos/{name}" for name in file.get("infos", ())) or "no infos"
        raise VRLError(
            f"{path} lacks {', '.join(missing)}; it has {there}. Without the simulator's states "
            f"nothing can be drawn: is it D4RL's file of {task} demonstrations?"
        )
    _check(path, task, {name: file[name] for name in RECORDED})
    with damaged(path):
        _check(path, task, {f"init_{name}": file[f"infos/{name}"][0] for name in infos})
        rows = {name: len(file[f"infos/{name}"]) for name in infos}
        if set(rows.values()) != {len(file["actions"])}:
            raise VRLError(f"{path} has {len(file['actions'])} actions, but of infos {rows}.")
        bounds = episode_bounds(file, path, facts.d4rl_horizon)

    def read(index: int) -> Demonstration:
        rows = slice(bounds[index].start, bounds[index].stop)
        with damaged(path):
            tables = {name: np.asarray(file[f"infos/{name}"][rows], np.float64) for name in infos}
            recorded: dict[str, Any] = {
                name: np.asarray(file[name][rows], np.float64) for name in RECORDED
            }
        states = tuple(
            SimulatorState(
                qpos=tables["qpos"][row],
                qvel=tables["qvel"][row],
                layout={name: tables[name][row] for name in facts.layout},
            )
            for row in range(len(tables["qpos"]))
        )
        recorded["rewards"] = recorded["rewards"].reshape(-1)
        return Demonstration(**recorded, states=states)

    return DemonstrationFile(path=path, count=len(bounds), every_state=True, read=read)


def with_observed_joints(task: AdroitTask, qpos: np.ndarray, observation: np.ndarray) -> np.ndarray:
    """Return joints `(joints,)` where those that an observation shows are as it shows them.

    DAPG's files say that every demonstration begins with all joints at zero, while its first
    observation has the arm up to half a radian away; from there a replay stays several times
    nearer to the recording.
    """
    joints = qpos.copy()
    shown = slice(task.first_joint, task.first_joint + task.proprioception)
    joints[shown] = observation[: task.proprioception]
    for place, joint in task.observed_joints.items():
        joints[joint] = observation[place]
    return joints


def _check(path: Path, task: str, arrays: Mapping[str, Any]) -> None:
    """Raise `VRLError` for arrays of sizes that the task has not, or that are not finite."""
    facts = find_task(task)
    sizes = {
        "actions": facts.action_size,
        "observations": facts.observation_size,
        "init_qpos": facts.joints,
        "init_qvel": facts.joints,
        **{f"init_{name}": size for name, size in facts.layout.items()},
    }
    for name, array in arrays.items():
        if name in sizes and array.shape[-1:] != (sizes[name],):
            raise VRLError(
                f"{path} has {name} of shape {array.shape}; those of {task} end in {sizes[name]}. "
                "It is another task's file."
            )
        if not np.isfinite(array).all():
            raise VRLError(f"{path} has {name} that are not all finite.")
    steps = {name: len(array) for name, array in arrays.items() if not name.startswith("init_")}
    if len(set(steps.values())) > 1 or 0 in steps.values():
        raise VRLError(f"{path} has different numbers of steps, or none: {steps}.")
