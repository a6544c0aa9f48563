"""Distributions of latents and of actions, as tensors in and tensors out.

Sampling never waits for the device, and whatever autocast does around it, the maths is done in
float32 (or in float64 where the parameters are).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

ACTION_MARGIN = 1e-6
"""Actions stay this far inside [-1, 1] (DreamerV2's code)."""


def at_least_float32(value: Tensor) -> Tensor:
    """Return the value in float32 if it is in less; autocast's bfloat16 ends here."""
    return value.to(torch.promote_types(value.dtype, torch.float32))


@dataclass(frozen=True)
class CategoricalLatent:
    """Independent categorical variables: the latent of DreamerV2 (Hafner et al. 2021, Section 2).

    `logits` `(*shape, stoch, classes)` need not be normalised.
    """

    logits: Float[Tensor, "*shape stoch classes"]

    @property
    def log_probabilities(self) -> Float[Tensor, "*shape stoch classes"]:
        """Logarithms of the classes' probabilities."""
        return functional.log_softmax(self.logits, dim=-1)

    @property
    def probabilities(self) -> Float[Tensor, "*shape stoch classes"]:
        """Probabilities of the classes."""
        return functional.softmax(self.logits, dim=-1)

    def sample(self, noise: Tensor | None = None) -> Float[Tensor, "*shape size"]:
        """Draw one-hot vectors, flattened; their gradient is the probabilities' (straight-through).

        Uniform `noise` in [0, 1), which broadcasts over `(*shape, stoch)`, is put through the
        inverse of the distribution function: one number a variable, a tenth of the time on a CPU
        of drawing one for each class.
        """
        if noise is None:
            noise = torch.rand_like(self.logits[..., 0])
        drawn: Tensor = _StraightThrough.apply(self.probabilities, noise)  # type: ignore[no-untyped-call]
        return drawn.flatten(-2)

    def mode(self) -> Float[Tensor, "*shape size"]:
        """Return the likeliest class of every variable as one-hot vectors, without a gradient."""
        logits = self.logits.detach()
        return _one_hot(logits.argmax(-1, keepdim=True), logits).flatten(-2)

    def log_prob(self, sample: Float[Tensor, "... size"]) -> Float[Tensor, "*shape"]:
        """Return the log probability of one-hot vectors, which broadcast over the logits."""
        one_hot = sample.reshape(*sample.shape[:-1], *self.logits.shape[-2:])
        return (one_hot * self.log_probabilities).sum((-2, -1))

    def entropy(self) -> Float[Tensor, "*shape"]:
        """Return the entropy of all variables together, in nats."""
        log_probabilities = self.log_probabilities
        return -(log_probabilities.exp() * log_probabilities).sum((-2, -1))

    def apply(self, change: Callable[[Tensor], Tensor]) -> CategoricalLatent:
        """Return the distribution with changed parameters, such as other leading axes."""
        return CategoricalLatent(change(self.logits))

    def detach(self) -> CategoricalLatent:
        """Return the same distribution, of which no gradient is known."""
        return self.apply(Tensor.detach)


@dataclass(frozen=True)
class GaussianLatent:
    """A Gaussian with a diagonal covariance: the latent of LOMPO (its Section 4.1)."""

    mean: Float[Tensor, "*shape stoch"]
    std: Float[Tensor, "*shape stoch"]

    def sample(self, noise: Tensor | None = None) -> Float[Tensor, "*shape stoch"]:
        """Draw mean + std * noise; standard normal `noise` broadcasts over the mean."""
        if noise is None:
            noise = torch.randn_like(self.mean)
        return self.mean + self.std * noise

    def mode(self) -> Float[Tensor, "*shape stoch"]:
        """Return the mean."""
        return self.mean

    def log_prob(self, sample: Float[Tensor, "... stoch"]) -> Float[Tensor, "*shape"]:
        """Return the log density at points that broadcast over the mean."""
        distance = (sample - self.mean) / self.std
        log_density = -0.5 * distance.square() - self.std.log() - 0.5 * math.log(2 * math.pi)
        return log_density.sum(-1)

    def entropy(self) -> Float[Tensor, "*shape"]:
        """Return the entropy of all coordinates together, in nats."""
        return (self.std.log() + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)

    def apply(self, change: Callable[[Tensor], Tensor]) -> GaussianLatent:
        """Return the distribution with changed parameters, such as other leading axes."""
        return GaussianLatent(change(self.mean), change(self.std))

    def detach(self) -> GaussianLatent:
        """Return the same distribution, of which no gradient is known."""
        return self.apply(Tensor.detach)


Latent: TypeAlias = CategoricalLatent | GaussianLatent
"""Distribution of a stochastic latent."""


def kl_divergence(p: Latent, q: Latent) -> Float[Tensor, "*shape"]:
    """Return KL(p || q) in nats, summed over the latent's own axes.

    Raises `TypeError` for latents of two kinds.
    """
    if isinstance(p, CategoricalLatent) and isinstance(q, CategoricalLatent):
        log_p, log_q = p.log_probabilities, q.log_probabilities
        return (log_p.exp() * (log_p - log_q)).sum((-2, -1))
    if isinstance(p, GaussianLatent) and isinstance(q, GaussianLatent):
        ratio = (p.std / q.std).square()
        distance = ((p.mean - q.mean) / q.std).square()
        return 0.5 * (ratio + distance - 1.0 - ratio.log()).sum(-1)
    raise TypeError(f"No divergence of a {type(p).__name__} from a {type(q).__name__}.")


@dataclass(frozen=True)
class TruncatedNormal:
    """Independent normal variables, each cut to [-1, 1]: DreamerV2's distribution of actions.

    `mean` and `std` are those before the cut; the mean lies in [-1, 1].
    """

    mean: Float[Tensor, "*shape action"]
    std: Float[Tensor, "*shape action"]

    def sample(self, noise: Tensor | None = None) -> Float[Tensor, "*shape action"]:
        """Draw mean + std * z with z a truncated standard normal variable, held constant.

        So dx/dmean = 1 and dx/dstd = z, as in the public code; the exact implicit gradient is
        several times smaller near the bounds. Uniform `noise` in [0, 1) is put through the inverse
        of the distribution function. The value stays 1e-6 inside the bounds, where clipping
        passes the gradient on.
        """
        with torch.no_grad():
            lower, upper = self._bounds()
            low, high = torch.special.ndtr(lower), torch.special.ndtr(upper)
            if noise is None:
                noise = torch.rand_like(self.mean)
            most = 1.0 - torch.finfo(self.mean.dtype).eps
            quantile = (low + noise * (high - low)).clamp(max=most)
            standard = torch.special.ndtri(quantile).clamp(lower, upper)
        drawn = self.mean + self.std * standard
        within = drawn.detach().clamp(-1.0 + ACTION_MARGIN, 1.0 - ACTION_MARGIN)
        action: Tensor = within + (drawn - drawn.detach())
        return action

    def mode(self) -> Float[Tensor, "*shape action"]:
        """Return the likeliest action, the mean."""
        return self.mean

    def entropy(self) -> Float[Tensor, "*shape"]:
        """Return the entropy of all actions together, in nats.

        Of one: log(std * Z * sqrt(2 pi e)) + (a phi(a) - b phi(b)) / (2 Z), with a and b the
        bounds in units of std, and Z the probability between them.
        """
        lower, upper = self._bounds()
        inside = torch.special.ndtr(upper) - torch.special.ndtr(lower)
        edges = lower * _normal_density(lower) - upper * _normal_density(upper)
        untruncated = 0.5 * math.log(2 * math.pi * math.e)
        entropy: Tensor = untruncated + self.std.log() + inside.log() + 0.5 * edges / inside
        return entropy.sum(-1)

    def _bounds(self) -> tuple[Tensor, Tensor]:
        return (-1.0 - self.mean) / self.std, (1.0 - self.mean) / self.std


def _normal_density(value: Tensor) -> Tensor:
    return torch.exp(-0.5 * value.square()) / math.sqrt(2 * math.pi)


def _one_hot(index: Tensor, like: Tensor) -> Tensor:
    """Mark one place along the last axis of a tensor of this shape."""
    return torch.zeros_like(like).scatter_(-1, index, 1.0)


class _StraightThrough(torch.autograd.Function):
    """One-hot draws whose gradient is handed to the probabilities unchanged."""

    @staticmethod
    def forward(_context: Any, probabilities: Tensor, noise: Tensor) -> Tensor:
        cumulative = probabilities.cumsum(-1)
        # The last sum is 1 but for rounding, which must not lead past the last class.
        passed = cumulative <= noise.unsqueeze(-1) * cumulative[..., -1:]
        index = passed.sum(-1, keepdim=True).clamp_(max=probabilities.shape[-1] - 1)
        return _one_hot(index, probabilities)

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None
