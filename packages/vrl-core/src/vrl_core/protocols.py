"""What the training core and an algorithm expect of each other. Imports nothing heavy.

Axes are named as in the papers: batch, time, horizon, member, stack, height, width, channel,
action. Data is batch-major (`batch time`); imagination is time-major (`horizon batch`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from torch import Tensor

    from vrl_core.evaluate import Evaluation
    from vrl_core.replay import Replay

Metrics = dict[str, "Tensor"]
"""Scalars of one update, detached and still on the device; the loop reads them rarely."""
Observations = dict[str, "Tensor"]
"""Observation fields by name."""
ObservationT = TypeVar("ObservationT")


@dataclass(frozen=True, kw_only=True)
class Transitions:
    """Ask the loop for n-step transitions with stacked frames."""

    batch_size: int
    frame_stack: int = 1
    """Frames in an image observation; the first frame of an episode is repeated before it."""
    return_steps: int = 1
    """Rewards in a return (n). Only windows that lie inside an episode are drawn."""
    discount: float = 0.99
    observations: tuple[str, ...] | None = None
    """Observation fields to gather; none gathers all."""


@dataclass(frozen=True, kw_only=True)
class Sequences:
    """Ask the loop for windows of `length` consecutive steps of an episode."""

    batch_size: int
    length: int
    observations: tuple[str, ...] | None = None
    """Observation fields to gather; none gathers all, an empty tuple none of them."""


@dataclass(frozen=True)
class TransitionBatch(Generic[ObservationT]):
    """n-step transitions.

    `action` `(batch, action)` float32; `reward` `(batch,)`: rewards of the n steps, discounted and
    summed; `discount` `(batch,)`: discount^n, zero after a termination. Of a `Mapping`
    observation, every image is `(batch, stack, height, width, channel)` uint8 with the newest frame
    last; other fields are `(batch, ...)`.
    """

    observation: ObservationT
    action: Tensor
    reward: Tensor
    discount: Tensor
    next_observation: ObservationT


@dataclass(frozen=True)
class SequenceBatch:
    """Windows of consecutive steps in Gymnasium's alignment.

    `observations` fields are `(batch, length+1, ...)`, the rest `(batch, length)`: `action[:, t]`
    was taken at `observations[:, t]`, earned `reward[:, t]` and led to `observations[:, t+1]`.
    `is_first` `(batch, length+1)` marks an episode's first observation. `rows` `(batch, length+1)`
    int64 are the observations' rows in the store, by which an algorithm finds what it has cached.
    """

    observations: Observations
    action: Tensor
    reward: Tensor
    termination: Tensor
    is_first: Tensor
    rows: Tensor


@dataclass(frozen=True)
class Phase:
    """A stretch of training: `steps` times, draw a batch and update.

    `update` takes a batch of the kind `batches` asks for and returns detached scalars. It must
    not wait for the device. `finished`, asked once per logging period, ends the phase early.
    """

    name: str
    steps: int
    batches: Transitions | Sequences
    update: Callable[[Any], Metrics]
    finished: Callable[[], bool] | None = None
    replayable: bool = False
    """`update` keeps all that changes in tensors and reads none of them on the host, so that it
    may be recorded once as a CUDA graph, with the drawing of its batch, and replayed."""
    prepare: Callable[[Replay, int], None] | None = None
    """Called once in every process before its first update of the phase, with the data and the
    phase's seed: makes what the phase reuses, such as encodings of all frames. The generators
    are seeded for it and put back after it, so that a resumed run prepares the same."""
    refresh: Callable[[int], None] | None = None
    """Called before update number k of the phase whenever `refresh_every` divides k: makes new
    data, such as imagined transitions. It may wait for the device, and what it makes belongs to
    the algorithm's state."""
    refresh_every: int = 1


class Policy(Protocol):
    """Acts in several environments at once; keeps its memory in a state it is handed back."""

    def start(self, environments: int) -> Any:
        """Return the memory of that many fresh episodes."""
        ...

    def act(self, observations: Mapping[str, np.ndarray], state: Any) -> tuple[np.ndarray, Any]:
        """Choose evaluation actions, `(environments, action)` float32 in [-1, 1].

        `observations` fields are `(environments, ...)`, one frame each: stacking is memory. A
        policy that reads only some of the data's fields may name them in an attribute
        `observations`: it can then act where the others are not shown.
        """
        ...


class Algorithm(Protocol):
    """What a run trains."""

    @property
    def phases(self) -> Sequence[Phase]:
        """The phases, in order."""
        ...

    def policy(self) -> Policy:
        """The policy as it stands; sees later updates."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that training needs to go on: nested dicts and lists of tensors and plain values."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        ...


class Callback:
    """Observer of a run; override what is of interest. It must not change the training."""

    def on_start(self, folder: Path) -> None:
        """The run's folder exists and training is about to start."""

    def on_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Metrics were read from the device."""

    def on_evaluation(self, step: int, evaluation: Evaluation) -> None:
        """The policy was evaluated."""

    def on_checkpoint(self, step: int, folder: Path) -> None:
        """A checkpoint was written."""

    def on_end(self, step: int) -> None:
        """Training ended, was interrupted, or failed."""


@dataclass(frozen=True)
class EnsemblePrediction:
    """What the members of an ensemble predict for the next latent or state.

    kind `categorical`: `logits` `(member, ..., batch, stoch, classes)`. kind `gaussian`: `mean`
    and `std` `(member, ..., batch, feature)`. `sample` is the next value that was drawn, of one
    member's shape; `member` `(..., batch)` says whose it is.
    """

    kind: Literal["categorical", "gaussian"]
    sample: Tensor
    member: Tensor
    logits: Tensor | None = None
    mean: Tensor | None = None
    std: Tensor | None = None
