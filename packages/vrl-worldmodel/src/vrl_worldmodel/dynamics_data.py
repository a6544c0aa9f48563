"""The transitions that a dynamics model learns from: read, checked, split, resampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from vrl_core.counter_rng import mix, stream_key
from vrl_core.errors import VRLError
from vrl_core.replay import Replay
from vrl_worldmodel.mopo_config import DynamicsConfig

STATE = "observation.state"
SPLIT, BOOTSTRAP, ORDER = range(3)
"""Streams of random numbers: what is held out, each member's data, its order in an epoch."""


@dataclass(frozen=True, kw_only=True)
class DynamicsData:
    """Inputs (state, action) and targets (change of the state, reward), in training and held out.

    Inputs are as in the data until `standardise` has been called.
    """

    inputs: Float[Tensor, "transition input"]
    targets: Float[Tensor, "transition output"]
    holdout_inputs: Float[Tensor, "holdout input"]
    holdout_targets: Float[Tensor, "holdout output"]

    def __len__(self) -> int:
        """Transitions in training."""
        return len(self.inputs)

    def standardise(self, mean: Tensor, std: Tensor) -> None:
        """Shift and scale the inputs in place."""
        for inputs in (self.inputs, self.holdout_inputs):
            inputs.sub_(mean).div_(std)


def step_rows(episodes: Sequence[tuple[int, int]], device: torch.device) -> Int64[Tensor, " step"]:
    """Return the rows at which steps begin; an episode's last row begins none.

    `episodes` are first row and number of steps of each.
    """
    first = torch.tensor([first for first, _ in episodes], device=device)
    steps = torch.tensor([steps for _, steps in episodes], device=device)
    before = torch.repeat_interleave(steps.cumsum(0) - steps, steps)
    return torch.repeat_interleave(first, steps) + torch.arange(len(before), device=device) - before


def read_dynamics_data(replay: Replay, config: DynamicsConfig, seed: int) -> DynamicsData:
    """Return the transitions of the store on its device; `seed` decides which are held out.

    Left out are terminations that repeat their state (`told_steps`). Held out are `holdout_share`
    of the others, at most `holdout_most`, and at least one (fact F3). Raises `VRLError` for numbers
    that are not finite, and when there are too few transitions.
    """
    fields = {name: _finite_field(replay, name) for name in (STATE, "action", "reward")}
    rows = told_steps(replay, fields[STATE])
    held_out = max(1, min(int(len(rows) * config.holdout_share), config.holdout_most))
    if len(rows) <= held_out:
        raise VRLError(
            f"The dynamics learn from transitions and hold out at least one; the data has "
            f"{len(rows)} whose next state it tells. Collect more episodes."
        )
    drawing = _generator(replay.device, seed, SPLIT)
    order = torch.randperm(len(rows), generator=drawing, device=replay.device)
    holdout, training = rows[order[:held_out]], rows[order[held_out:]]
    inputs, targets = _pairs(fields, training)
    holdout_inputs, holdout_targets = _pairs(fields, holdout)
    return DynamicsData(
        inputs=inputs,
        targets=targets,
        holdout_inputs=holdout_inputs,
        holdout_targets=holdout_targets,
    )


def told_steps(replay: Replay, state: Float[Tensor, "row state"]) -> Int64[Tensor, " step"]:
    """Return the rows of steps whose next state the data tells.

    Files of D4RL lack the state that a fall led to, and readers repeat the last one in its place,
    which no body does: learnt from, it would say that a falling body stands still.
    """
    rows = step_rows(replay.episodes, replay.device)
    ended = replay.read("termination", 0, replay.rows)[rows]
    repeated = (state.index_select(0, rows) == state.index_select(0, rows + 1)).all(1)
    return rows[~(ended & repeated)]


def epoch_order(
    transitions: int, members: int, seed: int, epoch: int, device: torch.device
) -> Int[Tensor, "member transition"]:
    """Return which transition each member sees when in this epoch.

    Every member has its own bootstrap set, drawn once with replacement, in a new order each epoch.
    A pure function of its arguments, so that nothing of it need be kept.
    """
    order = torch.empty((members, transitions), dtype=torch.int32, device=device)
    for member in range(members):
        drawing = _generator(device, seed, BOOTSTRAP, member)
        mixing = _generator(device, seed, ORDER, member, epoch)
        own = torch.randint(transitions, (transitions,), generator=drawing, device=device)
        order[member] = own[torch.randperm(transitions, generator=mixing, device=device)]
    return order


def moments(inputs: Float[Tensor, "transition input"]) -> tuple[Tensor, Tensor]:
    """Return mean and population deviation of every input."""
    variance, mean = torch.var_mean(inputs, 0, correction=0)
    return mean, variance.sqrt()


def _generator(device: torch.device, seed: int, *numbers: int) -> torch.Generator:
    key = mix(seed)
    for number in numbers:
        key = stream_key(key, number)
    # torch takes seeds of 63 bits without a sign on every device.
    return torch.Generator(device).manual_seed(key >> 1)


def _finite_field(replay: Replay, name: str) -> Tensor:
    field = replay.read(name, 0, replay.rows)
    finite = field.isfinite().flatten(1).all(1) if field.ndim > 1 else field.isfinite()
    if not bool(finite.all()):
        row = int((~finite).nonzero()[0])
        raise VRLError(
            f"Row {row} of the field {name} holds a number that is not finite, from which no "
            "dynamics can be learnt. Look at the data (`vrl data check`) and leave the episode out."
        )
    return field


def _pairs(fields: dict[str, Tensor], rows: Int64[Tensor, " step"]) -> tuple[Tensor, Tensor]:
    """Return inputs and targets of the steps that begin at these rows."""
    state = fields[STATE].index_select(0, rows)
    change = fields[STATE].index_select(0, rows + 1) - state
    inputs = torch.cat((state, fields["action"].index_select(0, rows)), -1)
    return inputs, torch.cat((change, fields["reward"][rows][:, None]), -1)
