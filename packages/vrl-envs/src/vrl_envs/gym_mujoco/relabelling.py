"""Rewards of MOPO's out-of-distribution tasks, and old data given them (Appendix G.1).

    half-cheetah   r = min(v_x, 3) - 0.1 |a|^2 + 15 (z - z_0)     without the last term: its data
    ant            r = v_x cos(angle) + v_y sin(angle) - 0.5 |a|^2     at angle 0: its data

Velocities are those of Gymnasium's rewards: the way a step went, by the time it took. z is the
first number of the next observation. z_0 is the model's own height, 0, and not an episode's first
one, which is drawn at random and cannot be seen in a state: a reward is a function of the step.
The appendix prints max for min; Section 5.2 says that 3 is the largest velocity.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vrl_core.episodes import Dataset, DataSpec, Episode, pieces_of
from vrl_core.errors import VRLError, unknown_name
from vrl_envs.gym_mujoco.config import (
    ANT_ANGLES,
    JUMP_WEIGHTS,
    GymMuJoCo,
    JumpVelocity,
    body_of,
)

LARGEST_VELOCITY = 3.0
CHEETAH_CONTROL_WEIGHT, ANT_CONTROL_WEIGHT = 0.1, 0.5
INITIAL_HEIGHT = 0.0
ANT_SURVIVAL = 1.0
ANT_VELOCITY = slice(13, 15)
"""Where the 27 numbers of the ant's state (and D4RL's 111) hold the torso's velocity in x and y."""
RELABELLED_TASKS = (*JUMP_WEIGHTS, *ANT_ANGLES)


def task_rewards(
    config: GymMuJoCo, velocities: np.ndarray, actions: np.ndarray, next_observations: np.ndarray
) -> np.ndarray:
    """Return the rewards `(...)` of one of MOPO's tasks.

    `velocities` `(..., 2)` in x and y, `actions` `(..., action)`, `next_observations`
    `(..., observation)`.
    """
    if config.task in JUMP_WEIGHTS:
        return jump_rewards(
            velocities[..., 0],
            actions,
            next_observations[..., 0],
            weight=JUMP_WEIGHTS[config.task],
            velocity_form=config.jump_velocity,
        )
    return angle_rewards(velocities, actions, degrees=ANT_ANGLES[config.task])


def jump_rewards(
    velocity: np.ndarray,
    actions: np.ndarray,
    height: np.ndarray,
    *,
    weight: float = 15.0,
    velocity_form: JumpVelocity = "capped",
) -> np.ndarray:
    """Return the half-cheetah's rewards `(...)` of forward velocities and heights `(...)`."""
    bound = np.minimum if velocity_form == "capped" else np.maximum
    control = CHEETAH_CONTROL_WEIGHT * np.square(actions).sum(-1)
    rise = weight * (height - INITIAL_HEIGHT)
    reward: np.ndarray = bound(velocity, LARGEST_VELOCITY) - control + rise
    return reward


def angle_rewards(velocities: np.ndarray, actions: np.ndarray, *, degrees: float) -> np.ndarray:
    """Return the ant's rewards `(...)` for running at an angle, of velocities `(..., 2)`."""
    angle = np.deg2rad(degrees)
    along = velocities[..., 0] * np.cos(angle) + velocities[..., 1] * np.sin(angle)
    reward: np.ndarray = along - ANT_CONTROL_WEIGHT * np.square(actions).sum(-1)
    return reward


def logged_velocities(task: str, episode: Episode, observations: np.ndarray) -> np.ndarray:
    """Return velocities `(T, 2)` of an episode of `halfcheetah`, `ant` or `ant_forward`.

    Forward velocity is what the logged reward leaves when its other terms are taken away (of
    `halfcheetah_capped` its bounded form, see `_require_speeds`). The
    ant's sideways velocity is in no reward: it is the one its next state holds, at the end of the
    step instead of its mean.
    """
    weight = CHEETAH_CONTROL_WEIGHT if body_of(task) == "halfcheetah" else ANT_CONTROL_WEIGHT
    control = weight * np.square(episode.actions.astype(np.float64)).sum(-1)
    forward = episode.rewards + control - (ANT_SURVIVAL if task == "ant" else 0.0)
    if body_of(task) == "halfcheetah":
        return np.stack((forward, np.zeros_like(forward)), -1)
    return np.stack((forward, observations[1:, ANT_VELOCITY][:, 1]), -1)


