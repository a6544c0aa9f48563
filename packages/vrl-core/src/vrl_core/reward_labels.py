"""Frames that somebody says are successes or not: drawn, shown to a person, and read back.

    labels/
      labels.csv               file,episode,step,label       label: 1, 0, or empty
      labels.json              which store the frames are of
      frames/*.png             the frames, enlarged
      positive/ negative/      frames may be moved there instead of filling the table

Step t of an episode is its frame t: 0 is the first, and the action of step t leads to frame t + 1.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vrl_core.errors import VRLError, unknown_name
from vrl_core.observations import MAIN_CAMERA, is_camera
from vrl_core.store import Store, manifest_checksum
from vrl_core.writing import explained

TABLE, FACTS, FRAMES = "labels.csv", "labels.json", "frames"
VERDICTS = {"positive": True, "negative": False}
"""Folders that label the frames in them."""
COLUMNS = ("file", "episode", "step", "label")
LABELS = {"1": True, "0": False}
PICTURE = re.compile(r"episode(\d+)_step(\d+)\.png")
SMALLEST_SIDE = 256
"""Pixels of an enlarged frame's shorter side, at least."""


@dataclass(frozen=True, order=True)
class Frame:
    """A frame of a store."""

    episode: int
    step: int

    @property
    def file(self) -> str:
        """Name of its picture."""
        return f"episode{self.episode:05d}_step{self.step:05d}.png"


Labels = Mapping[Frame, bool]


@dataclass(frozen=True, kw_only=True)
class LabelFacts:
    """What the frames of a folder are of."""

    store: str
    """Checksum of the store."""
    task: str
    camera: str
    """Observation field."""


def camera_field(store: Store, camera: str | None = None) -> str:
    """Return the observation field of a camera: the given, else `image`, else the only one.

    Raises `VRLError` when the store has no such images, or several without a word which.
    """
    cameras = [name for name, field in store.spec.observations.items() if is_camera(field)]
    if not cameras:
        raise VRLError(f"{store.path} holds no images, and a classifier of rewards needs them.")
    if camera is None and (MAIN_CAMERA in cameras or len(cameras) == 1):
        return MAIN_CAMERA if MAIN_CAMERA in cameras else cameras[0]
    if camera not in cameras:
        raise unknown_name("camera", camera or "", cameras, "Choose one with --camera.")
    return camera


def environment_camera(store: Store) -> str | None:
    """Return the camera of the environment that the data is from, where it tells."""
    camera = (store.spec.environment or {}).get("camera")
    return None if camera is None else str(camera)


def true_successes(store: Store) -> list[np.ndarray]:
    """Return for every episode whether frames 1 to T are successes, `(T,)` bool each.

    They are what the rewards say: reward t is of the frame that step t leads to. Raises `VRLError`
    for rewards that are not all 0 or 1, because those do not say it.
    """
    rewards = np.asarray(store.fields["reward"])
    values = np.unique(rewards)
    if not np.isin(values, (0, 1)).all():
        raise VRLError(
            f"The rewards of {store.path} lie between {values[0]:g} and {values[-1]:g} and are not "
            "all 0 or 1, so they do not say which frames are successes. Use a store with the "
            "simulator's sparse reward, or labels of a person."
        )
    pairs = zip(store.offsets, store.lengths, strict=True)
    return [rewards[first : first + steps] > 0 for first, steps in pairs]


