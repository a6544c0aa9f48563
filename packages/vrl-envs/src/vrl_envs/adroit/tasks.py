"""What the four tasks of the Adroit hand are made of, known without importing the simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vrl_core.errors import unknown_name

MODEL_CAMERAS = ("vil_camera", "fixed")
"""Cameras of every task's model: `vil_camera` sees the whole table, `fixed` half as much."""
PEN_CAMERAS = (*MODEL_CAMERAS, "view_1", "view_2", "view_4")
BLANK_CAMERAS = ("view_3", "view_5")
"""Cameras of the pen's model that stand below the table and see nothing but its underside."""


@dataclass(frozen=True, kw_only=True)
class AdroitTask:
    """Sizes and rules of a task.

    An observation is the library's vector. Joints are those of the simulator's `qpos`, in order.
    """

    module: str
    """Module and class of the library's own environment."""
    observation_size: int
    """Numbers in an observation."""
    action_size: int
    """Numbers in an action: one for each actuated joint of arm and hand."""
    joints: int
    """Numbers in `qpos` and in `qvel`."""
    proprioception: int
    """Leading numbers of an observation that are the hand's and the arm's own joint angles."""
    observed_joints: Mapping[int, int]
    """Where observations hold joints that are not the hand's: index in it, and in `qpos`."""
    first_joint: int = 0
    """Joint that the first number of an observation is; the door's shows no `ARTz`."""
    layout: Mapping[str, int]
    """What of the scene an episode draws, by D4RL's names, and the numbers in each."""
    positions: tuple[slice, ...]
    """Angles and positions in an observation: no velocities, forces or flags."""
    success_steps: int
    """An episode has succeeded once the goal was there for more steps than these."""
    d4rl_horizon: int
    """Steps of D4RL's episodes."""


ADROIT_TASKS: Mapping[str, AdroitTask] = {
    "adroit_pen": AdroitTask(
        module="adroit_pen:AdroitHandPenEnv",
        observation_size=45,
        action_size=24,
        joints=30,
        proprioception=24,
        observed_joints={},
        layout={"desired_orien": 4},
        positions=(slice(27), slice(33, 45)),
        success_steps=20,
        d4rl_horizon=100,
    ),
    "adroit_door": AdroitTask(
        module="adroit_door:AdroitHandDoorEnv",
        observation_size=39,
        action_size=28,
        joints=30,
        proprioception=27,
        observed_joints={27: 29, 28: 28},
        first_joint=1,
        layout={"door_body_pos": 3},
        positions=(slice(38),),
        success_steps=25,
        d4rl_horizon=200,
    ),
    "adroit_hammer": AdroitTask(
        module="adroit_hammer:AdroitHandHammerEnv",
        observation_size=46,
        action_size=26,
        joints=33,
        proprioception=26,
        observed_joints={26: 26},
        layout={"board_pos": 3},
        positions=(slice(27), slice(33, 39), slice(42, 45)),
        success_steps=25,
        d4rl_horizon=200,
    ),
    "adroit_relocate": AdroitTask(
        module="adroit_relocate:AdroitHandRelocateEnv",
        observation_size=39,
        action_size=30,
        joints=36,
        proprioception=30,
        observed_joints={},
        layout={"obj_pos": 3, "target_pos": 3},
        positions=(slice(39),),
        success_steps=25,
        d4rl_horizon=200,
    ),
}
"""The tasks of DAPG (Rajeswaran et al. 2018) and D4RL, by name."""
_MEDIUM_NOISE = {
    "adroit_pen": 0.5,
    "adroit_door": 0.18,
    "adroit_hammer": 0.3,
    "adroit_relocate": 0.15,
}
_BALL_NOISE = 0.13
PEN, HAMMER, BALL = "adroit_pen", "adroit_hammer", "adroit_relocate"
DEMONSTRATED = (HAMMER, BALL)
"""Tasks that a script can act out (`demonstrators`)."""
DOOR_PALM = slice(29, 32)
"""Where the door's observation has the palm's position in metres."""


def find_task(task: str) -> AdroitTask:
    """Return a task's facts. Raises `VRLError`, with the nearest name, if there is none."""
    if task not in ADROIT_TASKS:
        raise unknown_name("Adroit task", task, ADROIT_TASKS)
    return ADROIT_TASKS[task]


def cameras_of(task: str) -> tuple[str, ...]:
    """Return the cameras that a task can be seen by."""
    return PEN_CAMERAS if task == PEN else MODEL_CAMERAS


def default_noise(task: str, *, scripted: bool) -> float:
    """Return the noise with which who acts reaches the goal in about half the episodes.

    That is DAPG's expert, or of the ball a script.
    """
    return _BALL_NOISE if scripted and task == BALL else _MEDIUM_NOISE[task]
