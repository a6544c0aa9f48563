"""What a world model reconstructs, and what it imagines when the frames stop.

The first frames of a clip of logged data, the context, are shown to the model. From the latent that
it infers from them it imagines the rest from the clip's actions alone, one member of the ensemble
drawn for each step as in training (V-D4RL, Appendices C.1 and F.3; Hafner et al. 2019, Section 5).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from vrl_core.errors import VRLError
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


def read_clips(store: Store, clips: list[Clip]) -> tuple[np.ndarray, np.ndarray]:
    """Return images `(clip, time, height, width, channel)` and actions `(clip, time-1, action)`."""
    images, actions = [], []
    for clip in clips:
        episode = store[clip.episode]
        stop = clip.start + clip.length
        images.append(episode.observations["image"][clip.start : stop])
        actions.append(episode.actions[clip.start : stop - 1])
    return np.stack(images), np.stack(actions)


@torch.no_grad()
def open_loop(
    model: WorldModel,
    images: UInt8[Tensor, "clip time height width channel"],
    action: Float[Tensor, "clip time-1 action"],
    context: int,
) -> OpenLoop:
    """Reconstruct every frame, and imagine those after the first `context` without seeing them."""
    observed = model.infer(model.encode(images), action).states
    state = observed.apply(lambda part: part[:, context - 1])
    imagined = []
    for step in range(context - 1, action.shape[1]):
        state, _ = model.rssm.imagine_step(state, action[:, step])
        imagined.append(state.features)
    reconstruction, imagination = (
        model.decode(features).clamp(0, 1)
        for features in (observed.features, torch.stack(imagined, 1))
    )
    return OpenLoop(images.float() / 255, reconstruction, imagination)


def roll_out(
    model: WorldModel, store: Store, clips: list[Clip], context: int
) -> Iterator[OpenLoop]:
    """Yield the frames of all clips, a few clips at a time."""
    device = next(model.parameters()).device
    for first in range(0, len(clips), CLIPS_AT_ONCE):
        images, action = (
            torch.from_numpy(each).to(device)
            for each in read_clips(store, clips[first : first + CLIPS_AT_ONCE])
        )
        yield open_loop(model, images, action, context)


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
