"""LOMPO's two replay buffers of latent transitions (LOMPO, Section 4.2): real and imagined.

Both lie on the device, and drawing from them reads nothing on the host. A latent state is its
features, stochastic and deterministic part in one vector. Every state is stored once: the real ones
by their rows in the store, the imagined ones as rollouts of H+1 states for H transitions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from vrl_core.batches import OBSERVATION
from vrl_core.protocols import Observations, SequenceBatch, TransitionBatch
from vrl_core.replay import Replay
from vrl_worldmodel.rssm import LatentState

LatentBatch = TransitionBatch[Tensor]
"""Transitions whose observations are features `(batch, feature)`."""

ROWS_TOGETHER = 16_384
"""Rows whose latents are inferred at once, give or take an episode; a scan is as long as the
longest episode, however many there are beside it."""
OBSERVED_TOGETHER = 1_024
"""The same where observations are encoded on the way."""


@dataclass(frozen=True, kw_only=True)
class Rollouts:
    """Imagined steps, time-major: `action[t]` at `features[t]` led to `features[t+1]`."""

    reward: Float[Tensor, "horizon rollout"]
    """Penalised reward of each step."""
    penalty: Float[Tensor, "horizon rollout"]
    """What the penalty was, before its weight."""
    action: Float[Tensor, "horizon rollout action"]
    features: Float[Tensor, "horizon+1 rollout feature"]


def latents_of_episodes(
    replay: Replay,
    infer: Callable[[SequenceBatch], LatentState],
    *,
    observations: Sequence[str] = (),
) -> Float[Tensor, "row feature"]:
    """Return the features of every row of the store, inferred from its whole episode up to it.

    LOMPO, Section 4.2: "states are sampled from the inference distribution over trajectories".
    `infer` draws the states of a batch, for which it needs these observation fields.
    """
    action = replay.read("action", 0, replay.rows)
    features: Tensor | None = None
    for episodes in _together(
        replay.episodes, OBSERVED_TOGETHER if observations else ROWS_TOGETHER
    ):
        rows, inside = _rows_of(episodes, replay.device)
        shown = {name: _observed(replay, name, episodes) for name in observations}
        found = infer(_whole_episodes(rows, action[rows[:, :-1]], shown)).features
        if features is None:
            features = found.new_zeros((replay.rows, found.shape[-1]), dtype=torch.float32)
        features[rows[inside]] = found[inside].to(features.dtype)
    assert features is not None  # a store has episodes
    return features


def _together(
    episodes: Sequence[tuple[int, int]], rows: int
) -> Iterator[Sequence[tuple[int, int]]]:
    """Split episodes, the longest first, into groups of about so many rows, padding included."""
    left = sorted(episodes, key=lambda episode: -episode[1])
    while left:
        count = max(1, rows // (left[0][1] + 1))
        yield left[:count]
        left = left[count:]


def _rows_of(
    episodes: Sequence[tuple[int, int]], device: torch.device
) -> tuple[Int64[Tensor, "episode time"], Bool[Tensor, "episode time"]]:
    """Return each episode's rows, the last one repeated to equal length, and which are its own."""
    first = torch.tensor([first for first, _ in episodes], device=device)[:, None]
    steps = torch.tensor([steps for _, steps in episodes], device=device)[:, None]
    time = torch.arange(episodes[0][1] + 1, device=device)
    return first + time.clamp(max=steps), time <= steps


def _observed(
    replay: Replay, name: str, episodes: Sequence[tuple[int, int]]
) -> Shaped[Tensor, "episode time *row"]:
    field = OBSERVATION + name
    read = [replay.read(field, first, first + steps + 1) for first, steps in episodes]
    return torch.nn.utils.rnn.pad_sequence(read, batch_first=True)


def _whole_episodes(
    rows: Int64[Tensor, "episode time"],
    action: Float[Tensor, "episode time-1 action"],
    observations: Observations,
) -> SequenceBatch:
    """Make the batch from which states are inferred; they depend on no reward."""
    return SequenceBatch(
        observations=observations,
        action=action,
        reward=torch.zeros(action.shape[:2], device=action.device),
        termination=torch.zeros(action.shape[:2], dtype=torch.bool, device=action.device),
        is_first=rows == rows[:, :1],
        rows=rows,
    )


