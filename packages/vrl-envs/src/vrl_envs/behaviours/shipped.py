"""Where behaviours lie: `policies/<task>/<quality>.safetensors` and `replays/<task>.safetensors`.

Beside each file is its card, with the same name and `.json`.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from vrl_core.errors import VRLError

SHIPPED = Path(__file__).parent
"""Folder of the behaviours that come with this package."""


def policy_path(task: str, quality: str, folder: str | Path | None = None) -> Path:
    """Return a policy's file. Raises `VRLError` that names what exists when it is missing."""
    root = SHIPPED if folder is None else Path(folder)
    path = root / "policies" / task / f"{quality}.safetensors"
    if not path.is_file():
        raise _missing(f"{task} {quality!r}", task, root)
    return path


def replay_path(task: str, folder: str | Path | None = None) -> Path:
    """Return a replay's file. Raises `VRLError` that names what exists when it is missing."""
    root = SHIPPED if folder is None else Path(folder)
    path = root / "replays" / f"{task}.safetensors"
    if not path.is_file():
        raise _missing(f"{task} 'mixed'", task, root)
    return path


def available(folder: str | Path | None = None) -> dict[str, tuple[str, ...]]:
    """Return the qualities of every task that a policy or a replay exists for."""
    root = SHIPPED if folder is None else Path(folder)
    found: dict[str, set[str]] = {}
    for path in root.glob("policies/*/*.safetensors"):
        found.setdefault(path.parent.name, set()).add(path.stem)
    for path in root.glob("replays/*.safetensors"):
        found.setdefault(path.stem, set()).add("mixed")
    for qualities in found.values():
        if {"medium", "expert"} <= qualities:
            qualities.add("medium_expert")
    return {task: tuple(sorted(qualities)) for task, qualities in sorted(found.items())}


def _missing(asked: str, task: str, root: Path) -> VRLError:
    known = available(root)
    nearest = difflib.get_close_matches(task, known, n=1, cutoff=0.5)
    listing = "; ".join(f"{name}: {', '.join(qualities)}" for name, qualities in known.items())
    place = "is shipped" if root == SHIPPED else f"is in {root}"
    parts = [f"No behaviour for {asked} {place}."]
    if nearest and nearest[0] != task:
        parts.append(f"The nearest task is {nearest[0]!r}.")
    parts.append(f"There are {listing or 'none'}. Every task has 'random', which needs no file.")
    parts.append(
        f"Train one with `python -m vrl_envs.behaviours.train --task {task} --preset expert "
        "--output <folder>`."
    )
    return VRLError(" ".join(parts))
