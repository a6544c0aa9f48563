"""The dynamics model of MOPO: an ensemble of Gaussian networks on states (Section 4.3).

Each member predicts mean and variance of the change of the state and of the reward from a
standardised state and action. All members are one batched matrix product per layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus

from vrl_core.networks import StackedLinear
from vrl_core.protocols import Metrics
from vrl_core.stacked_layers import stacked_layers
from vrl_worldmodel.mopo_config import DynamicsConfig

MemberInputs = Float[Tensor, "member batch input"]
MemberOutputs = Float[Tensor, "member batch output"]

CONSTANT = 1e-12
"""Standard deviation below which an input is taken for constant, and not scaled."""
FIRST_ITERATIONS = 15
"""Power iterations at the start, as in torch's own spectral normalisation."""


class EnsembleLayer(StackedLinear):
    """A linear layer of every member, with spectral normalisation if asked for.

    Weights start from a normal distribution of deviation 1 / (2 sqrt(inputs)), cut at two
    deviations, biases from zero, as in the public code. The largest singular value is followed by
    one power iteration an update (Miyato et al. 2018); its vectors are buffers `(member, ., 1)`.
    """

    left: Tensor
    right: Tensor

    def __init__(self, members: int, inputs: int, outputs: int, *, spectral: bool) -> None:
        super().__init__(members, inputs, outputs)
        deviation = 1 / (2 * math.sqrt(inputs))
        nn.init.trunc_normal_(self.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
        nn.init.zeros_(self.bias)
        self.spectral = spectral
        if spectral:
            self.register_buffer("left", normalize(torch.randn(members, inputs, 1), dim=1))
            self.register_buffer("right", torch.zeros(members, outputs, 1))
            for _ in range(FIRST_ITERATIONS):
                self.iterate()

    @torch.no_grad()
    def iterate(self) -> None:
        """Take one power iteration towards the largest singular value of every member."""
        self.right.copy_(normalize(self.weight.transpose(1, 2) @ self.left, dim=1))
        self.left.copy_(normalize(self.weight @ self.right, dim=1))

    def used_weight(self) -> Float[Tensor, "member input output"]:
        """Return the weight that is applied: divided by its singular value, if normalised."""
        if not self.spectral:
            return self.weight
        # Copies: the vectors change in place before the gradient is taken of the next update.
        left, right = self.left.clone(), self.right.clone()
        return self.weight / (left.transpose(1, 2) @ self.weight @ right)


class ProbabilisticEnsemble(nn.Module):
    """Members that map a state and an action to a Gaussian of next state and reward.

    Outputs are the change of the state, then the reward, in the data's units; inputs are
    standardised by `input_mean` and `input_std`.
    """

    input_mean: Tensor
    input_std: Tensor

    def __init__(
        self,
        config: DynamicsConfig,
        state_size: int,
        action_size: int,
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.precision = precision
        """What the layers between the first and the last multiply in."""
        self.state_size = state_size
        self.members = config.members
        self.bound_weight = config.bound_weight
        spectral, outputs = config.spectral_normalisation, state_size + 1
        sizes = [state_size + action_size, *config.hidden_layers]
        self.hidden = nn.ModuleList(
            EnsembleLayer(config.members, *pair, spectral=spectral) for pair in pairwise(sizes)
        )
        self.mean_head = EnsembleLayer(config.members, sizes[-1], outputs, spectral=spectral)
        self.variance_head = EnsembleLayer(config.members, sizes[-1], outputs, spectral=False)
        low, high = config.log_variance_bounds
        self.lower_bound = nn.Parameter(torch.full((outputs,), low))
        self.upper_bound = nn.Parameter(torch.full((outputs,), high))
        self.register_buffer("input_mean", torch.zeros(sizes[0]))
        self.register_buffer("input_std", torch.ones(sizes[0]))

    def layers(self) -> Iterator[EnsembleLayer]:
        """Yield the hidden layers, the mean's head, the variance's head."""
        for layer in (*self.hidden, self.mean_head, self.variance_head):
            assert isinstance(layer, EnsembleLayer)
            yield layer

    def member_tensors(self) -> dict[str, Tensor]:
        """Return by name the tensors whose leading axis is the member, without their gradients.

        The bounds of the log variance are the ensemble's, not a member's.
        """
        shared = {"lower_bound", "upper_bound", "input_mean", "input_std"}
        return {
            name: value.detach() for name, value in self.state_dict().items() if name not in shared
        }

    @torch.no_grad()
    def set_standardisation(self, mean: Tensor, std: Tensor) -> None:
        """Standardise inputs `(input,)` by these from now on; constant ones are only shifted."""
        self.input_mean.copy_(mean)
        self.input_std.copy_(torch.where(std < CONSTANT, torch.ones_like(std), std))

    def standardised(self, inputs: Float[Tensor, "*batch input"]) -> Float[Tensor, "*batch input"]:
        """Return states and actions in units of their deviations over the data."""
        return (inputs - self.input_mean) / self.input_std

    def outputs(self, inputs: MemberInputs) -> tuple[MemberOutputs, MemberOutputs]:
        """Return mean and log variance of standardised inputs' change of state and reward."""
        *hidden, mean_head, variance_head = self.layers()
        # Both heads at once: their outputs are few beside the layer that both read.
        heads = torch.cat((mean_head.used_weight(), variance_head.used_weight()), -1)
        weights = [*(layer.used_weight() for layer in hidden), heads]
        biases = [
            *(layer.bias for layer in hidden),
            torch.cat((mean_head.bias, variance_head.bias), -1),
        ]
        mean, raw = stacked_layers(inputs, weights, biases, "silu", self.precision).chunk(2, -1)
        return mean, self.bounded(raw)

    def bounded(
        self, log_variance: Float[Tensor, "*batch output"]
    ) -> Float[Tensor, "*batch output"]:
        """Return log variances between the learnt bounds, smoothly, by two softplus."""
        below = self.upper_bound - softplus(self.upper_bound - log_variance)
        return self.lower_bound + softplus(below - self.lower_bound)

    def loss(self, inputs: MemberInputs, targets: MemberOutputs) -> tuple[Tensor, Metrics]:
        """Return the members' summed loss on standardised inputs, and detached metrics.

        Of each member: the mean over batch and outputs of error^2 / variance + log variance; to
        that comes the distance between the bounds (fact F1). The decay of the weights is the
        optimiser's (`dynamics_training`).
        """
        for layer in self.layers():
            if layer.spectral:
                layer.iterate()
        mean, log_variance = self.outputs(inputs)
        error = (mean - targets).square()
        likelihood = member_losses(error, log_variance).sum()
        bounds = (self.upper_bound - self.lower_bound).sum()
        metrics = {
            "loss": likelihood.detach() / self.members,
            "error": error.detach().mean(),
            "log_variance": log_variance.detach().mean(),
        }
        return likelihood + self.bound_weight * bounds, metrics

    @torch.no_grad()
    def losses(self, inputs: MemberInputs, targets: MemberOutputs) -> Float[Tensor, " member"]:
        """Return every member's own part of the loss."""
        mean, log_variance = self.outputs(inputs)
        return member_losses((mean - targets).square(), log_variance)

    @torch.no_grad()
    def errors(
        self, inputs: Float[Tensor, "batch input"], targets: Float[Tensor, "batch output"]
    ) -> Float[Tensor, " member"]:
        """Return every member's mean squared error of the mean, on standardised inputs."""
        mean, _ = self.outputs(inputs.expand(self.members, *inputs.shape))
        return (mean - targets).square().mean((1, 2))

    @torch.no_grad()
    def predict(
        self, state: Float[Tensor, "batch state"], action: Float[Tensor, "batch action"]
    ) -> tuple[MemberOutputs, MemberOutputs]:
        """Return every member's mean and deviation of the next state, then the reward."""
        inputs = self.standardised(torch.cat((state, action), -1))
        mean, log_variance = self.outputs(inputs.expand(self.members, *inputs.shape))
        mean[..., : self.state_size] += state
        return mean, log_variance.mul_(0.5).exp_()


def member_losses(error: MemberOutputs, log_variance: MemberOutputs) -> Float[Tensor, " member"]:
    """Return the mean over batch and outputs of error^2 / variance + log variance (fact F1)."""
    return (error * (-log_variance).exp() + log_variance).mean((1, 2))
