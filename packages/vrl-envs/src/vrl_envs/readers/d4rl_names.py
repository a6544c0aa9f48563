"""What D4RL's file names tell: task, behaviour, and what the task is made of.

Names are those of the published files, of both versions: `halfcheetah_medium-v2`, `pen-human-v1`,
`pen-v0_demos_clipped`, `mini_kitchen_microwave_kettle_light_slider-v0`. Imports nothing heavy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from vrl_envs.settings import canonical_quality

KITCHEN_PARTS: Mapping[str, int] = {"robot": 9, "objects": 21, "goal": 30}
"""Parts of Kitchen's observations, in order, and the numbers in each."""
KITCHEN_SUBTASKS: Mapping[str, str] = {
    "complete": "microwave, kettle, light switch, slide cabinet",
    "partial": "microwave, kettle, light switch, slide cabinet",
    "mixed": "microwave, kettle, bottom burner, light switch",
}
"""Subtasks whose completion pays, by dataset."""
TIME_LIMITS: Mapping[str, int] = {
    "kitchen": 280,
    "pen": 100,
    "hammer": 200,
    "door": 200,
    "relocate": 200,
}
"""Steps after which D4RL cuts episodes of a task; of Gymnasium's, 1000."""
_GYM = re.compile(
    r"(?P<task>halfcheetah|hopper|walker2d|walker|ant)[_-]"
    r"(?P<quality>random|medium|expert|mixed|full)"
    r"(?:[_-](?P<more>replay|expert))?(?:[_-]v\d)?$"
)
_ADROIT = re.compile(
    r"(?P<task>pen|hammer|door|relocate)[_-](?:v\d[_-])?(?P<quality>human|cloned|expert|demos)"
    r"(?P<rest>[_-].*)?$"
)
_KITCHEN = {
    "mini_kitchen_microwave_kettle_light_slider": "complete",
    "kitchen_microwave_kettle_light_slider": "partial",
    "kitchen_microwave_kettle_bottomburner_light": "mixed",
    **{f"kitchen_{quality}": quality for quality in KITCHEN_SUBTASKS},
}


def names_of(path: Path) -> tuple[str | None, str | None]:
    """Return the task and the behaviour in a file's name, if they are there."""
    stem = path.stem.lower()
    plain = re.sub(r"[_-]v\d$", "", stem).replace("-", "_")
    if plain in _KITCHEN:
        return "kitchen", _KITCHEN[plain]
    adroit = _ADROIT.match(stem)
    if adroit is not None:
        return adroit["task"], _adroit_quality(adroit)
    match = _GYM.search(stem)
    if match is None:
        return None, None
    task = "walker2d" if match["task"] == "walker" else match["task"]
    quality = "_".join(part for part in (match["quality"], match["more"]) if part)
    return task, canonical_quality(quality)


def time_limit_of(task: str | None) -> int:
    """Return the steps after which episodes of a task are cut off."""
    return TIME_LIMITS.get(task or "", 1000)


def provenance(task: str, quality: str) -> str:
    """Return what a store's manifest says of where the data is from."""
    subtasks = KITCHEN_SUBTASKS.get(quality) if task == "kitchen" else None
    return f"D4RL, subtasks {subtasks}" if subtasks else "D4RL"


def _adroit_quality(match: re.Match[str]) -> str:
    """Return `human` for demonstrations and `cloned` for what a policy made of them did as well."""
    if match["quality"] != "demos":
        return match["quality"]
    return "cloned" if "bc-combined" in (match["rest"] or "") else "human"
