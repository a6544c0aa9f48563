"""Vectors in units of their deviations over the data."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vrl_core.batches import OBSERVATION
from vrl_core.observations import ObservationFields
from vrl_core.protocols import Observations
from vrl_core.replay import Replay

CONSTANT = 1e-6
"""Deviation below which a number is taken for constant: it is only shifted."""


class StandardisedVectors(nn.Module):
    """All vectors of an observation as one, each number less its mean, in its deviations.

    Mean and deviation are buffers, so that a policy finds them in its checkpoint: 0 and 1 until
    `fit`. Everything is float32, whatever autocast says.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, fields: ObservationFields) -> None:
        super().__init__()
        self.names = tuple(fields.vectors)
        self.register_buffer("mean", torch.zeros(fields.vector_size))
        self.register_buffer("deviation", torch.ones(fields.vector_size))

    def forward(self, observations: Observations) -> Float[Tensor, "*shape number"]:
        """Return the vectors `(..., number)` of these observations, one after another."""
        return (self._joined(observations) - self.mean) / self.deviation

    @torch.no_grad()
    def fit(self, replay: Replay) -> None:
        """Take mean and deviation (of a population) over every observation of the data."""
        rows = {
            name: replay.read(OBSERVATION + name, 0, replay.rows).double() for name in self.names
        }
        values = self._joined(rows)
        deviation = values.std(0, correction=0)
        self.mean.copy_(values.mean(0))
        self.deviation.copy_(deviation.where(deviation > CONSTANT, 1.0))

    def _joined(self, observations: Observations) -> Tensor:
        return torch.cat([observations[name] for name in self.names], -1)
