"""The walker with a longer or shorter left foot and the cheetah with a longer torso.

Lengths as in MTEnv's models, of which V-D4RL's settings A to H (Section 4.2) are the first eight.
"""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from vrl_envs.dmc.shift import LIMBS, STOCK


def set_limb(physics: Any, domain: str, limb: str) -> None:
    """Give a loaded simulation the model of a limb length; `stock` changes nothing."""
    from dm_control.suite import common

    if limb != STOCK:
        physics.reload_from_xml_string(limb_model(domain, limb), common.ASSETS)


def limb_model(domain: str, limb: str) -> str:
    """Return the suite's XML of the domain with one capsule's length changed.

    The walker's left foot has a half-length of 0.08 (A), 0.09, 0.10 (C, the suite's), ... 0.15 m
    (H); the cheetah's torso one of 0.5 (A, the suite's), 0.6, ... 1.2 m (H), its legs where they
    were.
    """
    from dm_control.suite import common

    root = ElementTree.fromstring(common.read_model(f"{domain}.xml"))
    level = LIMBS.index(limb)
    name = "left_foot" if domain == "walker" else "torso"
    (capsule,) = root.findall(f".//geom[@name='{name}']")
    if domain == "walker":
        radius = capsule.attrib["size"].split()[0]
        capsule.set("size", f"{radius} {(8 + level) / 100}")
    else:
        half = (5 + level) / 10
        capsule.set("fromto", f"-{half} 0 0 {half} 0 0")
    return ElementTree.tostring(root, encoding="unicode")
