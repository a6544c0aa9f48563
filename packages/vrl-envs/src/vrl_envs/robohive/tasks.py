"""Names of RoboHive's tasks, cameras and kitchen objects, known without importing the simulator."""

from __future__ import annotations

import re
from collections.abc import Mapping

from vrl_core.errors import VRLError, unknown_name

PREFIX = "robohive:"
"""Sets RoboHive's ids apart where tasks of all environments are named."""

_KITCHEN = """
Relax OpenAll CloseAll MicroOpen MicroClose RdoorOpen RdoorClose LdoorOpen LdoorClose SdoorOpen
SdoorClose LightOn LightOff Knob1On Knob1Off Knob2On Knob2Off Knob3On Knob3Off Knob4On Knob4Off
Stove1Kettle Stove4Kettle MicroSlideClose
"""
_APPLIANCES = "micro_open micro_close micro_random slide_open slide_close slide_random"
_OTHERS = """
FrankaReach FrankaPush FrankaPickPlace FetchReach DKittyStand DKittyOrient DKittyWalk
TrifingerReach
"""
HANDS = ("pen-v1", "door-v1", "hammer-v1", "relocate-v1")
"""Adroit's tasks, for which DAPG has experts."""
MEDIUM_NOISE: Mapping[str, float] = {
    "pen-v1": 0.5,
    "door-v1": 0.2,
    "hammer-v1": 0.3,
    "relocate-v1": 0.2,
}
"""Standard deviation of the noise with which a third to a half of an expert's episodes succeed."""
BAODING = ("baoding-v1", "baoding4th-v1", "baoding8th-v1")
VARIANTS = ("Fixed", "Random")
IDS = (
    *HANDS,
    *BAODING,
    *(f"FK1_{name}{variant}-v4" for name in _KITCHEN.split() for variant in VARIANTS),
    *(f"franka_{name}-v3" for name in _APPLIANCES.split()),
    *(f"{name}{variant}-v0" for name in _OTHERS.split() for variant in VARIANTS),
)
"""RoboHive's own ids of state tasks; `<name>_v2d-<version>` are the same without the state."""

KITCHEN_GOALS: Mapping[str, Mapping[str, float]] = {
    "microwave": {"micro0joint": -1.25},
    "kettle": {"kettle0:Ty": 0.78},
    "bottom_burner": {"knob2_joint": -1.57},
    "top_burner": {"knob4_joint": -1.57},
    "light_switch": {"lightswitch_joint": -0.7},
    "slide_cabinet": {"slidedoor_joint": 0.44},
    "hinge_cabinet": {"rightdoorhinge": 1.57},
}
"""Where RoboHive's own tasks want the objects that D4RL's kitchen names, in radians and metres.

D4RL's burners are the left ones, of the knobs 2 and 4; its kettle goes to the burner behind.
"""
PRESETS: Mapping[str, tuple[str, str]] = {
    "kitchen_mixed": ("FK1_RelaxFixed-v4", "microwave+kettle+bottom_burner+light_switch"),
    "kitchen_partial": ("FK1_RelaxFixed-v4", "microwave+kettle+light_switch+slide_cabinet"),
}
"""RoboHive's id and the objects of D4RL's kitchens; MOTO's text has the two names swapped."""
TASKS = (*IDS, *PRESETS)

FREE_CAMERA = "free"
"""The model's free camera, which every task has."""
_CAMERAS = {"FK1_": "left_cam", "franka_": "left_cam", "kitchen_": "left_cam"}

_ENCODED = re.compile(r"_v(r3m|rrl|vc1)\w*-v\d+$")
_PLAIN = re.compile(r"_v2d(?=-v\d+$)")
_UNLISTED = re.compile(r"(myo|Myo|motorFinger|rpFranka)\w+-v\d+")


def without_prefix(task: str) -> str:
    """Return a task's name without the `robohive:` that it may be given with."""
    return task.removeprefix(PREFIX)


def hides_state(task: str) -> bool:
    """Whether RoboHive shows images alone: its state is then the time, twice."""
    return _PLAIN.search(task) is not None


def state_task(task: str) -> str:
    """Return the id of the same task with a state: `pen-v1` for `pen_v2d-v1`."""
    return _PLAIN.sub("", task)


def check_task(task: str) -> None:
    """Raise `VRLError` for a task that RoboHive has not, or that cannot run here."""
    encoded = _ENCODED.search(task)
    if encoded:
        plain = task.replace(encoded[0], encoded[0][-3:])
        raise VRLError(
            f"{task} shows no images but what a pretrained network ({encoded[1]}) makes of them: "
            "it needs torchvision and weights from the internet, and does not run here. "
            f"{plain} is the same task with images: --environment.task {plain}"
        )
    if state_task(task) not in TASKS and not _UNLISTED.fullmatch(task):
        raise unknown_name("RoboHive task", task, TASKS, listed_by="vrl data tasks robohive")


def default_medium_noise(task: str) -> float:
    """Return the standard deviation of the noise on a medium behaviour's actions."""
    return MEDIUM_NOISE.get(state_task(task), 0.3)


def default_cameras(task: str) -> str | None:
    """Return the camera that a task is seen by unless told; None leaves it to the model."""
    if state_task(task) in HANDS:
        return "vil_camera"
    if task in BAODING:
        return FREE_CAMERA  # its cameras see the hand's back
    return next((name for start, name in _CAMERAS.items() if task.startswith(start)), None)


def joint_values(words: str, setting: str) -> dict[str, float]:
    """Return joints and their positions of words such as `microwave+knob1_joint=-1.57`.

    A word is an object of `KITCHEN_GOALS`, or a joint with its position in radians or metres.
    Raises `VRLError` for other words.
    """
    found: dict[str, float] = {}
    for word in words.split("+"):
        joint, equals, position = word.partition("=")
        if not equals:
            found |= goal_of(word, setting)
            continue
        try:
            found[joint] = float(position)
        except ValueError as error:
            raise VRLError(
                f"{setting} has {word!r}; a joint's position is a number, such as {joint}=-1.25."
            ) from error
    return found


def goal_of(word: str, setting: str) -> Mapping[str, float]:
    """Return the goal of an object. Raises `VRLError` for one that the kitchen has not."""
    if word not in KITCHEN_GOALS:
        hint = "Or give a joint and its position, such as micro0joint=-1.25; join them by +."
        raise unknown_name(f"kitchen object (in {setting})", word, KITCHEN_GOALS, hint)
    return KITCHEN_GOALS[word]
