"""`vrl imagine`: pictures of a world model's imagination, and its error, written to a folder.

error.json, error.csv, error.md    error at every imagined step, with bootstrap intervals
error.png, error.svg               the same as curves
episode<N>.png, episode<N>.mp4     truth, reconstruction and imagination of a clip

Several runs share the pictures, and have a folder each for the errors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vrl_core.atomic import write_text
from vrl_core.device import choose_device, seed_everything
from vrl_core.errors import VRLError
from vrl_core.statistics import Summary, summary
from vrl_core.store import Store
from vrl_core.video import write_gif, write_video
from vrl_worldmodel.inspection import (
    InspectedModel,
    distinct,
    load_model,
    mismatch,
    require_match,
)
from vrl_worldmodel.open_loop import (
    Clip,
    PixelErrors,
    draw_clips,
    join_errors,
    pixel_errors,
    roll_out,
)
from vrl_worldmodel.open_loop_pictures import (
    draw_errors,
    film,
    frame_rows,
    join_rows,
    write_strip,
)
from vrl_worldmodel.text_table import markdown_table, rich_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vrl_core.registry import Registry
    from vrl_worldmodel.commands import Imagine

LABELS = {
    "imagination": "imagined",
    "repetition": "frame repeated",
    "reconstruction": "reconstructed",
}
SHOWN_STEPS = (1, 2, 5, 10, 15, 20, 30, 45)
"""Steps with a row of their own in a table; files hold every step."""


@dataclass(frozen=True, kw_only=True)
class OpenLoopResult:
    """What a model made of one store's clips."""

    model: InspectedModel
    store: Store
    clips: list[Clip]
    context: int
    errors: PixelErrors
    files: list[Path] = field(default_factory=list)
    """What was written: its errors, and those pictures that no other result has."""

    @property
    def curves(self) -> dict[str, list[Summary]]:
        """Error at each imagined step, over the clips."""
        return {name: [summary(step) for step in getattr(self.errors, name).T] for name in LABELS}

    @property
    def overall(self) -> dict[str, Summary]:
        """Error over all imagined steps, over the clips; and what imagining spares."""
        means = {name: getattr(self.errors, name).mean(1) for name in LABELS}
        spared = means["repetition"] - means["imagination"]
        return {name: summary(values) for name, values in {**means, "spared": spared}.items()}


def imagine(command: Imagine, registry: Registry) -> int:
    """Show each store to the runs' models, write what they make of it, and print the errors."""
    from rich.console import Console

    console = Console(highlight=False)
    device = choose_device(command.device)
    models = [load_model(folder, registry, device) for folder in dict.fromkeys(command.runs)]
    stores = [Store.open(path) for path in command.data]
    alone = len(models) == len(stores) == 1
    shown = [(s, fit) for s in stores if (fit := _fitting(models, s, command, alone=alone))]
    if not shown:
        raise VRLError(_none_fits(models, stores, command))
    folders = _folders(command, models[0], [store for store, _ in shown])
    for (store, fit), folder in zip(shown, folders, strict=True):
        for result in inspect_store(fit, store, command, folder):
            _print(result, command, console)
    return 0