def real_transitions(
    features: Float[Tensor, "row feature"], batch: SequenceBatch, discount: float
) -> LatentBatch:
    """Turn windows of one step into transitions between the features of the store's rows.

    A termination makes the discount zero; a truncation does not. Windows lie inside episodes, so
    no transition leads from one into the next.
    """
    return TransitionBatch(
        observation=features[batch.rows[:, 0]],
        action=batch.action[:, 0],
        reward=batch.reward[:, 0],
        discount=discount * (~batch.termination[:, 0]).to(torch.float32),
        next_observation=features[batch.rows[:, 1]],
    )


def joined(*batches: LatentBatch) -> LatentBatch:
    """Return the transitions of all batches, in this order."""
    names = [field.name for field in fields(TransitionBatch)]
    return TransitionBatch(
        **{name: torch.cat([getattr(batch, name) for batch in batches]) for name in names}
    )


@dataclass(frozen=True, kw_only=True)
class ImaginedBatch:
    """Imagined transitions, and the penalty `(batch,)` that each reward holds, unweighted."""

    transitions: LatentBatch
    penalty: Float[Tensor, " batch"]


class RolloutBuffer:
    """The newest imagined transitions: a ring of rollouts of one length, on the device.

    `capacity` counts transitions and is rounded up to whole rollouts.
    """

    def __init__(
        self,
        capacity: int,
        *,
        horizon: int,
        feature_size: int,
        action_size: int,
        device: torch.device,
    ) -> None:
        self.horizon = horizon
        self.slots = -(-capacity // horizon)
        shape = (horizon, self.slots)
        # Zeros, not whatever lay there: a checkpoint holds all of it and refuses NaN.
        self.reward = torch.zeros(shape, device=device)
        self.penalty = torch.zeros(shape, device=device)
        self.action = torch.zeros((*shape, action_size), device=device)
        self.features = torch.zeros((horizon + 1, self.slots, feature_size), device=device)
        self.written = torch.zeros((), dtype=torch.int64, device=device)
        """Rollouts ever added. On the device, where a recorded update finds it current."""

    def __len__(self) -> int:
        """Transitions held now; waits for the device."""
        return min(int(self.written), self.slots) * self.horizon

    @property
    def capacity(self) -> int:
        """Most transitions that are held."""
        return self.slots * self.horizon

    def add(self, rollouts: Rollouts) -> None:
        """Put rollouts in the place of the oldest; of more than fit, the last are kept."""
        total = rollouts.reward.shape[1]
        kept = min(total, self.slots)
        slots = torch.arange(total - kept, total, device=self.written.device)
        slots = (slots + self.written) % self.slots
        for name in ("reward", "penalty", "action", "features"):
            values: Tensor = getattr(rollouts, name)[:, total - kept :]
            stored: Tensor = getattr(self, name)
            stored.index_copy_(1, slots, values.to(stored.dtype))
        self.written += total

    def draw(self, count: int, discount: float) -> ImaginedBatch:
        """Draw transitions uniformly, with replacement, by the device's global generator.

        An imagined state never ends an episode: every discount is `discount`.
        """
        number = self.written.clamp_max(self.slots) * self.horizon
        # In double precision every one of them can be reached, and equally often.
        unit = torch.rand(count, dtype=torch.float64, device=number.device)
        index = (unit * number).to(torch.int64)
        return self._transitions(index % self.horizon, index // self.horizon, discount)

    def _transitions(
        self, step: Int64[Tensor, " batch"], slot: Int64[Tensor, " batch"], discount: float
    ) -> ImaginedBatch:
        reward = self.reward[step, slot]
        transitions = TransitionBatch(
            observation=self.features[step, slot],
            action=self.action[step, slot],
            reward=reward,
            discount=torch.full_like(reward, discount),
            next_observation=self.features[step + 1, slot],
        )
        return ImaginedBatch(transitions=transitions, penalty=self.penalty[step, slot])

    def state_dict(self) -> dict[str, Tensor]:
        """Return what is held, and how far the ring has come."""
        names = ("reward", "penalty", "action", "features", "written")
        return {name: getattr(self, name).clone() for name in names}

    @classmethod
    def restored(cls, state: Mapping[str, Tensor], device: torch.device) -> RolloutBuffer:
        """Build the buffer of which this is the `state_dict`."""
        horizon, slots, action_size = state["action"].shape
        buffer = cls(
            horizon * slots,
            horizon=horizon,
            feature_size=state["features"].shape[-1],
            action_size=action_size,
            device=device,
        )
        for name, value in state.items():
            getattr(buffer, name).copy_(value)
        return buffer