@dataclass(frozen=True)
class RelabelledEpisodes:
    """Another dataset's episodes with one of MOPO's rewards."""

    source: Dataset
    config: GymMuJoCo
    spec: DataSpec

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int, /) -> Episode:
        """Relabel episode `index`."""
        return self._relabelled(self.source[index])

    def pieces(self, index: int, /) -> Iterator[Episode]:
        """Relabel episode `index` in pieces."""
        yield from map(self._relabelled, pieces_of(self.source, index))

    def _relabelled(self, episode: Episode) -> Episode:
        observations = np.asarray(episode.observations["state"], np.float64)
        velocities = logged_velocities(self.source.spec.task, episode, observations)
        rewards = task_rewards(
            self.config, velocities, episode.actions.astype(np.float64), observations[1:]
        )
        return replace(episode, rewards=rewards.astype(np.float32))


def relabel(source: Dataset, config: GymMuJoCo) -> RelabelledEpisodes:
    """Return a dataset of `halfcheetah` or `ant` with the rewards of one of MOPO's tasks.

    Raises `VRLError` when the data is of a body or reward that the task cannot be made of.
    """
    if config.task not in RELABELLED_TASKS:
        raise unknown_name("task with a reward of its own", config.task, RELABELLED_TASKS)
    sources = sources_of(config.task)
    if source.spec.task not in sources:
        raise VRLError(
            f"The rewards of {config.task} cannot be made from data of {source.spec.task!r}: it "
            f"takes data of {' or '.join(sources)}."
        )
    _require_velocities(source.spec)
    _require_speeds(source.spec, config.jump_velocity)
    if "state" not in source.spec.observations:
        raise VRLError(f"Data without states cannot be relabelled; it has {_names(source)}.")
    return RelabelledEpisodes(source, config, relabelled_spec(source.spec, config))


def _require_velocities(spec: DataSpec) -> None:
    settings = dict(spec.environment or {})
    if settings.get("contact_forces") or settings.get("version", "v4") != "v4":
        raise VRLError(
            f"The velocities in this data of {spec.task} cannot be told from its rewards: "
            f"it was collected with {settings}, and only v4 without contact forces has a reward "
            "of velocity, control cost and a constant."
        )


def _require_speeds(spec: DataSpec, wanted: JumpVelocity) -> None:
    """Refuse speeds that were bounded on another side: the logged rewards have lost them."""
    logged = (spec.environment or {}).get("jump_velocity", "capped")
    if spec.task in JUMP_WEIGHTS and logged != wanted:
        raise VRLError(
            f"Speeds rewarded as {logged!r} in data of {spec.task} do not tell what {wanted!r} "
            f"would reward. Ask for jump_velocity {logged!r}, or relabel data of 'halfcheetah'."
        )


def sources_of(task: str) -> tuple[str, ...]:
    """Return the tasks whose logged rewards tell what this task's rewards need."""
    if body_of(task) == "halfcheetah":
        return ("halfcheetah", "halfcheetah_capped")
    return ("ant", "ant_forward")


def relabelled_spec(spec: DataSpec, config: GymMuJoCo) -> DataSpec:
    """Describe relabelled data: another task and environment, everything else as it was."""
    environment = {
        "name": "gym-mujoco",
        "task": config.task,
        "version": config.version,
        "contact_forces": config.contact_forces,
        "jump_velocity": config.jump_velocity,
    }
    source = f"{spec.source}, rewards of {spec.task} relabelled"
    return replace(spec, task=config.task, environment=environment, source=source)


def open_relabelled(path: str, task: str, jump_velocity: JumpVelocity) -> Dataset:
    """Open a store and give it the rewards of a task. Raises `VRLError` when it cannot have them.

    A velocity that is already bounded as `jump_velocity` says stays as it is.
    """
    from vrl_core.store import Store

    return relabel(Store.open(Path(path)), GymMuJoCo(task=task, jump_velocity=jump_velocity))


def _names(source: Dataset) -> str:
    names: Sequence[str] = sorted(source.spec.observations)
    return ", ".join(names)
