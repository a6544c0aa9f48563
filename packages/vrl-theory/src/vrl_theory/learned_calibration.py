"""Penalties of a learned model of states against its true error, with the help of a simulator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Int
from numpy import ndarray
from torch import Tensor

from vrl_core.config import from_data
from vrl_core.errors import VRLError
from vrl_core.protocols import EnsemblePrediction
from vrl_theory.calibration import ByHorizon
from vrl_theory.empirical import Penalty, choose_episodes, imagined
from vrl_theory.rollout_model import RolloutModel

if TYPE_CHECKING:
    from vrl_core.hooks import EnvironmentConfig
    from vrl_core.registry import Registry
    from vrl_core.store import Store

Simulator = Callable[[ndarray, ndarray], tuple[ndarray, ndarray]]
"""From states `(batch, state)` and actions `(batch, action)` to next states and rewards."""
DRAWS = 8
"""Draws from every member's prediction by which its distance from the truth is estimated."""


@dataclass(frozen=True, kw_only=True)
class RolloutErrors:
    """Penalties and true errors at imagined states, by horizon `(horizon, rollout)`."""

    penalties: Mapping[str, ByHorizon]
    """By name, not weighted."""
    errors: ByHorizon
    episodes: Int[ndarray, " rollout"]
    """Number of the episode that each rollout began in."""


def find_simulator(store: Store, registry: Registry) -> Simulator:
    """Return `simulate` of the environment that the data names.

    Raises `VRLError` when it names none, or one that cannot be set to a state.
    """
    if store.spec.environment is None:
        raise VRLError(
            f"The true error needs a simulator, and {store.path} names no environment. Give data "
            "that was collected in one."
        )
    config: EnvironmentConfig = from_data("environments", dict(store.spec.environment), registry)
    environment = config.build()
    if not environment.has_wrapper_attr("simulate"):
        raise VRLError(
            f"The true error needs a simulator that can be set to a state, and "
            f"{store.spec.environment.get('name')} has no method simulate(state, action). Without "
            "one, `vrl penalties --calibration` compares penalties with errors on logged frames."
        )
    simulate: Simulator = environment.get_wrapper_attr("simulate")
    return simulate


@torch.no_grad()
def rollout_errors(
    model: RolloutModel,
    store: Store,
    penalties: Mapping[str, Penalty],
    simulate: Simulator,
    *,
    horizon: int,
    episodes: int,
    device: torch.device,
    seed: int = 0,
) -> RolloutErrors:
    """Imagine logged actions from logged states; compare each step with the simulator's.

    The error is of the members that rollouts draw from, the model's `elites` if it has such.
    Raises `VRLError` when the model is not one of states, and as `choose_episodes` does.
    """
    if model.fields != ("state",):
        raise VRLError(
            f"True errors are computed of models of states; this one observes "
            f"{', '.join(model.fields)}. See `vrl penalties --calibration` for models of images."
        )
    found: dict[str, list[ndarray]] = {name: [] for name in [*penalties, ""]}
    episodes_of = []
    elites = getattr(model, "elites", None)
    for number in choose_episodes(store, model, horizon=horizon, episodes=episodes, seed=seed):
        parts: dict[str, list[ndarray]] = {name: [] for name in found}
        for name, values in _episode(
            imagined(model, store, number, horizon, device), penalties, simulate, elites
        ):
            parts[name].append(values)
        for name, steps in parts.items():
            found[name].append(np.stack(steps))
        episodes_of.append(np.full(found[""][-1].shape[1], number))
    joined = {name: np.concatenate(each, axis=1) for name, each in found.items()}
    return RolloutErrors(
        errors=joined.pop(""), penalties=joined, episodes=np.concatenate(episodes_of)
    )


def transport_errors(
    prediction: EnsemblePrediction, truth: Tensor, elites: Tensor | None = None
) -> Tensor:
    """Return the 1-Wasserstein distance of the ensemble's mixture from a certain outcome.

    The mixture is of the `elites`, of which a rollout draws one a step; none is all members.
    Against a deterministic simulator that is the expected distance |s' - T(s, a)| of a draw s',
    here the mean over `DRAWS` draws of every member; `truth` is `(batch, feature)`, in the data's
    units, the reward last (MOPO, footnote 3).
    """
    assert prediction.mean is not None, "models of states predict Gaussians"
    assert prediction.std is not None
    mean, std = prediction.mean, prediction.std
    if elites is not None:
        mean, std = mean[elites.to(mean.device)], std[elites.to(std.device)]
    noise = torch.randn((DRAWS, *mean.shape), device=truth.device, dtype=truth.dtype)
    drawn = mean + std * noise
    distance: Tensor = torch.linalg.vector_norm(drawn - truth, dim=-1).mean((0, 1))
    return distance


def _episode(
    steps: Iterator[tuple[Any, Tensor, EnsemblePrediction]],
    penalties: Mapping[str, Penalty],
    simulate: Simulator,
    elites: Tensor | None,
) -> Iterator[tuple[str, ndarray]]:
    """Yield each penalty's values by its name, and the errors under no name, step after step."""
    for state, action, prediction in steps:
        for name, penalty in penalties.items():
            yield name, penalty(prediction).double().cpu().numpy()
        truth = _truth(simulate, state, action)
        yield "", transport_errors(prediction, truth, elites).double().cpu().numpy()


def _truth(simulate: Simulator, state: Tensor, action: Tensor) -> Tensor:
    """Return what the simulator does, `(batch, state + 1)`, after checking it."""
    try:
        following, reward = simulate(state.cpu().numpy(), action.cpu().numpy())
    except VRLError as error:
        raise VRLError(
            f"{error} An imagined state was asked about: shorten --horizon, so that the model does "
            "not leave what the simulator knows."
        ) from error
    wanted = (tuple(state.shape), (len(state),))
    if (following.shape, reward.shape) != wanted:
        raise VRLError(
            f"The simulator answers with next states {following.shape} and rewards {reward.shape}; "
            f"expected {wanted[0]} and {wanted[1]}. The data's states must be its environment's."
        )
    truth = np.concatenate([following, reward[:, None]], -1)
    bad = np.flatnonzero(~np.isfinite(truth).all(-1))
    if len(bad):
        raise VRLError(
            f"The simulator has no finite answer for the imagined state {state[bad[0]].tolist()}. "
            "Shorten --horizon: the model has left what the simulator knows."
        )
    return torch.from_numpy(truth).to(state)
