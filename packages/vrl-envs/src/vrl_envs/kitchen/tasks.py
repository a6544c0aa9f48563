"""Objects, tasks and views of Franka Kitchen, known without importing the simulator."""

from __future__ import annotations

from collections.abc import Mapping

from vrl_core.errors import VRLError, unknown_name

OBJECTS: Mapping[str, str] = {
    "microwave": "microwave",
    "kettle": "kettle",
    "bottom_burner": "bottom burner",
    "top_burner": "top burner",
    "light_switch": "light switch",
    "slide_cabinet": "slide cabinet",
    "hinge_cabinet": "hinge cabinet",
}
"""Gymnasium Robotics' name of every object that a task can ask for."""

_WITH_CABINET = ("microwave", "kettle", "light_switch", "slide_cabinet")
_WITH_BURNER = ("microwave", "kettle", "bottom_burner", "light_switch")
TASKS: Mapping[str, tuple[str, ...]] = {
    "kitchen_complete": _WITH_CABINET,
    "kitchen_partial": _WITH_CABINET,
    "kitchen_mixed": _WITH_BURNER,
    "kitchen_moto_partial": _WITH_BURNER,
    "kitchen_moto_mixed": _WITH_CABINET,
    **{f"kitchen_{name}": (name,) for name in OBJECTS},
}
"""Objects of every task. `kitchen_partial` and `kitchen_mixed` are D4RL's; MOTO's text (Appendix
C.1) gives each name the other's objects."""

PLAYED = 4
"""Objects that an episode of play is about, as in Relay Policy Learning's demonstrations."""
LAST = ("hinge_cabinet",)
"""Objects whose turn comes last: the open door hangs before the burners' knobs and the switch."""

CENTRAL = "central"
CAMERAS = (CENTRAL, "lexa")
"""Relay Policy Learning's and D4RL's view, and LEXA's. The model has none on the wrist, and its own
two see little but the counter."""


def check_task(task: str) -> None:
    """Raise `VRLError`, with the nearest name, unless there is such a task."""
    if task not in TASKS:
        raise unknown_name("Kitchen task", task, TASKS, "Or name the objects: --objects")


def split_objects(objects: str) -> tuple[str, ...]:
    """Return the objects that a setting names, joined by `+`.

    Raises `VRLError` for one that the kitchen has not or that is named twice.
    """
    names = tuple(name.strip() for name in objects.split("+"))
    for name in names:
        if name not in OBJECTS:
            raise unknown_name("Kitchen object", name, OBJECTS, "Join several by +.")
    if len(set(names)) < len(names):
        raise VRLError(f"objects is {objects}; each object counts once.")
    return names
