"""Names of MetaWorld's tasks and cameras, known without importing the simulator."""

from __future__ import annotations

from collections.abc import Mapping

from vrl_core.errors import unknown_name

_NAMES = """
assembly basketball bin-picking box-close button-press-topdown button-press-topdown-wall
button-press button-press-wall coffee-button coffee-pull coffee-push dial-turn disassemble
door-close door-lock door-open door-unlock hand-insert drawer-close drawer-open faucet-open
faucet-close hammer handle-press-side handle-press handle-pull-side handle-pull lever-pull
peg-insert-side pick-place-wall pick-out-of-hole reach push-back push pick-place plate-slide
plate-slide-side plate-slide-back plate-slide-back-side peg-unplug-side soccer stick-push
stick-pull push-wall reach-wall shelf-place sweep-into sweep window-open window-close
"""

SAWYER_DOOR = "sawyer_door_open"
"""LOMPO's Sawyer Door Open: MetaWorld's door in one place, seen larger and from its side."""
TASKS: Mapping[str, str] = {
    **{name.replace("-", "_"): f"{name}-v3" for name in _NAMES.split()},
    SAWYER_DOOR: "door-open-v3",
}
"""MetaWorld's name of every task, such as `drawer_open`."""
MOTO_TASKS = (
    "assembly",
    "bin_picking",
    "box_close",
    "coffee_push",
    "disassemble",
    "door_open",
    "drawer_open",
    "hammer",
    "plate_slide",
    "window_open",
)
"""The ten tasks of MOTO (Appendix C, Figure 7)."""
FIXED_LAYOUTS: Mapping[str, tuple[float, float, float]] = {SAWYER_DOOR: (0.0, 1.0, 0.1525)}
"""Where the door stands, metres, in tasks whose episodes all begin alike."""

TURNED_CAMERAS = ("corner", "corner2", "corner3", "corner4")
"""Cameras that MetaWorld has upside down; their images are turned by half a circle."""
DOOR_CAMERA = "sawyer_door"
"""LOMPO's view of its door."""
CAMERAS = (
    *TURNED_CAMERAS,
    "topview",
    "behindGripper",
    "gripperPOV",
    DOOR_CAMERA,
)


_NOISE = {"expert": 0.0, "medium": 0.5}
_DOOR_NOISE = {"expert": 0.1, "medium": 1.5}
# Without noise all episodes of a fixed layout would be the same. Its door forgives more, too: noise
# of 1 keeps it in place once it is open, and would earn more than an expert does.


def check_task(task: str) -> None:
    """Raise `VRLError`, with the nearest name, unless MetaWorld or LOMPO has this task."""
    if task not in TASKS:
        raise unknown_name("MetaWorld task", task, TASKS, listed_by="vrl data tasks metaworld")


def default_camera(task: str) -> str:
    """Return the camera that a task is seen by unless told."""
    return DOOR_CAMERA if task == SAWYER_DOOR else "corner4"


def default_noise(task: str, quality: str) -> float:
    """Return the standard deviation of the noise on the actions of `expert` or `medium`."""
    return (_DOOR_NOISE if task == SAWYER_DOOR else _NOISE)[quality]


def default_episodes(task: str, quality: str) -> int:
    """Return how many demonstrations MOTO has of a task (Appendix C.2: 9 to 10), else 200."""
    return 10 if quality == "expert" and task != SAWYER_DOOR else 200


def default_size(task: str) -> int:
    """Return the papers' image size: LOMPO's door has 128 pixels, MOTO's tasks 64."""
    return 128 if task == SAWYER_DOOR else 64
