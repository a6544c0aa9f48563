"""Batch number k of a store: which rows, and the tensors made of them.

A batch is a pure function of (fields, request, seed, k): the same bits wherever the fields lie.
Only windows that lie wholly inside an episode are drawn, each equally often and with
replacement; where all episodes have one length, as V-D4RL's have, that is the public code's
"episode first, then start" (facts A3, B3, B4). Nothing here waits for a device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vrl_core import counter_rng
from vrl_core.errors import VRLError
from vrl_core.protocols import Observations, SequenceBatch, Sequences, TransitionBatch, Transitions

OBSERVATION = "observation."
"""Prefix of the fields that are observations."""

WINDOW_STREAM = 0
"""The generator's stream that windows are drawn from."""

Request = Transitions | Sequences
Batch = TransitionBatch[Observations] | SequenceBatch


@dataclass(frozen=True)
class Fields:
    """A store's rows as tensors, all on one device; row t holds observation t and step t.

    `first_row` `(episode,)` and `steps` `(episode,)` say where each episode begins and how many
    steps it has (it takes one row more).
    """

    rows: Mapping[str, Tensor]
    first_row: Int64[Tensor, " episode"]
    steps: Int64[Tensor, " episode"]

    @property
    def device(self) -> torch.device:
        """Where the fields lie."""
        return self.first_row.device

    @property
    def observations(self) -> list[str]:
        """Names of the observation fields, without their prefix."""
        return [
            name.removeprefix(OBSERVATION) for name in self.rows if name.startswith(OBSERVATION)
        ]


@dataclass(frozen=True)
class Windows:
    """Every window of so many steps that lies inside an episode."""

    start: Int64[Tensor, " window"]
    """Row of the window's first step."""
    episode_start: Int64[Tensor, " window"]
    """First row of the window's episode."""

    def __len__(self) -> int:
        return len(self.start)


def window_steps(request: Request) -> int:
    """Return how many consecutive steps of an episode the request needs; refuse nonsense."""
    steps = request.return_steps if isinstance(request, Transitions) else request.length
    stack = request.frame_stack if isinstance(request, Transitions) else 1
    if min(request.batch_size, steps, stack) < 1:
        raise VRLError(
            f"Batch size, steps and frame stack must be at least 1; asked for {request}."
        )
    return steps


def find_windows(fields: Fields, request: Request) -> Windows:
    """List the windows a request can draw; shorter episodes are left out.

    Raises `VRLError` when no episode is long enough.
    """
    steps = window_steps(request)
    count = (fields.steps - steps + 1).clamp_min(0)
    if int(count.sum()) == 0:
        raise _too_short(fields.steps.tolist(), steps, request)
    episode_start = torch.repeat_interleave(fields.first_row, count)
    before = torch.repeat_interleave(count.cumsum(0) - count, count)
    offset = torch.arange(len(before), device=before.device) - before
    return Windows(start=episode_start + offset, episode_start=episode_start)


def _too_short(lengths: Sequence[int], steps: int, request: Request) -> VRLError:
    option = "return_steps" if isinstance(request, Transitions) else "length"
    has = "The dataset has no episodes."
    if lengths:
        has = f"The dataset's {len(lengths)} episodes have {min(lengths)} to {max(lengths)} steps."
    advice = f"Lower the algorithm's {option} or collect longer episodes."
    return VRLError(f"A batch needs episodes of at least {steps} steps. {has} {advice}")


def draw(
    fields: Fields, windows: Windows, request: Request, seed: int, number: int | Tensor
) -> Batch:
    """Make batch `number`. Its tensors lie where `fields` lie."""
    chosen = chosen_windows(windows, request, seed, number)
    if isinstance(request, Transitions):
        return transitions(fields, chosen.start, chosen.episode_start, request)
    return sequences(fields, chosen.start, chosen.episode_start, request)


