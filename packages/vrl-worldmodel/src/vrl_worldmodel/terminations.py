"""When an imagined episode ends, by task: the rules of Gymnasium's MuJoCo tasks on observations.

MBPO and MOPO give the model these rules instead of learning them; leaving them out costs most of
the score on tasks that end in falls (d3rlpy, issue 101). States are Gymnasium's observations
without the root's x position (ant: x and y), so that the first number is the height. Sources: the
`is_done` conditions of the tasks as MOPO's public code has them (fact F9).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jaxtyping import Bool, Float
from torch import Tensor

from vrl_core.errors import VRLError, unknown_name
from vrl_worldmodel.mopo_config import TerminationName, task_words

States = Float[Tensor, "batch state"]
Ended = Bool[Tensor, " batch"]
Termination = Callable[[Tensor], Tensor]
"""From the states that steps lead to, `(batch, state)`, to whether they end the episode."""

SMALLEST_STATE = 2
"""Numbers that the rules below read of a state."""


def never(state: States) -> Ended:
    """Nothing ends the episode (halfcheetah, HIV treatment)."""
    return state.new_zeros(len(state)).bool()


def hopper(state: States) -> Ended:
    """Fallen: height 0.7 or less, or a tilt of 0.2 rad; or a number but the height of 100.

    The public code takes the size of a comparison there, so that no lower bound is left; neither
    is there one here.
    """
    height, angle = state[:, 0], state[:, 1]
    standing = (height > 0.7) & (angle.abs() < 0.2)
    return ~(standing & (state[:, 1:] < 100).all(-1) & state.isfinite().all(-1))


def walker2d(state: States) -> Ended:
    """Height outside (0.8, 2), or a tilt of 1 rad."""
    height, angle = state[:, 0], state[:, 1]
    return ~((height > 0.8) & (height < 2.0) & (angle.abs() < 1.0))


def ant(state: States) -> Ended:
    """Height outside [0.2, 1]."""
    height = state[:, 0]
    return ~((height >= 0.2) & (height <= 1.0) & state.isfinite().all(-1))


def humanoid(state: States) -> Ended:
    """Height outside [1, 2]."""
    height = state[:, 0]
    return ~((height >= 1.0) & (height <= 2.0))


RULES: Mapping[str, Termination] = {
    "never": never,
    "halfcheetah": never,
    "hopper": hopper,
    "walker2d": walker2d,
    "ant": ant,
    "humanoid": humanoid,
}
"""Rules by name."""

_FAMILIES = {**{name: name for name in RULES if name != "never"}, "hiv": "never"}
"""Rule of each family of tasks; a task belongs to the family whose name its own begins with."""
_OF_DM_CONTROL = {f"hopper_{name}" for name in ("hop", "stand")} | {
    f"humanoid_{name}" for name in ("run", "run_pure_state", "stand", "walk")
}
"""Tasks of the DeepMind Control Suite, whose states are others and whose episodes never end."""


def termination_rule(
    name: TerminationName, task: str, state_size: int, bound: float | None = None
) -> Termination:
    """Return the rule of this name; `task` is the rule of the data's task.

    With `bound`, a state with any number of that size or more ends the episode as well. Raises
    `VRLError` for a task without a rule, and for states too small for the rule.
    """
    rule = RULES[_rule_of_task(task) if name == "task" else name]
    if rule is not never and state_size < SMALLEST_STATE:
        raise VRLError(
            f"The termination rule of {task!r} reads height and angle, but the data's states have "
            f"{state_size} numbers. Set termination to never, or use the task's own observations."
        )
    return rule if bound is None else _bounded(rule, bound)


def _rule_of_task(task: str) -> str:
    words = task_words(task)
    for family, rule in _FAMILIES.items():
        named = words == family or words.startswith(f"{family}_")
        if named and words not in _OF_DM_CONTROL:
            return rule
    problem = unknown_name("termination rule for the task", task, _FAMILIES)
    raise VRLError(
        f"{problem} Without one, imagined episodes would go on where the task ends. Set "
        f"termination to one of {', '.join(RULES)}; `never` if the task ends by time alone."
    )


def _bounded(rule: Termination, bound: float) -> Termination:
    def bounded(state: Tensor) -> Tensor:
        return rule(state) | ~(state.abs() < bound).all(-1)

    return bounded