def inspect_store(
    models: Sequence[InspectedModel], store: Store, command: Imagine, folder: Path
) -> list[OpenLoopResult]:
    """Let each model imagine the same clips; write pictures, films and errors into `folder`.

    Raises `VRLError` when the episodes are too short or the folder cannot be written.
    """
    clips = draw_clips(
        store,
        episodes=command.episodes,
        context=command.context,
        horizon=command.horizon,
        seed=command.seed,
        start=command.start,
    )
    names = distinct([model.label for model in models], [model.folder for model in models])
    looks = [look_at(model, store, clips, command) for model in models]
    results = [
        OpenLoopResult(
            model=model, store=store, clips=clips, context=command.context, errors=look.errors
        )
        for model, look in zip(models, looks, strict=True)
    ]
    with _written(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for index, clip in enumerate(clips[: command.pictures]):
            rows = join_rows(
                {name: look.rows[index] for name, look in zip(names, looks, strict=True)}
            )
            results[0].files.extend(_write_clip(rows, clip, command, folder))
        for name, result in zip(names, results, strict=True):
            place = folder if len(models) == 1 else folder / _as_file_name(name)
            place.mkdir(exist_ok=True)
            result.files.extend(_write_errors(result, command, place))
    return results


@dataclass(frozen=True)
class Look:
    """What one model makes of a store's clips, and the rows of those that are drawn."""

    errors: PixelErrors
    rows: list[dict[str, np.ndarray]]


def look_at(model: InspectedModel, store: Store, clips: list[Clip], command: Imagine) -> Look:
    """Let a model imagine the clips; another model beside it changes no number.

    Raises `VRLError` when its frames are not finite.
    """
    seed_everything(command.seed)
    parts: list[PixelErrors] = []
    rows: list[dict[str, np.ndarray]] = []
    for frames in roll_out(model.model, store, clips, command.context):
        drawn = min(len(frames.truth), command.pictures - len(rows))
        rows += [frame_rows(frames, clip) for clip in range(drawn)]
        parts.append(pixel_errors(frames))
        _require_finite(model, parts[-1])
    return Look(join_errors(parts), rows)


def _require_finite(model: InspectedModel, errors: PixelErrors) -> None:
    if not (np.isfinite(errors.imagination).all() and np.isfinite(errors.reconstruction).all()):
        raise VRLError(
            f"The world model of {model.folder} (step {model.step}) makes frames that are not "
            "finite: its training diverged. Lower model.learning_rate and train it again."
        )


def _write_clip(
    rows: Mapping[str, np.ndarray], clip: Clip, command: Imagine, folder: Path
) -> list[Path]:
    path = folder / f"episode{clip.episode}"
    frames = film(rows, command.context)
    speed = command.frames_per_second
    files = [
        write_strip(rows, command.context, path.with_suffix(".png"), command.columns),
        write_video(frames, path.with_suffix(".mp4"), speed),
    ]
    if command.gif:
        files.append(write_gif(frames, path.with_suffix(".gif"), speed))
    return files


def _write_errors(result: OpenLoopResult, command: Imagine, folder: Path) -> list[Path]:
    texts = {
        "error.json": json.dumps(result_data(result, command), indent=2) + "\n",
        "error.csv": _csv(result),
        "error.md": _markdown(result),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    curves = {LABELS[name]: points for name, points in result.curves.items()}
    drawn = draw_errors(curves, folder / "error", _title(result))
    return [*(folder / name for name in texts), *drawn]


def result_data(result: OpenLoopResult, command: Imagine) -> dict[str, Any]:
    """Return all numbers as plain data; each curve is a list over imagined steps."""
    return {
        "run": str(result.model.folder),
        "step": result.model.step,
        "model_task": result.model.spec.task,
        "model_behaviour": result.model.spec.behaviour,
        "data": dict(result.store.provenance),
        "seed": command.seed,
        "context": result.context,
        "horizon": result.errors.imagination.shape[1],
        "clips": [{"episode": clip.episode, "start": clip.start} for clip in result.clips],
        "unit": "mean squared error of colours in [0, 1]",
        "error": {
            name: [_interval(point) for point in points] for name, points in result.curves.items()
        },
        "overall": {name: _interval(numbers) for name, numbers in result.overall.items()},
    }


def error_rows(result: OpenLoopResult) -> list[list[str]]:
    """Return a header and one line of texts for each shown step, and for their mean."""
    curves, horizon = result.curves, result.errors.imagination.shape[1]
    steps = sorted({*(step for step in SHOWN_STEPS if step < horizon), horizon})
    lines = [[str(step), *(_error(curves[name][step - 1]) for name in LABELS)] for step in steps]
    mean = [f"mean 1–{horizon}", *(_error(result.overall[name]) for name in LABELS)]
    return [["step", *LABELS.values()], *lines, mean]


def verdict(result: OpenLoopResult) -> str:
    """Say whether imagining beats repeating the last frame, and how sure that is."""
    spared = result.overall["spared"]
    share = spared.mean / max(result.overall["repetition"].mean, 1e-12)
    sure = "" if spared.low > 0 or spared.high < 0 else "; the interval includes none"
    less = "less" if spared.mean >= 0 else "more"
    return (
        f"Imagining errs by {abs(share):.0%} {less} than repeating the last frame: "
        f"{spared.mean:.4f} (95% CI {spared.low:.4f} to {spared.high:.4f}) over {spared.n} "
        f"clips{sure}."
    )


def _csv(result: OpenLoopResult) -> str:
    curves = result.curves
    header = ["step", *(f"{name}{part}" for name in LABELS for part in ("", "_low", "_high"))]
    lines = [header]
    for step in range(result.errors.imagination.shape[1]):
        numbers = [x for name in LABELS for x in _interval(curves[name][step]).values()]
        lines.append([str(step + 1), *map(repr, numbers)])
    return "".join(",".join(line) + "\n" for line in lines)


def _markdown(result: OpenLoopResult) -> str:
    return (
        f"# {_title(result)}\n\nMean squared pixel error (colours in [0, 1]) with 95% bootstrap "
        f"intervals over {len(result.clips)} clips, {result.context} frames of context.\n\n"
        f"{markdown_table(error_rows(result))}\n{verdict(result)}\n"
    )


def _title(result: OpenLoopResult) -> str:
    spec = result.store.spec
    return f"{result.model.label} on {spec.task} {spec.behaviour}"


def _error(numbers: Summary) -> str:
    return f"{numbers.mean:.4f} ({numbers.low:.4f}–{numbers.high:.4f})"


def _interval(numbers: Summary) -> dict[str, float]:
    return {"mean": numbers.mean, "low": numbers.low, "high": numbers.high}


def _print(result: OpenLoopResult, command: Imagine, console: Any) -> None:
    for file in result.files:
        console.print(f"wrote {file}", soft_wrap=True)
    if len(result.clips) < command.episodes:
        console.print(f"note: the store has only {len(result.clips)} episodes", soft_wrap=True)
    horizon = result.errors.imagination.shape[1]
    if horizon < command.horizon:
        console.print(f"note: the episodes end after {horizon} imagined steps", soft_wrap=True)
    console.print(rich_table(error_rows(result), _title(result)))
    console.print(verdict(result), soft_wrap=True)


def _fitting(
    models: Sequence[InspectedModel], store: Store, command: Imagine, *, alone: bool
) -> list[InspectedModel]:
    """Return the models that can be shown a store; of several the others go on, one must fit."""
    if alone:
        require_match(models[0], store, allow_identity=command.allow_mismatch)
    fitting = []
    for model in models:
        reason = mismatch(model.spec, store.spec, allow_identity=command.allow_mismatch)
        if reason is None:
            fitting.append(model)
        else:
            whose = f" for {model.folder}" if len(models) > 1 else ""
            print(f"left out {store.path}{whose}: {reason}")
    return fitting


def _none_fits(models: Sequence[InspectedModel], stores: Sequence[Store], command: Imagine) -> str:
    paths = ", ".join(str(store.path) for store in stores)
    folders = ", ".join(str(model.folder) for model in models)
    reason = mismatch(models[0].spec, stores[0].spec, allow_identity=command.allow_mismatch)
    return f"None of {paths} can be shown to the model of {folders}: {reason}."


def _folders(command: Imagine, model: InspectedModel, stores: list[Store]) -> list[Path]:
    """Return a folder for each store: `--output`, or one in the run that says what is in it."""
    names = [f"{store.spec.task}-{store.spec.behaviour}" for store in stores]
    unique = [
        f"{name}-{number}" if names.count(name) > 1 else name for number, name in enumerate(names)
    ]
    safe = [_as_file_name(name) for name in unique]
    if command.output is not None:
        return (
            [command.output] if len(command.data) == 1 else [command.output / name for name in safe]
        )
    place = model.folder / "imagination"
    return [place / f"step_{model.step:08d}-seed{command.seed}-{name}" for name in safe]


def _as_file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "_-=." else "_" for c in name)


@contextmanager
def _written(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise VRLError(
            f"Cannot write to {folder}: {error.strerror}. Choose another --output."
        ) from error
