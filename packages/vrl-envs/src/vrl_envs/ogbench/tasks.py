"""Names of OGBench's single-task problems, known without importing it.

Ours are OGBench's with underscores and without what says how a task is seen or what data it has:
`cube_single_task1` is `visual-cube-single-play-singletask-task1-v0` and all its relatives.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from vrl_core.errors import VRLError, unknown_name

TASKS_EACH = 5
"""Tasks of every environment, numbered from 1."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """What OGBench's environments of one kind share."""

    horizon: int
    """Steps after which OGBench cuts an episode."""
    default: int
    """The task that OGBench takes when none is named."""
    images: bool = True
    """Whether OGBench has a version seen as images."""


_MAZE = {
    f"{body}maze_{maze}": Family(
        horizon=steps if maze != "giant" or body != "humanoid" else 4000,
        default=1,
        images=body != "point",
    )
    for body, steps in (("point", 1000), ("ant", 1000), ("humanoid", 2000))
    for maze in ("medium", "large", "giant", "teleport")
}
_CUBES = {
    f"cube_{number}": Family(horizon=steps, default=2, images=number != "octuple")
    for number, steps in (
        ("single", 200),
        ("double", 500),
        ("triple", 1000),
        ("quadruple", 1000),
        ("octuple", 1500),
    )
}
_PUZZLES = {
    f"puzzle_{size}": Family(horizon=steps, default=default)
    for size, steps, default in (
        ("3x3", 500, 4),
        ("4x4", 500, 4),
        ("4x5", 1000, 2),
        ("4x6", 1000, 2),
    )
}
ENVIRONMENTS: Mapping[str, Family] = {
    **_MAZE,
    **{
        f"antsoccer_{field}": Family(horizon=1000, default=4, images=False)
        for field in ("arena", "medium")
    },
    **_CUBES,
    "scene": Family(horizon=750, default=2),
    **_PUZZLES,
}
"""OGBench's environments, by its own names with underscores."""
TASKS: tuple[str, ...] = tuple(
    f"{name}_task{number}" for name in ENVIRONMENTS for number in range(1, TASKS_EACH + 1)
)
"""Every task, such as `cube_single_task1`."""
DATA_TYPES = ("play", "noisy", "navigate", "stitch", "explore")
"""Behaviours of OGBench's published data; a part of its data's names."""

_DECORATION = re.compile(rf"(^|_)(visual|singletask|{'|'.join(DATA_TYPES)}|v0)(?=_|$)")
_NUMBERED = re.compile(r"(?P<environment>\w+)_task(?P<number>\d+)")


def canonical_task(name: str) -> str:
    """Return a task's name here; OGBench's own names of it are understood.

    `cube_single` is OGBench's default task of that environment. Raises `VRLError`, with the
    nearest name, when OGBench has no such task.
    """
    plain = _DECORATION.sub("", name.lower().replace("-", "_")).strip("_")
    if plain in ENVIRONMENTS:
        plain = f"{plain}_task{ENVIRONMENTS[plain].default}"
    if plain.startswith("powderworld"):
        raise VRLError(
            "OGBench's powderworld has discrete actions and no task with rewards; VRL learns "
            "actions in [-1, 1]. It is not supported."
        )
    if plain not in TASKS:
        raise unknown_name("OGBench task", name, TASKS, listed_by="vrl data tasks ogbench")
    return plain


def environment_of(task: str) -> str:
    """Return the environment of a task, such as `cube_single`."""
    return task.rpartition("_")[0]


def default_horizon(task: str) -> int:
    """Return the steps after which OGBench cuts an episode of a task."""
    return ENVIRONMENTS[environment_of(task)].horizon


def identifier(task: str, *, images: bool, single_task: bool = True) -> str:
    """Return Gymnasium's name of a task, or of its environment without rewards.

    `visual-cube-single-singletask-task1-v0`, or `visual-cube-single-v0`.
    """
    environment, _, number = task.rpartition("_")
    words = ["visual"] if images else []
    words += [environment.replace("_", "-")]
    words += ["singletask", number] if single_task else []
    return "-".join([*words, "v0"])


def check_images(task: str) -> None:
    """Raise `VRLError` where OGBench draws no images of a task."""
    if not ENVIRONMENTS[environment_of(task)].images:
        raise VRLError(
            f"OGBench has no version of {environment_of(task)} seen as images. Ask for "
            "observation state, or for another task, such as antmaze_medium_task1."
        )


def has_arm(task: str) -> bool:
    """Return whether a task is one of the robot arm's, for which OGBench has scripted oracles."""
    return task.startswith(("cube_", "scene_", "puzzle_"))
