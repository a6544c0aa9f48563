"""Dense networks around the recurrent model, one by one and as an ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from vrl_core.networks import StackedLinear


def linear(inputs: int, outputs: int) -> nn.Linear:
    """Return a linear layer with Keras's initialisation: Glorot uniform weights, zero biases."""
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def dense(sizes: Sequence[int]) -> nn.Sequential:
    """Build a network with layer widths `sizes`: ELU between layers, the last one linear."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [linear(inputs, outputs), nn.ELU()]
    return nn.Sequential(*layers[:-1])


def precise(layer: nn.Linear, value: Float[Tensor, "*shape inputs"]) -> Tensor:
    """Apply a layer in its parameters' precision, whatever autocast says.

    For outputs that are rewards and returns: 100 in bfloat16 would be known to 0.5 only.
    """
    with torch.autocast(value.device.type, enabled=False):
        output: Tensor = layer(value.to(layer.weight.dtype))
    return output


class VectorHead(nn.Module):
    """Predicts numbers: the means of normal distributions with variance 1."""

    def __init__(self, features: int, layers: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.layers = dense([features, *layers, outputs])

    def forward(self, features: Float[Tensor, "*shape feature"]) -> Float[Tensor, "*shape number"]:
        """Return the means in the parameters' precision."""
        *hidden, output = self.layers
        for layer in hidden:
            features = layer(features)
        assert isinstance(output, nn.Linear)
        return precise(output, features)


class Head(VectorHead):
    """Predicts one number."""

    def __init__(self, features: int, layers: Sequence[int]) -> None:
        super().__init__(features, layers, 1)

    def forward(self, features: Float[Tensor, "*shape feature"]) -> Float[Tensor, "*shape"]:
        """Return the means in the parameters' precision."""
        return super().forward(features).squeeze(-1)


class EnsembleHeads(nn.Module):
    """Networks of one hidden ELU layer, one per member, on the same input.

    Their weights are stacked, so that all of them are two batched matrix products.
    """

    def __init__(self, members: int, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.hidden = _stacked_linear(members, inputs, hidden)
        self.output = _stacked_linear(members, hidden, outputs)

    def forward(
        self, value: Float[Tensor, "*shape inputs"]
    ) -> Float[Tensor, "member *shape outputs"]:
        """Return every member's output."""
        members = len(self.hidden.weight)
        rows = value.reshape(-1, value.shape[-1]).expand(members, -1, -1)
        output: Tensor = self.output(functional.elu(self.hidden(rows)))
        return output.reshape(members, *value.shape[:-1], -1)

    def select(
        self, value: Float[Tensor, "groups *shape inputs"], member: Int[Tensor, " groups"]
    ) -> Float[Tensor, "groups *shape outputs"]:
        """Return for each group of inputs the output of its own member alone."""
        rows = value.flatten(1, -2)
        hidden = functional.elu(_apply_members(self.hidden, rows, member))
        return _apply_members(self.output, hidden, member).reshape(*value.shape[:-1], -1)


def _stacked_linear(members: int, inputs: int, outputs: int) -> StackedLinear:
    """Return stacked linear layers, each initialised as `linear` is."""
    layer = StackedLinear(members, inputs, outputs)
    for weight in layer.weight:
        nn.init.xavier_uniform_(weight.data)
    nn.init.zeros_(layer.bias)
    return layer


def _apply_members(layer: StackedLinear, value: Tensor, member: Tensor) -> Tensor:
    """Apply to each `value[i]` `(row, inputs)` the layer of `member[i]`."""
    weight, bias = layer.weight.index_select(0, member), layer.bias.index_select(0, member)
    return torch.baddbmm(bias, value, weight)
