"""Imagined transitions between states: a ring on the device, drawn from without the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vrl_core.errors import VRLError
from vrl_core.protocols import SequenceBatch, TransitionBatch
from vrl_core.soft_actor_critic import StateBatch


@dataclass(frozen=True, kw_only=True)
class ImaginedSteps:
    """Steps in the model; `reward` is less the penalty, which `penalty` holds unweighted."""

    state: Float[Tensor, "batch state"]
    action: Float[Tensor, "batch action"]
    next_state: Float[Tensor, "batch state"]
    reward: Float[Tensor, " batch"]
    penalty: Float[Tensor, " batch"]
    terminated: Bool[Tensor, " batch"]

    def __len__(self) -> int:
        return len(self.reward)

    def packed(self) -> Float[Tensor, "batch width"]:
        """Return everything of a step in one row, terminations as 1."""
        ends = (self.reward, self.penalty, self.terminated.to(self.reward.dtype))
        columns = (self.state, self.action, self.next_state, *(value[:, None] for value in ends))
        return torch.cat(columns, -1)


class TransitionPool:
    """The newest imagined transitions, at most `capacity`; a transition is one row.

    One gather of whole rows draws a batch, where a tensor for each part would take six.
    """

    def __init__(
        self, capacity: int, *, state_size: int, action_size: int, device: torch.device
    ) -> None:
        self.sizes = [state_size, action_size, state_size, 1, 1, 1]
        # Not filled: no row is read before it was written, and memory is taken as it is used.
        self.rows = torch.empty((capacity, sum(self.sizes)), device=device)
        self.written = torch.zeros((), dtype=torch.int64, device=device)
        """Transitions ever added. On the device, where a recorded update finds it current."""

    def __len__(self) -> int:
        """Transitions held now; waits for the device."""
        return min(int(self.written), len(self.rows))

    def add(self, steps: ImaginedSteps) -> None:
        """Put steps in the place of the oldest; of more than fit, the last are kept."""
        packed, total, capacity = steps.packed(), len(steps), len(self.rows)
        kept = min(total, capacity)
        slots = torch.arange(total - kept, total, device=self.rows.device) + self.written
        self.rows.index_copy_(0, slots % capacity, packed[total - kept :])
        self.written += total

    def draw(self, count: int, discount: float) -> tuple[StateBatch, Float[Tensor, " batch"]]:
        """Draw transitions uniformly, with replacement, by the device's global generator.

        Also the penalty of each, unweighted. A termination makes the discount zero.
        """
        held = self.written.clamp_max(len(self.rows))
        # In double precision every one of them can be reached, and equally often.
        unit = torch.rand(count, dtype=torch.float64, device=held.device)
        rows = self.rows.index_select(0, (unit * held).to(torch.int64))
        state, action, next_state, reward, penalty, ended = torch.split(rows, self.sizes, -1)
        batch = TransitionBatch(
            observation=state,
            action=action,
            reward=reward[:, 0],
            discount=discount * (1 - ended[:, 0]),
            next_observation=next_state,
        )
        return batch, penalty[:, 0]

    def state_dict(self) -> dict[str, Tensor]:
        """Return the rows that were written, and how far the ring has come."""
        return {"rows": self.rows[: len(self)].clone(), "written": self.written.clone()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a `state_dict`; raises `VRLError` for another size."""
        rows = state["rows"]
        room, width = self.rows.shape
        if rows.shape[1] != width or len(rows) != min(int(state["written"]), room):
            raise VRLError(
                f"The checkpoint holds {len(rows)} imagined transitions of {rows.shape[1]} "
                f"numbers; this run keeps at most {room} of {width}. Resume with the settings and "
                "the data of the run that wrote it."
            )
        self.rows[: len(rows)].copy_(rows)
        self.written.copy_(state["written"])


def real_transitions(batch: SequenceBatch, discount: float) -> StateBatch:
    """Turn windows of one step with the field `state` into transitions.

    A termination makes the discount zero; a truncation does not.
    """
    state = batch.observations["state"]
    return TransitionBatch(
        observation=state[:, 0],
        action=batch.action[:, 0],
        reward=batch.reward[:, 0],
        discount=discount * (~batch.termination[:, 0]).to(state.dtype),
        next_observation=state[:, 1],
    )


def joined(batches: Sequence[StateBatch]) -> StateBatch:
    """Return the transitions of all batches, in this order."""
    names = ("observation", "action", "reward", "discount", "next_observation")
    return TransitionBatch(
        **{name: torch.cat([getattr(batch, name) for batch in batches]) for name in names}
    )
