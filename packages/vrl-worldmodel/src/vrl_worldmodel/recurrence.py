"""Gated recurrent units, with their sums in float32 whatever autocast says."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vrl_core.errors import unknown_name
from vrl_worldmodel.distributions import at_least_float32

NORMALISATION_EPSILON = 1e-3
"""Keras's default for layer normalisation; torch's 1e-5 moves the state by about 2%."""
UPDATE_BIAS = -1.0
"""Added before the update gate's sigmoid: a new unit remembers most of its state."""


class NormalisedGRU(nn.Module):
    """DreamerV2's gated recurrent unit: layer normalisation over its three gates together.

    The reset gate multiplies the candidate inside its tanh.
    """

    def __init__(self, inputs: int, size: int) -> None:
        super().__init__()
        self.gates = nn.Linear(inputs + size, 3 * size, bias=False)
        nn.init.xavier_uniform_(self.gates.weight)
        self.normalisation = nn.LayerNorm(3 * size, eps=NORMALISATION_EPSILON)

    def forward(
        self, value: Float[Tensor, "*shape inputs"], state: Float[Tensor, "*shape size"]
    ) -> Float[Tensor, "*shape size"]:
        """Return the next state."""
        joint = torch.cat([value, state.to(value.dtype)], dim=-1)
        gates = self.normalisation(at_least_float32(self.gates(joint)))
        reset, candidate, update = gates.chunk(3, dim=-1)
        candidate = torch.tanh(torch.sigmoid(reset) * candidate)
        return torch.lerp(state, candidate, torch.sigmoid(update + UPDATE_BIAS))


class PlainGRU(nn.Module):
    """The gated recurrent unit of `torch.nn.GRUCell` and Keras, initialised as Keras does.

    Input weights are Glorot uniform, recurrent ones orthogonal, biases zero.
    """

    def __init__(self, inputs: int, size: int) -> None:
        super().__init__()
        self.from_input = nn.Linear(inputs, 3 * size)
        self.from_state = nn.Linear(size, 3 * size)
        nn.init.xavier_uniform_(self.from_input.weight)
        nn.init.orthogonal_(self.from_state.weight)
        nn.init.zeros_(self.from_input.bias)
        nn.init.zeros_(self.from_state.bias)

    def forward(
        self, value: Float[Tensor, "*shape inputs"], state: Float[Tensor, "*shape size"]
    ) -> Float[Tensor, "*shape size"]:
        """Return the next state."""
        fresh = at_least_float32(self.from_input(value)).chunk(3, dim=-1)
        kept = at_least_float32(self.from_state(state)).chunk(3, dim=-1)
        reset = torch.sigmoid(fresh[0] + kept[0])
        update = torch.sigmoid(fresh[1] + kept[1])
        candidate = torch.tanh(fresh[2] + reset * kept[2])
        return torch.lerp(candidate, state, update)


def recurrence(name: str, inputs: int, size: int) -> NormalisedGRU | PlainGRU:
    """Build the recurrence of this name; raises `VRLError` for a name that does not exist."""
    kinds: dict[str, type[NormalisedGRU | PlainGRU]] = {
        "normalised-gru": NormalisedGRU,
        "gru": PlainGRU,
    }
    if name not in kinds:
        raise unknown_name("recurrence", name, kinds)
    return kinds[name](inputs, size)
