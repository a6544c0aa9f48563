"""What a world model reconstructs, and what it imagines when the frames stop.

The first frames of a clip of logged data, the context, are shown to the model. From the latent that
it infers from them it imagines the rest from the clip's actions alone, one member of the ensemble
drawn for each step as in training (V-D4RL, Appendices C.1 and F.3; Hafner et al. 2019, Section 5).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vrl_core.errors import VRLError
from vrl_core.protocols import Observations
from vrl_core.store import Store
from vrl_worldmodel.world_model import WorldModel

CLIPS_AT_ONCE = 8
FEWEST_IMAGINED = 2
"""Frames after the context that an episode must have to be of use."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """`length` consecutive observations of an episode, from row `start` of it."""

    episode: int
    start: int
    length: int


@dataclass(frozen=True)
class OpenLoop:
    """Frames of a batch of clips, colours in [0, 1]. `imagination` begins after the context."""

    truth: Float[Tensor, "clip time height width channel"]
    reconstruction: Float[Tensor, "clip time height width channel"]
    imagination: Float[Tensor, "clip horizon height width channel"]

    @property
    def context(self) -> int:
        """Frames that the model was shown."""
        return self.truth.shape[1] - self.imagination.shape[1]


@dataclass(frozen=True)
class PixelErrors:
    """Mean squared errors of colours in [0, 1], of each clip at each step after the context."""

    imagination: np.ndarray
    """`(clip, horizon)`."""
    repetition: np.ndarray
    """Of showing the last frame of the context again and again, `(clip, horizon)`."""
    reconstruction: np.ndarray
    """Of the decoded posterior, which has seen the frame, `(clip, horizon)`."""


def draw_clips(
    store: Store,
    *,
    episodes: int,
    context: int,
    horizon: int,
    seed: int = 0,
    start: int | None = None,
) -> list[Clip]:
    """Draw a clip of `context + horizon` frames from each of several episodes.

    Episodes are drawn without replacement, and the clip's first frame in each unless `start` says
    where it lies. Where too few episodes are long enough, the longest are taken and the horizon is
    shortened for all; where there are too few at all, all are taken.

    Raises `VRLError` when an episode would have fewer than `FEWEST_IMAGINED` frames to imagine.
    """
    random = np.random.default_rng(seed)
    frames = store.lengths + 1 - (start or 0)
    order = random.permutation(len(store))
    long_enough = order[frames[order] >= context + horizon]
    if len(long_enough) >= min(episodes, len(store)):
        chosen = long_enough[:episodes]
    else:
        chosen = order[np.argsort(-frames[order], kind="stable")][:episodes]
    length = int(min(context + horizon, frames[chosen].min()))
    if length < context + FEWEST_IMAGINED:
        raise VRLError(_too_short(store, context, start, len(chosen)))
    room = store.lengths[chosen] + 1 - length
    first = random.integers(room + 1) if start is None else np.full(len(chosen), start)
    return [
        Clip(episode=int(episode), start=int(row), length=length)
        for episode, row in zip(chosen, first, strict=True)
    ]


def read_clips(
    store: Store, clips: list[Clip], fields: Sequence[str]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return observations `(clip, time, ...)` and actions `(clip, time-1, action)`."""
    shown: dict[str, list[np.ndarray]] = {name: [] for name in fields}
    actions = []
    for clip in clips:
        episode = store[clip.episode]
        stop = clip.start + clip.length
        for name, rows in shown.items():
            rows.append(episode.observations[name][clip.start : stop])
        actions.append(episode.actions[clip.start : stop - 1])
    return {name: np.stack(rows) for name, rows in shown.items()}, np.stack(actions)


@torch.no_grad()
def open_loop(
    model: WorldModel,
    observations: Observations,
    action: Float[Tensor, "clip step action"],
    context: int,
) -> OpenLoop:
    """Reconstruct every frame, and imagine those after the first `context` without seeing them.

    The frames are the main camera's; raises `VRLError` for a model without images.
    """
    observed = model.infer(model.encode(observations), action).states
    state = observed.apply(lambda part: part[:, context - 1])
    imagined = []
    for step in range(context - 1, action.shape[1]):
        state, _ = model.rssm.imagine_step(state, action[:, step])
        imagined.append(state.features)
    reconstruction, imagination = (
        model.decode(features).clamp(0, 1)
        for features in (observed.features, torch.stack(imagined, 1))
    )
    assert model.fields.main_camera is not None  # or nothing would have been decoded
    truth = observations[model.fields.main_camera].float() / 255
    return OpenLoop(truth, reconstruction, imagination)


def roll_out(
    model: WorldModel, store: Store, clips: list[Clip], context: int
) -> Iterator[OpenLoop]:
    """Yield the frames of all clips, a few clips at a time."""
    device = next(model.parameters()).device
    for first in range(0, len(clips), CLIPS_AT_ONCE):
        chosen = clips[first : first + CLIPS_AT_ONCE]
        shown, action = read_clips(store, chosen, model.fields.names)
        observations = {name: torch.from_numpy(rows).to(device) for name, rows in shown.items()}
        yield open_loop(model, observations, torch.from_numpy(action).to(device), context)


def pixel_errors(frames: OpenLoop) -> PixelErrors:
    """Compare each way of guessing the frames after the context with the truth."""
    context = frames.context
    truth, last = frames.truth[:, context:], frames.truth[:, context - 1 : context]
    return PixelErrors(
        imagination=_squared(frames.imagination - truth),
        repetition=_squared(last - truth),
        reconstruction=_squared(frames.reconstruction[:, context:] - truth),
    )


def join_errors(parts: list[PixelErrors]) -> PixelErrors:
    """Put the clips of several batches together."""
    return PixelErrors(
        imagination=np.concatenate([part.imagination for part in parts]),
        repetition=np.concatenate([part.repetition for part in parts]),
        reconstruction=np.concatenate([part.reconstruction for part in parts]),
    )


def _squared(difference: Tensor) -> np.ndarray:
    mean: np.ndarray = difference.square().mean((-3, -2, -1)).double().cpu().numpy()
    return mean


def _too_short(store: Store, context: int, start: int | None, wanted: int) -> str:
    place = f" from frame {start}" if start else ""
    longest = np.sort(store.lengths + 1)[::-1][:wanted].tolist()
    return (
        f"{wanted} clips{place} with a context of {context} frames need episodes of at least "
        f"{(start or 0) + context + FEWEST_IMAGINED} frames; the longest in {store.path} have "
        f"{', '.join(map(str, longest[:5]))}. Lower --context, --start or --episodes."
    )
