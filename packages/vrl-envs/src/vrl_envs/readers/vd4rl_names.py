"""Names of the V-D4RL datasets: the paper's, the folders', and how large each should be.

Sources: the paper's Table 5 (sizes) and Section 3 (names); the published folder tree
`main/<task>/<quality>/<size>`, `distracting/<task>_<quality>/<size>/<difficulty>` and
`multitask/<task>_<quality>/<size>`. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vrl_core.errors import VRLError, unknown_name
from vrl_envs.settings import QUALITY_ALIASES, canonical_quality

DATASET = "v-d4rl"
"""Name under which the dataset is registered."""
ACTION_SIZES: Mapping[str, int] = {"walker_walk": 6, "cheetah_run": 6, "humanoid_walk": 21}
"""Tasks, and the numbers in an action of each."""
QUALITIES = ("random", "mixed", "medium", "medium_expert", "expert")
SUITES = ("main", "distracting", "multitask")
SIZES = ("64px", "84px")
DIFFICULTIES = ("easy", "medium", "hard")
SHIFTS: Mapping[tuple[str, str], str] = {
    ("distracting", "walker_walk"): "one fixed distraction",
    ("distracting", "cheetah_run"): "one fixed distraction",
    ("multitask", "walker_walk"): "limb lengths len_1 to len_8",
    ("multitask", "cheetah_run"): "torso lengths 1 to 8",
}
"""What the data of a shifted suite was collected with: the training half of the shift. Distractions
were drawn once (`fixed_easy`, `fixed_medium`, `fixed_hard`) for all episodes; of the ten bodies of
a task eight were used."""

_LARGER = {
    ("cheetah_run", "mixed"): 200_000,
    ("humanoid_walk", "mixed"): 600_000,
    **{(task, "medium_expert"): 200_000 for task in ACTION_SIZES},
}


def published_transitions(task: str, quality: str) -> int:
    """Return the transitions of a dataset of the main suite (Table 5)."""
    return _LARGER.get((task, quality), 100_000)


def task_name(name: str) -> str:
    """Return the task of that name; `walker-walk` is `walker_walk`. Raises `VRLError`."""
    plain = name.lower().replace("-", "_")
    if plain not in ACTION_SIZES:
        raise unknown_name("V-D4RL task", name, ACTION_SIZES)
    return plain


def quality_name(name: str) -> str:
    """Return the quality of that name; the folders' and the paper's both do. Raises `VRLError`."""
    plain = canonical_quality(name.lower())
    if plain not in QUALITIES:
        raise unknown_name("V-D4RL quality", name, (*QUALITIES, *QUALITY_ALIASES))
    return plain


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What a folder's path says about the data in it."""

    suite: str = "main"
    task: str | None = None
    quality: str | None = None
    difficulty: str | None = None


def labels_of(parts: Iterable[str], suite: str | None = None) -> Labels:
    """Read suite, task and quality off the parts of a path; the innermost that fits counts.

    A `suite` that is known already is not looked for.
    """
    names = [part.lower().replace("-", "_") for part in parts]
    suite = suite or next((name for name in reversed(names) if name in SUITES), "main")
    difficulty = None
    # `medium` is a quality in the main suite and a difficulty in the distracting one.
    if suite == "distracting" and names[-1] in DIFFICULTIES:
        difficulty = names.pop()
    task = quality = None
    for name in reversed(names):
        found_task, found_quality = _task_and_quality(name)
        task, quality = task or found_task, quality or found_quality
    return Labels(suite=suite, task=task, quality=quality, difficulty=difficulty)


def _task_and_quality(name: str) -> tuple[str | None, str | None]:
    """Split `walker_walk`, `medexp`, `cheetah_run_medium_expert` or `cheetah_medium_expert`."""
    if canonical_quality(name) in QUALITIES:
        return None, canonical_quality(name)
    for task in ACTION_SIZES:
        if name == task:
            return task, None
        for prefix in (f"{task}_", f"{task.split('_')[0]}_"):
            rest = canonical_quality(name.removeprefix(prefix))
            if name.startswith(prefix) and rest in QUALITIES:
                return task, rest
    return None, None


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published dataset."""

    folder: str
    """Its folder in the published tree, such as `main/walker_walk/medium_replay/64px`."""
    task: str
    quality: str
    size: str
    """`64px` or `84px`."""

    @property
    def suite(self) -> str:
        """`main`, `distracting` or `multitask`."""
        return self.folder.split("/")[0]

    @property
    def default_store(self) -> str:
        """Where its store goes unless told otherwise, relative to the current folder."""
        if self.suite == "main":
            return f"data/{self.task}/{self.quality}/{self.size}"
        return f"data/{self.folder}"


def parse_identifier(identifier: str) -> Published:
    """Return the dataset of an identifier such as `v-d4rl/walker_walk/medium_expert/84px`.

    The first word may be missing, and `main` or `vd4rl/main` may follow it. Raises `VRLError`
    with the nearest match when a part is not known.
    """
    parts = [part for part in identifier.strip().split("/") if part]
    for prefix in (DATASET, "vd4rl"):
        if parts and parts[0].lower() == prefix:
            del parts[0]
    suite = parts.pop(0).lower() if parts and parts[0].lower() in SUITES else "main"
    if suite == "main":
        return _parse_main(identifier, parts)
    return _parse_shifted(identifier, suite, parts)


def _parse_main(identifier: str, parts: list[str]) -> Published:
    if len(parts) != 3:
        raise _malformed(identifier)
    task, quality, size = task_name(parts[0]), quality_name(parts[1]), _size_name(parts[2])
    folder = "medium_replay" if quality == "mixed" else quality
    return Published(folder=f"main/{task}/{folder}/{size}", task=task, quality=quality, size=size)


def _parse_shifted(identifier: str, suite: str, parts: list[str]) -> Published:
    """Parse the rest of a distracting or multitask identifier.

    The folder's name is kept as given: which of these exist, the hub knows.
    """
    if len(parts) != (3 if suite == "distracting" else 2):
        raise _malformed(identifier)
    task, quality = _task_and_quality(parts[0].lower())
    if task is None or quality is None:
        known = (f"{task}_{quality}" for task in ACTION_SIZES for quality in QUALITIES)
        raise unknown_name(f"V-D4RL {suite} dataset", parts[0], known)
    size = _size_name(parts[1])
    if suite == "distracting" and parts[2] not in DIFFICULTIES:
        raise unknown_name("V-D4RL difficulty", parts[2], DIFFICULTIES)
    folder = "/".join([suite, parts[0], size, *parts[2:]])
    return Published(folder=folder, task=task, quality=quality, size=size)


def _size_name(name: str) -> str:
    plain = name.lower().removesuffix("px") + "px"
    if plain not in SIZES:
        raise unknown_name("V-D4RL image size", name, SIZES)
    return plain


def _malformed(identifier: str) -> VRLError:
    return VRLError(
        f"{identifier!r} does not name a V-D4RL dataset. The names are "
        f"{DATASET}/<task>/<quality>/<size>, {DATASET}/distracting/<task>_<quality>/<size>/"
        f"<difficulty> and {DATASET}/multitask/<task>_<quality>/<size>, such as "
        f"{DATASET}/walker_walk/medium_expert/84px. Tasks: {', '.join(ACTION_SIZES)}; qualities: "
        f"{', '.join(QUALITIES)}; sizes: {', '.join(SIZES)}; difficulties: "
        f"{', '.join(DIFFICULTIES)}."
    )
