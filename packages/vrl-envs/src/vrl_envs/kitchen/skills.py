"""How each object of the kitchen is brought in place. Imports no simulator.

Lengths are metres, angles radians; x is to the robot's right, y ahead of it, z up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Vector = tuple[float, float, float]
AHEAD: Vector = (0.0, 1.0, 0.0)
RIGHT: Vector = (1.0, 0.0, 0.0)
LEFT: Vector = (-1.0, 0.0, 0.0)
UP: Vector = (0.0, 0.0, 1.0)
Joints = tuple[float, float, float, float, float, float, float]
Hold = Literal["grip", "between", "fist"]


@dataclass(frozen=True, kw_only=True)
class Skill:
    """Reach for a handle and take hold of it."""

    site: str
    """Mark of the model on the handle."""
    ahead: Vector = AHEAD
    """Where the hand points."""
    fingers: Vector = RIGHT
    """Where the second finger lies from the first. Opposite ways look alike, and one of them is in
    reach of the wrist."""
    depth: float = 0.02
    """How far before the mark the hand stops; its fingertips reach 0.05 further."""
    hold: Hold = "grip"
    """`grip` closes the fingers around the handle, `between` leaves it between the open fingers,
    `fist` pushes it with the closed hand."""
    ease: Joints
    """The arm's joints on the way to the handle, and afterwards as far as the hand allows."""
    offset: Vector = (0.0, 0.0, 0.0)
    """From the mark to where the hand is put, while the joint is at 0; it turns with the joint."""
    leave: Vector = (0.0, 0.0, 0.0)
    """Where the hand goes on to, once it has drawn back, so that it does not undo its work."""
    speed: float = 1.0
    """Share of the hand's full speed at which it moves what it holds."""


@dataclass(frozen=True, kw_only=True)
class Lead(Skill):
    """Lead the handle along the only way that its joint leaves it."""

    joint: str
    """Joint that is moved."""
    place: float
    """Where the joint is led; beyond its goal where the hold gives way."""
    enough: float
    """Distance from there at which it is let go."""
    turn: float = 0.0
    """Share of a hinge's turn that the hand makes with it."""
    lead: float = 0.3
    """By how much the hand leads the joint."""


@dataclass(frozen=True, kw_only=True)
class Carry(Skill):
    """Lift the handle, carry it, and set it down."""

    to: Vector
    """Where the mark is carried; it is set down at the height it had."""
    lift: float
    """How high it is lifted."""


SKILLS: Mapping[str, Lead | Carry] = {
    "microwave": Lead(
        site="microhandle_site",
        joint="microwave",
        place=-0.85,
        enough=0.15,
        ahead=(-0.6, 0.8, 0.0),
        ease=(-1.1, -1.5, 2.2, -1.75, -2.1, 0.85, 0.5),
        leave=(0.15, -0.05, 0.2),
        fingers=LEFT,
        depth=0.0,
        turn=0.3,
        lead=0.15,
        speed=0.6,
    ),
    "kettle": Carry(
        site="kettle_site",
        to=(-0.22, 0.74, 0.0),
        lift=0.05,
        fingers=UP,
        depth=0.03,
        ease=(-0.5, -1.0, 2.3, -2.65, -1.2, 0.75, 1.5),
        speed=0.5,
    ),
    "bottom_burner": Lead(
        site="knob2_site",
        joint="knob_Joint_2",
        place=-1.4,
        enough=0.6,
        fingers=UP,
        hold="fist",
        ease=(-0.6, -0.5, 1.2, -2.3, -2.0, 1.1, 1.0),
        offset=(-0.045, 0.0, 0.012),
        depth=0.035,
        lead=1.0,
    ),
    "top_burner": Lead(
        site="knob4_site",
        joint="knob_Joint_4",
        place=-1.4,
        enough=0.55,
        fingers=UP,
        hold="fist",
        ease=(-0.6, -0.5, 1.2, -2.3, -2.0, 1.1, 1.0),
        offset=(-0.045, 0.0, 0.012),
        depth=0.035,
        lead=1.0,
    ),
    "light_switch": Lead(
        site="light_site",
        joint="light_switch",
        place=-1.0,
        enough=0.35,
        fingers=LEFT,
        hold="between",
        depth=0.035,
        ease=(-1.0, -0.5, 1.6, -2.2, -1.9, 1.1, -0.6),
        lead=1.0,
    ),
    "slide_cabinet": Lead(
        site="slide_site",
        joint="slide_cabinet",
        place=0.4,
        enough=0.1,
        fingers=UP,
        hold="fist",
        ease=(-1.4, 0.8, 2.4, -2.0, -1.9, 0.5, -0.4),
        offset=(-0.06, 0.0, 0.0),
    ),
    "hinge_cabinet": Lead(
        site="hinge_site2",
        joint="right_hinge_cabinet",
        place=1.6,
        ease=(-1.0, -0.95, 1.25, -1.5, -0.1, 1.0, 0.9),
        enough=0.15,
        depth=0.0,
        turn=0.4,
        lead=0.15,
        speed=0.5,
    ),
}
"""The way with every object: doors and the kettle are held by their handles; knobs, the switch and
the sliding door are pushed."""
