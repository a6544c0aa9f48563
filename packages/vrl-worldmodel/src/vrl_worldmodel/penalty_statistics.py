"""Uncertainty penalties on the states of logged data, and the errors they should foretell.

V-D4RL's Table 13: mean and standard deviation of a penalty over 1024 states of one dataset, under
models trained on others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vrl_core.protocols import SequenceBatch, Sequences
from vrl_core.replay import Replay
from vrl_worldmodel.distributions import Latent, kl_divergence
from vrl_worldmodel.rssm import LatentState
from vrl_worldmodel.world_model import WorldModel

if TYPE_CHECKING:
    from vrl_core.protocols import EnsemblePrediction
    from vrl_core.store import Store

Penalty = Callable[["EnsemblePrediction"], Tensor]
MOST_WINDOWS = 64
"""Windows that the states are spread over when they would fit into fewer."""
WINDOWS_AT_ONCE = 16


@dataclass(frozen=True)
class StateValues:
    """Numbers of each state; arrays are `(state,)` float64."""

    penalties: dict[str, np.ndarray]
    """By name, not weighted."""
    window: np.ndarray
    """The window of an episode that the state comes from; int64."""
    pixel_error: np.ndarray | None = None
    """Mean squared error of the main camera's decoded predicted frame, of colours in [0, 1]; none
    where the model has no images."""
    divergence: np.ndarray | None = None
    """KL divergence of the next posterior from the members' predictions, mean over members."""


def state_values(
    model: WorldModel,
    store: Store,
    penalties: Mapping[str, Penalty],
    *,
    states: int,
    seed: int = 0,
    errors: bool = False,
) -> StateValues:
    """Evaluate penalties, and with `errors` the model's true errors, at states of a store.

    States are inferred along windows as in behaviour learning: windows of the model's training
    length, drawn uniformly, the latent beginning at zero. At each state the ensemble predicts the
    next latent under the logged action; one member is drawn a step. The states are drawn without
    replacement from those of the windows.
    """
    steps = int(min(model.config.sequence_length - 1, store.lengths.max()))
    windows = max(math.ceil(states / steps), min(states, MOST_WINDOWS))
    device = next(model.parameters()).device
    replay = Replay(store, device, placement="stream")
    parts: list[dict[str, Tensor]] = []
    for number, size in enumerate(_chunks(windows)):
        request = Sequences(batch_size=size, length=steps, observations=model.fields.names)
        batch = replay.batch(request, seed, number)
        assert isinstance(batch, SequenceBatch)  # what `Sequences` asks for
        parts.append(window_values(model, batch, penalties, errors=errors))
    random = np.random.default_rng(seed)
    chosen = np.sort(random.permutation(windows * steps)[:states])
    whole = {
        name: torch.cat([part[name] for part in parts]).double().cpu().numpy().reshape(-1)[chosen]
        for name in parts[0]
    }
    return StateValues(
        penalties={name: whole[f"penalty/{name}"] for name in penalties},
        window=chosen // steps,
        pixel_error=whole.get("pixel_error"),
        divergence=whole.get("divergence"),
    )


@torch.no_grad()
def window_values(
    model: WorldModel,
    batch: SequenceBatch,
    penalties: Mapping[str, Penalty],
    *,
    errors: bool,
) -> dict[str, Tensor]:
    """Return `penalty/<name>` and, with `errors`, both errors of each state `(window, step)`.

    The last observation of a window is only predicted. A model without images has no
    `pixel_error`.
    """
    observed = model.infer(model.encode(batch.observations), batch.action)
    found: dict[str, list[Tensor]] = {f"penalty/{name}": [] for name in penalties}
    pixels = []
    for step in range(batch.action.shape[1]):
        state = observed.states.apply(partial(torch.select, dim=1, index=step))
        following, prediction = model.rssm.imagine_step(state, batch.action[:, step])
        for name, penalty in penalties.items():
            found[f"penalty/{name}"].append(penalty(prediction).float())
        if errors and model.fields.main_camera is not None:
            pixels.append(_pixel_error(model, following, batch, step + 1))
    values = {name: torch.stack(steps, 1) for name, steps in found.items()}
    if pixels:
        values["pixel_error"] = torch.stack(pixels, 1)
    if errors:
        values["divergence"] = mean_divergence(
            model,
            observed.states.deterministic[:, 1:],
            observed.posterior.apply(lambda part: part[:, 1:]),
        )
    return values


def mean_divergence(model: WorldModel, deterministic: Tensor, posterior: Latent) -> Tensor:
    """Return the mean over members of KL(posterior || member's prediction), `(window, step)`.

    `deterministic` is `(window, step, deterministic)`, the posterior of the same rows.
    """
    priors = model.rssm.priors(deterministic)
    return torch.stack(
        [
            kl_divergence(posterior, priors.apply(partial(torch.select, dim=0, index=member)))
            for member in range(model.config.members)
        ]
    ).mean(0)


def _pixel_error(model: WorldModel, state: LatentState, batch: SequenceBatch, time: int) -> Tensor:
    predicted = model.decode(state.features).clamp(0, 1)
    assert model.fields.main_camera is not None  # or nothing would have been decoded
    truth = batch.observations[model.fields.main_camera][:, time]
    return (predicted - truth.float() / 255).square().mean((-3, -2, -1))


def _chunks(windows: int) -> list[int]:
    whole, rest = divmod(windows, WINDOWS_AT_ONCE)
    return [WINDOWS_AT_ONCE] * whole + [rest] * (rest > 0)
