"""Names of the DeepMind Control Suite's tasks, known without importing the simulator."""

from __future__ import annotations

from collections.abc import Mapping

from vrl_core.errors import unknown_name

_TASKS_OF_DOMAIN = {
    "acrobot": "swingup swingup_sparse",
    "ball_in_cup": "catch",
    "cartpole": "balance balance_sparse swingup swingup_sparse two_poles three_poles",
    "cheetah": "run",
    "dog": "stand walk trot run fetch",
    "finger": "spin turn_easy turn_hard",
    "fish": "upright swim",
    "hopper": "stand hop",
    "humanoid": "stand walk run run_pure_state",
    "humanoid_CMU": "stand walk run",
    "lqr": "lqr_2_1 lqr_6_2",
    "manipulator": "bring_ball bring_peg insert_ball insert_peg",
    "pendulum": "swingup",
    "point_mass": "easy hard",
    "quadruped": "walk run escape fetch",
    "reacher": "easy hard",
    "stacker": "stack_2 stack_4",
    "swimmer": "swimmer6 swimmer15",
    "walker": "stand walk run",
}

TASKS: Mapping[str, tuple[str, str]] = {
    f"{domain}_{task}": (domain, task)
    for domain, tasks in _TASKS_OF_DOMAIN.items()
    for task in tasks.split()
}
"""dm_control's domain and task of every task name, such as `walker_walk`."""

SHOWN_TASKS = ("walker_walk", "cheetah_run", "humanoid_walk", "cartpole_swingup")
"""V-D4RL's three tasks (Section 3), and the small one that the quickstart learns."""


def check_task(task: str) -> None:
    """Raise `VRLError`, with the nearest name, unless the suite has this task."""
    if task not in TASKS:
        raise unknown_name("dm_control task", task, TASKS, listed_by="vrl data tasks dmc")
