"""Uncertainty penalties: how little an ensemble's prediction is to be trusted.

Each maps an `EnsemblePrediction` of members k = 1..K to numbers `(... batch)`, zero or more, that
an algorithm takes off the imagined reward, times its weight. A member's mean mu_k is its mean
vector (Gaussian) or its table of class probabilities, stoch x classes, read as one vector
(categorical). Norms are Euclidean, so Frobenius norms of such tables; variances and standard
deviations over members are those of the population (divided by K). Values and gradients are finite
everywhere, also where members agree and a square root has no derivative: there it is taken as
zero. Everything is computed in float32 or better, whatever autocast says.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from vrl_core.protocols import EnsemblePrediction
from vrl_worldmodel.distributions import (
    CategoricalLatent,
    GaussianLatent,
    Latent,
    at_least_float32,
)

Penalties = Float[Tensor, "*batch"]
PerMember = Float[Tensor, "member *batch"]
MemberVectors = Float[Tensor, "member *batch size"]


def no_penalty(prediction: EnsemblePrediction) -> Penalties:
    """Return zeros: the model is trusted everywhere."""
    return torch.zeros_like(prediction.member, dtype=torch.float32)


def mean_disagreement(prediction: EnsemblePrediction) -> Penalties:
    """Mean over k of |mu_k - mean mu|, the distance as V-D4RL's public code takes it."""
    return _distances(prediction).mean(0)


def squared_disagreement(prediction: EnsemblePrediction) -> Penalties:
    """Sum over k of |mu_k - mean mu|^2, the penalty as written in V-D4RL's Equation 1."""
    return _deviations(_means(_latent(prediction))).square().sum((0, -1))


def max_disagreement(prediction: EnsemblePrediction) -> Penalties:
    """Max over k of |mu_k - mean mu|, the "ens. pen." of MOPO's ablation (Appendix D)."""
    return _distances(prediction).amax(0)


def mean_std(prediction: EnsemblePrediction) -> Penalties:
    """Mean over k of |sigma_k| of Gaussian members, MOPO's "avg. var." (Appendix D)."""
    return _norms(_std(prediction)).mean(0)


def max_std(prediction: EnsemblePrediction) -> Penalties:
    """Max over k of |sigma_k| of Gaussian members (MOPO, Section 4.3)."""
    return _norms(_std(prediction)).amax(0)


def logit_std(prediction: EnsemblePrediction) -> Penalties:
    """Standard deviation over k of every logit, averaged over the table (MOTO, Equation 2).

    The paper leaves open how one number is made of 32 x 32 deviations; this is the mean. Logits
    are taken as they are: a constant added to a member's logits of one variable changes its
    distribution in nothing, and counts.
    """
    assert prediction.logits is not None, "configurations refuse Gaussian members"
    return _member_std(at_least_float32(prediction.logits)).mean((-2, -1))


def log_prob_variance(prediction: EnsemblePrediction) -> Penalties:
    """Variance over k of log p_k(sample) (LOMPO, Section 4.3).

    The log density is that of the whole latent. No gradient passes through the sample.
    """
    return _deviations(_log_probs(prediction)).square().mean(0)


def log_prob_std(prediction: EnsemblePrediction) -> Penalties:
    """Standard deviation over k of log p_k(sample), as LOMPO's public code takes it."""
    return _member_std(_log_probs(prediction))


def ensemble_std(prediction: EnsemblePrediction) -> Penalties:
    """Norm of the standard deviations of the members' equal mixture (Lu et al. 2022).

    Per coordinate the mixture's variance is mean_k(sigma_k^2 + mu_k^2) - (mean mu)^2, written here
    as mean_k sigma_k^2 + var_k mu_k, which cancels nothing. A class of probability p has the
    variance p (1 - p).
    """
    latent = _latent(prediction)
    means = _means(latent)
    noise = means * (1 - means) if isinstance(latent, CategoricalLatent) else latent.std.square()
    return _root((noise + _deviations(means).square()).mean(0).sum(-1))


def _latent(prediction: EnsemblePrediction) -> Latent:
    """Return every member's distribution, along a leading axis, in float32 or better."""
    if prediction.logits is not None:
        return CategoricalLatent(at_least_float32(prediction.logits))
    assert prediction.mean is not None
    return GaussianLatent(at_least_float32(prediction.mean), _std(prediction))


def _std(prediction: EnsemblePrediction) -> MemberVectors:
    assert prediction.std is not None, "configurations refuse categorical members"
    return at_least_float32(prediction.std)


def _means(latent: Latent) -> MemberVectors:
    if isinstance(latent, CategoricalLatent):
        return latent.probabilities.flatten(-2)
    return latent.mean


def _log_probs(prediction: EnsemblePrediction) -> PerMember:
    """Return log p_k(sample), summed over the latent's axes."""
    latent, sample = _latent(prediction), at_least_float32(prediction.sample.detach())
    if isinstance(latent, CategoricalLatent):
        sample = sample.flatten(-2)
    return latent.log_prob(sample)


def _deviations(values: PerMember) -> PerMember:
    return values - values.mean(0, keepdim=True)


def _distances(prediction: EnsemblePrediction) -> PerMember:
    """Return |mu_k - mean mu| of every member."""
    return _norms(_deviations(_means(_latent(prediction))))


def _norms(vectors: MemberVectors) -> PerMember:
    norms: Tensor = torch.linalg.vector_norm(vectors, dim=-1)  # its gradient at zero is zero
    return norms


def _member_std(values: PerMember) -> Penalties:
    # As a norm, whose gradient at zero is zero; that of the root of a variance would be infinite.
    norms: Tensor = torch.linalg.vector_norm(_deviations(values), dim=0)
    return norms / math.sqrt(len(values))


def _root(values: Penalties) -> Penalties:
    """Return square roots, with the gradient zero at zero."""
    positive = values > 0
    return torch.where(positive, values, 1).sqrt() * positive