def chosen_windows(windows: Windows, request: Request, seed: int, number: int | Tensor) -> Windows:
    """Return the windows of batch `number`."""
    chosen = counter_rng.indices(
        seed, WINDOW_STREAM, number, request.batch_size, len(windows), windows.start.device
    )
    return Windows(start=windows.start[chosen], episode_start=windows.episode_start[chosen])


def transitions(
    fields: Fields,
    start: Int64[Tensor, " batch"],
    episode_start: Int64[Tensor, " batch"],
    request: Transitions,
) -> TransitionBatch[Observations]:
    """Make the n-step transitions that begin at rows `start`."""
    steps = request.return_steps
    reward, discount = n_step_return(fields, start, steps, request.discount)
    observation: Observations = {}
    following: Observations = {}
    for name in _asked(fields, request):
        field = fields.rows[OBSERVATION + name]
        stack = request.frame_stack if is_image(field) else 1
        pair = observation_pair(field, start, episode_start, stack, steps)
        observation[name], following[name] = pair if is_image(field) else (x[:, 0] for x in pair)
    action = fields.rows["action"].index_select(0, start)
    return TransitionBatch(observation, action, reward, discount, following)


def _asked(fields: Fields, request: Request) -> Sequence[str]:
    return fields.observations if request.observations is None else request.observations


def is_image(field: Tensor) -> bool:
    """Whether a field's rows are frames, which are stacked: `(height, width, channel)` uint8."""
    return field.dtype == torch.uint8 and field.ndim == 4


def observation_pair(
    field: Tensor,
    start: Int64[Tensor, " batch"],
    episode_start: Int64[Tensor, " batch"],
    stack: int,
    steps: int,
) -> tuple[Tensor, Tensor]:
    """Return the `stack` rows that end at `start`, and those that end `steps` later.

    Shapes `(batch, stack, ...)`. Rows before the episode are its first one (fact B3). Where the
    two overlap each frame is gathered once, and both are views of what was gathered.
    """
    past = torch.arange(1 - stack, 1, device=start.device)
    if steps < stack:
        span = torch.arange(1 - stack, steps + 1, device=start.device)
    else:
        span = torch.cat((past, past + steps))
    rows = torch.maximum(start[:, None] + span, episode_start[:, None])
    gathered = gather(field, rows)
    return gathered[:, :stack], gathered[:, -stack:]


def gather(field: Tensor, rows: Int64[Tensor, "batch time"]) -> Tensor:
    """Return `(batch, time, ...)`; on whole rows `index_select` is one memory copy a row."""
    flat = field.reshape(len(field), -1).index_select(0, rows.reshape(-1))
    return flat.reshape(*rows.shape, *field.shape[1:])


def n_step_return(
    fields: Fields, start: Int64[Tensor, " batch"], steps: int, discount: float
) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """Return sum_k discount^k r_k over the steps up to a termination, and the target's discount.

    The latter is discount^steps, or zero after a termination; a truncation does not end it. Terms
    are added one by one, so every device rounds alike.
    """
    total = torch.zeros(len(start), device=start.device)
    alive = torch.ones(len(start), device=start.device)
    for step in range(steps):
        row = start + step
        total = total + fields.rows["reward"][row] * discount**step * alive
        alive = alive * (~fields.rows["termination"][row]).float()
    return total, alive * discount**steps


def sequences(
    fields: Fields,
    start: Int64[Tensor, " batch"],
    episode_start: Int64[Tensor, " batch"],
    request: Sequences,
) -> SequenceBatch:
    """Make the windows of `length` steps, and one more observation, that begin at rows `start`."""
    rows = start[:, None] + torch.arange(request.length + 1, device=start.device)
    observations = {
        name: gather(fields.rows[OBSERVATION + name], rows) for name in _asked(fields, request)
    }
    steps = rows[:, :-1]
    return SequenceBatch(
        observations=observations,
        action=gather(fields.rows["action"], steps),
        reward=fields.rows["reward"][steps],
        termination=fields.rows["termination"][steps],
        is_first=rows == episode_start[:, None],
        rows=rows,
    )
