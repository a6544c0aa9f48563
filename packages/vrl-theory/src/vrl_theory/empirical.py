"""The bound on the performance gap with a learned model (MOTO, Appendix B; LOMPO, Equation 3).

MOTO's Equation 12 estimates the expected model error along the expert: from the state of every
observation of expert episodes but the last H, the expert's own actions are imagined for H steps,
and the penalty is averaged over all these places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from vrl_core.errors import VRLError
from vrl_core.protocols import EnsemblePrediction
from vrl_theory.rollout_model import RolloutModel, select

if TYPE_CHECKING:
    from vrl_core.store import Store

Penalty = Callable[[EnsemblePrediction], Tensor]
EpisodePenalties = Float[ndarray, "horizon start"]


@dataclass(frozen=True, kw_only=True)
class ExpertPenalties:
    """Penalties, not weighted, along the expert's actions in the model."""

    penalties: tuple[EpisodePenalties, ...]
    """Of each episode: at horizon t of the rollout from each start j."""
    lengths: tuple[int, ...]
    """Steps of each episode."""

    @property
    def mean(self) -> float:
        """Equation 12 as printed: the mean over starts and horizons, of all episodes."""
        places = sum(each.size for each in self.penalties)
        return float(sum(each.sum() for each in self.penalties)) / places

    def by_horizon(self) -> list[float]:
        """Return the mean over all starts at each horizon."""
        return [float(value) for value in np.concatenate(self.penalties, axis=1).mean(1)]

    def epsilon_u(self, discount: float) -> float:
        """Return the discounted sum along an episode, on average over episodes.

        MOPO's epsilon_u (Equation 8) sums gamma^t over the steps t = 0 .. T-1, where Equation 12
        takes a mean. So the start j counts gamma^j, and the weighted mean is multiplied by the sum
        of gamma^t over the episode. With a discount of 1 that is T times the episode's mean.
        """
        pairs = zip(self.penalties, self.lengths, strict=True)
        return float(np.mean([_discounted(each, steps, discount) for each, steps in pairs]))


@dataclass(frozen=True, kw_only=True)
class EmpiricalBound:
    """The empirical bound at one moment of a run, beside the gap that it bounds."""

    label: str
    step: int
    """Updates of the run."""
    episodes: int
    horizon: int
    discount: float
    mean_penalty: float
    """Equation 12, not weighted."""
    epsilon_u: float
    """Its discounted sum over an episode."""
    penalty_coefficient: float
    """lambda: the penalty's weight in the reward."""
    bound: float
    """2 lambda epsilon_u, on the gap of discounted returns."""
    episode_bound: float
    """The same undiscounted, beside the gap of returns as evaluations report it."""
    expert_return: float
    """Mean undiscounted return of the store's episodes."""
    policy_return: float | None = None
    """Mean undiscounted return of the policy; None if it was not evaluated."""
    gap: float | None = None
    """expert_return - policy_return."""
    by_horizon: tuple[float, ...] = ()
    """Mean penalty at each step of the rollouts."""

    @property
    def holds(self) -> bool | None:
        """Whether the undiscounted gap is within the bound; None if the gap is not known."""
        return None if self.gap is None else self.gap <= self.episode_bound

    def to_data(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"by_horizon": list(self.by_horizon), "holds": self.holds}


def empirical_bound(
    found: ExpertPenalties,
    *,
    label: str,
    step: int,
    horizon: int,
    discount: float,
    coefficient: float,
    expert_return: float,
    policy_return: float | None,
) -> EmpiricalBound:
    """Put the penalties along the expert beside the performance gap."""
    epsilon = found.epsilon_u(discount)
    return EmpiricalBound(
        label=label,
        step=step,
        episodes=len(found.penalties),
        horizon=horizon,
        discount=discount,
        mean_penalty=found.mean,
        epsilon_u=epsilon,
        penalty_coefficient=coefficient,
        bound=2 * coefficient * epsilon,
        episode_bound=2 * coefficient * found.epsilon_u(1.0),
        expert_return=expert_return,
        policy_return=policy_return,
        gap=None if policy_return is None else expert_return - policy_return,
        by_horizon=tuple(found.by_horizon()),
    )


def expert_penalties(
    model: RolloutModel,
    store: Store,
    penalty: Penalty,
    *,
    horizon: int,
    episodes: int,
    device: torch.device,
    seed: int = 0,
) -> ExpertPenalties:
    """Evaluate the penalty along the expert's actions imagined from its states (Equation 12).

    The episodes are drawn without replacement. Raises `VRLError` when the store lacks what the
    model observes, an episode is not longer than the horizon, or a penalty is not finite.
    """
    chosen = choose_episodes(store, model, horizon=horizon, episodes=episodes, seed=seed)
    found = []
    for number in chosen:
        steps = _episode_penalties(model, store, number, penalty, horizon, device)
        found.append(np.stack([_require_finite(step, number, t) for t, step in enumerate(steps)]))
    return ExpertPenalties(
        penalties=tuple(found), lengths=tuple(int(store.lengths[number]) for number in chosen)
    )


def choose_episodes(
    store: Store, model: RolloutModel, *, horizon: int, episodes: int, seed: int
) -> Sequence[int]:
    """Draw episodes of more steps than the horizon; raises `VRLError` when nothing fits."""
    missing = [field for field in model.fields if field not in store.spec.observations]
    if missing:
        raise VRLError(
            f"The model observes {', '.join(model.fields)}, but {store.path} has only "
            f"{', '.join(store.spec.observations)}. Give data of the kind that the run learnt from."
        )
    fitting = np.flatnonzero(store.lengths > horizon)
    if not len(fitting):
        raise VRLError(
            f"No episode of {store.path} has more than {horizon} steps; the longest has "
            f"{int(store.lengths.max(initial=0))}. Shorten --horizon."
        )
    drawn = np.random.default_rng(seed).permutation(fitting)[:episodes]
    return [int(number) for number in np.sort(drawn)]


def imagined(
    model: RolloutModel, store: Store, number: int, horizon: int, device: torch.device
) -> Iterator[tuple[Any, Tensor, EnsemblePrediction]]:
    """Imagine an episode's own actions from each of its states but the last `horizon`.

    Yields the states of all rollouts, their actions, and what is predicted to follow.
    """
    episode = store[number]
    observations = {
        name: torch.tensor(episode.observations[name], device=device) for name in model.fields
    }
    action = torch.tensor(episode.actions, device=device)
    starts = len(episode) - horizon
    state = select(model.start(observations, action), 0, starts)
    for step in range(horizon):
        taken = action[step : step + starts]
        following, prediction = model.step(state, taken)
        yield state, taken, prediction
        state = following


@torch.no_grad()
def _episode_penalties(
    model: RolloutModel,
    store: Store,
    number: int,
    penalty: Penalty,
    horizon: int,
    device: torch.device,
) -> list[ndarray]:
    steps = imagined(model, store, number, horizon, device)
    return [penalty(prediction).double().cpu().numpy() for _, _, prediction in steps]


def _require_finite(values: ndarray, episode: int, step: int) -> ndarray:
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise VRLError(
            f"The penalty is {values[bad[0]]} after {step} imagined steps from step {bad[0]} of "
            f"episode {episode}: the model diverges there. Shorten --horizon, or train it again."
        )
    return values


def _discounted(penalties: EpisodePenalties, steps: int, discount: float) -> float:
    starts = penalties.mean(0)
    weights = discount ** np.arange(len(starts))
    total = float((discount ** np.arange(steps)).sum())
    return total * float(weights @ starts / weights.sum())