def balanced_labels(store: Store, count: int, rng: np.random.Generator) -> Labels:
    """Draw frames, half of them successes, and label them by the store's rewards.

    Raises `VRLError` when there are too few of either, or the rewards do not tell.
    """
    by_verdict: dict[bool, list[Frame]] = {True: [], False: []}
    for episode, successes in enumerate(true_successes(store)):
        for step, success in enumerate(successes, start=1):
            by_verdict[bool(success)].append(Frame(episode, step))
    wanted = {True: count // 2, False: count - count // 2}
    for verdict, frames in by_verdict.items():
        if len(frames) < wanted[verdict]:
            raise VRLError(
                f"{store.path} has {len(frames)} frames that {'are' if verdict else 'are not'} "
                f"successes, and half of {count} are needed. Ask for --frames "
                f"{2 * len(frames)} or fewer, or collect more episodes."
                if frames
                else f"In {store.path} {'no' if verdict else 'every'} frame is a success, so there "
                "is nothing to tell apart. Collect more episodes."
            )
    chosen = {
        frames[index]: verdict
        for verdict, frames in by_verdict.items()
        for index in rng.choice(len(frames), wanted[verdict], replace=False)
    }
    return dict(sorted(chosen.items()))


def draw_frames(
    store: Store, count: int, ending_share: float, rng: np.random.Generator
) -> list[Frame]:
    """Draw frames for a person to label, some of them the last ones of episodes.

    A goal is reached late if at all, so frames drawn from anywhere alone would show few successes.
    Raises `VRLError` when the store has not so many frames.
    """
    steps = store.lengths
    if count > steps.sum():
        raise VRLError(
            f"{store.path} has {steps.sum()} frames to label, not {count}. Ask for fewer --frames."
        )
    endings = min(len(store), round(count * ending_share))
    episodes = rng.choice(len(store), endings, replace=False)
    chosen = {Frame(int(episode), int(steps[episode])) for episode in episodes}
    ends = np.cumsum(steps)
    for number in rng.permutation(int(ends[-1])):
        if len(chosen) == count:
            break
        episode = int(np.searchsorted(ends, number, side="right"))
        chosen.add(Frame(episode, int(number - ends[episode] + steps[episode]) + 1))
    return sorted(chosen)


def write_labels(
    folder: Path, store: Store, camera: str, frames: Sequence[Frame], labels: Labels | None = None
) -> None:
    """Write the frames as pictures, and a table of them with the labels there are.

    Raises `VRLError` when the folder exists: somebody's labels may be in it.
    """
    from PIL import Image

    from vrl_core.video import visible_frames

    if folder.exists():
        raise VRLError(f"{folder} exists already, and labels are not overwritten. Choose another.")
    facts = LabelFacts(store=manifest_checksum(store.manifest), task=store.spec.task, camera=camera)
    with explained(folder):
        (folder / FRAMES).mkdir(parents=True)
        for verdict in VERDICTS:
            (folder / verdict).mkdir()
        for frame, image in zip(frames, images_of(store, camera, frames), strict=True):
            picture = visible_frames(image[None], SMALLEST_SIDE)[0]
            Image.fromarray(picture).save(folder / FRAMES / frame.file)
        (folder / TABLE).write_text(_table(frames, labels or {}), encoding="utf-8")
        (folder / FACTS).write_text(json.dumps(asdict(facts), indent=1) + "\n", encoding="utf-8")


def _table(frames: Sequence[Frame], labels: Labels) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for frame in frames:
        label = {True: "1", False: "0", None: ""}[labels.get(frame)]
        writer.writerow((frame.file, frame.episode, frame.step, label))
    return text.getvalue()


def images_of(store: Store, camera: str, frames: Iterable[Frame]) -> Iterator[np.ndarray]:
    """Yield frames of a store, `(height, width, channel)` uint8 each."""
    field = store.fields[f"observation.{camera}"]
    for frame in frames:
        yield np.asarray(field[store.offsets[frame.episode] + frame.step])


def read_labels(path: Path, store: Store) -> Labels:
    """Read a folder of labels, or a table alone, for frames of a store; unlabelled ones are out.

    Raises `VRLError` for a missing or malformed table, labels other than 0 and 1, frames that the
    store has not, labels that contradict each other, a folder that is of another store, and
    labels that are all alike.
    """
    table = path / TABLE if path.is_dir() else path
    if not table.is_file():
        raise VRLError(
            f"There are no labels at {table}. `vrl reward label STORE {path}` writes a table to "
            "fill in; its columns are episode, step and label."
        )
    if path.is_dir():
        _require_store(path, store)
    labels: dict[Frame, bool] = {}
    for line, frame, verdict in _rows(table):
        _require_frame(frame, store, f"{table}, line {line}")
        _add(labels, frame, verdict, f"{table}, line {line}")
    for file, frame, verdict in _moved(path, table):
        _require_frame(frame, store, str(file))
        _add(labels, frame, verdict, str(file))
    _require_both(labels, path)
    return dict(sorted(labels.items()))


def _rows(table: Path) -> Iterator[tuple[int, Frame, bool]]:
    """Yield line number, frame and label of each labelled row."""
    text = table.read_text(encoding="utf-8-sig")  # spreadsheets begin with a mark
    header = text.partition("\n")[0]
    rows = csv.DictReader(io.StringIO(text), delimiter=";" if ";" in header else ",")
    missing = {"episode", "step", "label"} - {name.strip() for name in rows.fieldnames or ()}
    if missing:
        raise VRLError(
            f"{table} lacks the column {' and '.join(sorted(missing))}. Its first line is "
            f"{header.strip()!r}; it must name episode, step and label."
        )
    for row in rows:
        values = {str(name).strip(): str(value or "").strip() for name, value in row.items()}
        if not values["label"]:
            continue
        where = f"{table}, line {rows.line_num}"
        if values["label"] not in LABELS:
            raise VRLError(
                f"{where}: the label is {values['label']!r}. Write 1 for a success, 0 for none, "
                "or nothing for a frame that cannot be told."
            )
        yield (
            rows.line_num,
            _frame(values["episode"], values["step"], where),
            LABELS[values["label"]],
        )


def _frame(episode: str, step: str, where: str) -> Frame:
    try:
        return Frame(int(episode), int(step))
    except ValueError as error:
        raise VRLError(
            f"{where}: episode {episode!r} and step {step!r} must be whole numbers."
        ) from error


def _moved(path: Path, table: Path) -> Iterator[tuple[Path, Frame, bool]]:
    """Yield the frames that were moved to a folder which labels them."""
    if path == table:
        return
    for verdict, value in VERDICTS.items():
        for file in sorted((path / verdict).glob("*")):
            named = PICTURE.fullmatch(file.name)
            if named is None:
                raise VRLError(f"{file} is none of the frames that were written for labelling.")
            yield file, Frame(int(named[1]), int(named[2])), value


def _add(labels: dict[Frame, bool], frame: Frame, verdict: bool, where: str) -> None:
    if labels.setdefault(frame, verdict) != verdict:
        raise VRLError(
            f"{where}: step {frame.step} of episode {frame.episode} is labelled {int(verdict)} "
            f"here and {int(not verdict)} elsewhere. Keep one of the two."
        )


def _require_frame(frame: Frame, store: Store, where: str) -> None:
    if not 0 <= frame.episode < len(store):
        raise VRLError(
            f"{where}: there is no episode {frame.episode}; {store.path} has episodes 0 to "
            f"{len(store) - 1}."
        )
    steps = int(store.lengths[frame.episode])
    if not 0 <= frame.step <= steps:
        raise VRLError(
            f"{where}: episode {frame.episode} has no step {frame.step}; its frames are 0 to "
            f"{steps}."
        )


def _require_store(folder: Path, store: Store) -> None:
    """Refuse labels that were made for another store; a folder without its facts may be any's."""
    facts = folder / FACTS
    if not facts.is_file():
        return
    try:
        made_for = LabelFacts(**json.loads(facts.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise VRLError(
            f"{facts} cannot be read ({error}). Delete it if the labels are of {store.path}."
        ) from error
    if made_for.store != manifest_checksum(store.manifest):
        raise VRLError(
            f"The labels in {folder} were made for another store (of {made_for.task!r}) than "
            f"{store.path}. Give --data the store that they were made for."
        )


def _require_both(labels: Labels, path: Path) -> None:
    positives = sum(labels.values())
    if positives in (0, len(labels)):
        raise VRLError(
            f"{path} labels {positives} frames as successes and {len(labels) - positives} as none; "
            "a classifier needs both. Label more frames, by hand or with more --frames."
        )
