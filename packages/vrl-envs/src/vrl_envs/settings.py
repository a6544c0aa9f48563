"""What the settings of several environments have in common. Imports no simulator."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from vrl_core.errors import VRLError, unknown_name

Rendering = Literal["reference", "fast"]
Observation = Literal["pixels", "state", "both"]

QUALITIES = ("random", "mixed", "medium", "medium_expert", "expert", "random_expert")
"""Behaviours of V-D4RL's datasets (Section 3.2, and Figure 7)."""
QUALITY_ALIASES = {"medexp": "medium_expert", "medium_replay": "mixed"}
"""Other names in use for the same behaviours."""


def canonical_quality(name: str) -> str:
    """Return the behaviour's own name: `medium-replay` and `medium_replay` are `mixed`.

    A name that is none of `QUALITIES` is kept, with `_` for `-`.
    """
    plain = name.replace("-", "_")
    return QUALITY_ALIASES.get(plain, plain)


def settle_quality(dataset: Any, known: Sequence[str], owner: str = "") -> str:
    """Give a dataset's quality its one spelling, and return it.

    Raises `VRLError`, with the name that was given, for one that is not `known` of the `owner`.
    """
    given = dataset.quality
    quality = canonical_quality(given)
    if quality not in known:
        others = [alias for alias, name in QUALITY_ALIASES.items() if name in known]
        noun = f"behaviour quality of {owner}" if owner else "behaviour quality"
        raise unknown_name(noun, given, (*known, *others))
    object.__setattr__(dataset, "quality", quality)
    return quality


def check_view(size: int | None, rendering: str, observation: str) -> None:
    """Raise `VRLError` unless an environment can be seen like that, `size` pixels high and wide."""
    check_at_least("size", size or 0, 1)
    check_choice("rendering", rendering, ("reference", "fast"))
    check_choice("observation", observation, ("pixels", "state", "both"))


def camera_names(cameras: str) -> tuple[str, ...]:
    """Return the cameras that are joined by `+`. Raises `VRLError` when one is named twice."""
    names = tuple(cameras.split("+"))
    if len(set(names)) < len(names):
        raise VRLError(f"The cameras {cameras} have one twice. Name each once.")
    return names


def camera_fields(cameras: str) -> dict[str, str]:
    """Return the camera of each image field: `image`, and of further ones `image_<camera>`."""
    from vrl_core.observations import MAIN_CAMERA  # imports NumPy, which settings do without

    main, *others = camera_names(cameras)
    return {MAIN_CAMERA: main} | {f"{MAIN_CAMERA}_{name}": name for name in others}


def check_cameras(kind: str, cameras: str, known: Iterable[str]) -> None:
    """Raise `VRLError`, with the nearest one, for a camera that is none of the known ones."""
    names = tuple(known)
    for name in camera_names(cameras):
        check_known(kind, name, names)


def check_known(kind: str, name: str, known: Iterable[str]) -> None:
    """Raise `VRLError`, with the nearest one, for a name that is none of the known ones."""
    names = tuple(known)
    if name not in names:
        raise unknown_name(kind, name, names)


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise `VRLError` for a value that is none of the choices."""
    check_known(f"value of {name}", value, choices)


def check_at_least(name: str, value: float, least: float) -> None:
    """Raise `VRLError` for a number below the least sensible one."""
    if value < least:
        raise VRLError(f"{name} is {value}; it must be at least {least}.")


def require_folder(setting: str, folder: str | Path | None) -> None:
    """Raise `VRLError`, with the nearest one beside it, for a named folder that does not exist.

    For when it is about to be read: settings of data are read where its folders may be missing.
    """
    if folder is None or Path(folder).is_dir():
        return
    path = Path(folder)
    beside = [each.name for each in path.parent.glob("*") if each.is_dir()]
    nearest = difflib.get_close_matches(path.name, beside, n=1)
    meant = f" Did you mean {path.with_name(nearest[0])}?" if nearest else ""
    raise VRLError(
        f"{folder} is a file; {setting} takes a folder."
        if path.exists()
        else f"There is no folder {folder}, which the setting {setting} names.{meant}"
    )
