"""Settings of V-D4RL's shifted tasks: distractions and limb lengths. Imports no simulator.

Sections 4.1, 4.2 and Appendix B of the paper; the numbers are those of its public environments,
which take the distractions from the Distracting Control Suite (Stone et al., 2021) and the limb
lengths from MTEnv.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vrl_core.errors import VRLError, unknown_name
from vrl_envs.dmc.tasks import TASKS
from vrl_envs.settings import check_choice

Draw = Literal["fixed", "fresh"]
Background = Literal["procedural", "videos"]

NONE = "none"
DIFFICULTIES = ("low", "moderate", "high")
"""The paper's names of the shift severities."""
DIFFICULTY_ALIASES: Mapping[str, str] = {"easy": "low", "medium": "moderate", "hard": "high"}
"""The names in the published folders and in the Distracting Control Suite."""
PARTS = ("background", "camera", "colour")
"""What can be distracted, in the order of its canonical spelling."""
UNDISTRACTED_DOMAINS = ("humanoid", "humanoid_CMU", "quadruped")

STOCK = "stock"
LIMBS = "ABCDEFGH"
"""Limb lengths in increasing order."""
LIMB_SETS: Mapping[str, str] = {"train": "BCFG", "interpolate": "DE", "extrapolate": "AH"}
"""Limb lengths of V-D4RL's multitask data, and of its two kinds of tests (Section 4.2)."""
STOCK_LIMBS: Mapping[str, str] = {"walker": "C", "cheetah": "A"}
"""Domains with limb lengths, and which of them is the suite's own."""


@dataclass(frozen=True, kw_only=True)
class Shift:
    """What is seen, or moves, otherwise than in the suite."""

    distraction: str = NONE
    """Difficulty of visual distractions: `none`, `low`, `moderate` or `high` (`easy`, `medium`
    and `hard` are the same)."""
    distraction_draw: Draw = "fixed"
    """`fixed`: the one distraction of each difficulty that V-D4RL's data has; `fresh`: another at
    each reset, drawn from its seed, as in V-D4RL's tests."""
    distraction_parts: str = "+".join(PARTS)
    """What is distracted: `background`, `camera` and `colour`, or some of them joined by `+`."""
    distraction_background: Background = "procedural"
    """Pictures behind the scene: `procedural` textures, or the first frames of `videos`."""
    video_folder: Path | None = None
    """Folder of the videos: DAVIS 2017, or one with a folder of frames for each video; by default
    `DAVIS` in `$VRL_HOME`."""
    limb: str = STOCK
    """Length of the walker's left foot or the cheetah's torso: `stock`, a letter from A to H, or
    several, one of which is drawn at each reset: `train` (BCFG), `interpolate` (DE),
    `extrapolate` (AH)."""

    @property
    def parts(self) -> tuple[str, ...]:
        """What is distracted, nothing without a distraction."""
        return () if self.distraction == NONE else tuple(self.distraction_parts.split("+"))

    @property
    def limbs(self) -> tuple[str, ...]:
        """The limb lengths that occur."""
        return (self.limb,) if self.limb == STOCK else tuple(self.limb)


def settle(shift: Shift, task: str, observation: str) -> None:
    """Give every setting its one spelling; those that a distraction would need become defaults.

    So equal environments have equal settings. Raises `VRLError` for what does not exist or does
    not fit the task, or changes nothing of an `observation`.
    """
    values: dict[str, Any] = {
        "distraction": difficulty_name(shift.distraction),
        "distraction_parts": _parts_name(shift.distraction_parts),
        "limb": limb_name(shift.limb, task),
    }
    check_choice("distraction_draw", shift.distraction_draw, ("fixed", "fresh"))
    check_choice("distraction_background", shift.distraction_background, ("procedural", "videos"))
    if shift.video_folder is not None and (
        values["distraction"] == NONE or shift.distraction_background != "videos"
    ):
        raise VRLError(
            "video_folder is where the videos behind a distracted scene lie, and there are none: "
            f"distraction is {values['distraction']} and distraction_background "
            f"{shift.distraction_background}. Leave it out, or choose a distraction with "
            "distraction_background videos."
        )
    if values["distraction"] != NONE and observation == "state":
        raise VRLError(
            "A distraction is seen in images alone, and observation is state. Leave one of the "
            "two out."
        )
    if values["distraction"] == NONE:
        values |= {name: getattr(Shift, name) for name in _OF_A_DISTRACTION}
    elif TASKS[task][0] in UNDISTRACTED_DOMAINS:
        raise VRLError(
            f"{task} has no distractions: they move the camera around the task, and neither V-D4RL "
            "nor the Distracting Control Suite gives ranges for humanoid and quadruped. V-D4RL's "
            "distracted tasks are walker_walk and cheetah_run."
        )
    for name, value in values.items():
        object.__setattr__(shift, name, value)


_OF_A_DISTRACTION = (
    "distraction_draw",
    "distraction_parts",
    "distraction_background",
    "video_folder",
)


def refuse_without_distraction(shift: Shift) -> None:
    """Raise `VRLError` for settings of a distraction, or of its background, without one."""
    if shift.distraction_background != Shift.distraction_background:
        given = shift.distraction_parts.split("+")
        if shift.distraction != NONE and "background" not in given:
            raise VRLError(
                f"distraction_background is {shift.distraction_background}, but the background is "
                f"none of the distraction_parts, {shift.distraction_parts}. Leave it out, or add "
                "the part: --distraction-parts background+..."
            )
    idle = [name for name in _OF_A_DISTRACTION if getattr(shift, name) != getattr(Shift, name)]
    if shift.distraction == NONE and idle:
        raise VRLError(
            f"{idle[0]} says how to distract, but distraction is none. Choose one of "
            f"{', '.join(DIFFICULTIES)}, such as --distraction moderate."
        )


def difficulty_name(name: str) -> str:
    """Return the paper's name of a difficulty, or `none`. Raises `VRLError`."""
    plain = DIFFICULTY_ALIASES.get(name, name)
    if plain not in (NONE, *DIFFICULTIES):
        raise unknown_name("distraction", name, (NONE, *DIFFICULTIES, *DIFFICULTY_ALIASES))
    return plain


def limb_name(name: str, task: str) -> str:
    """Return the letters of a limb setting in order; the suite's own alone is `stock`.

    Raises `VRLError` for a task without limb lengths or a letter that does not exist.
    """
    if name == STOCK:
        return STOCK
    domain = TASKS[task][0]
    if domain not in STOCK_LIMBS:
        raise VRLError(
            f"{task} has no limb lengths; walker and cheetah tasks have. Leave limb at {STOCK}."
        )
    letters = LIMB_SETS.get(name, name)
    if not letters or not set(letters) <= set(LIMBS):
        raise unknown_name("limb", name, (STOCK, *LIMBS, *LIMB_SETS))
    plain = "".join(sorted(set(letters)))
    return STOCK if plain == STOCK_LIMBS[domain] else plain


def _parts_name(name: str) -> str:
    chosen = name.split("+")
    for part in chosen:
        if part not in PARTS:
            hint = "Join several by +, such as background+camera."
            raise unknown_name("part of a distraction", part, PARTS, hint)
    return "+".join(part for part in PARTS if part in chosen)
