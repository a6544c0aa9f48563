"""The recurrent state-space model: one deterministic and one stochastic part of a state.

From a state and an action the recurrence makes the next deterministic part. From that, an ensemble
of prior heads predicts the stochastic part, and the posterior infers it with the help of the
observation (V-D4RL, Sections 2 and 3.2; LOMPO, Section 4.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from vrl_core.protocols import EnsemblePrediction
from vrl_worldmodel.config import WorldModelConfig
from vrl_worldmodel.distributions import (
    CategoricalLatent,
    GaussianLatent,
    Latent,
    at_least_float32,
)
from vrl_worldmodel.heads import EnsembleHeads, linear
from vrl_worldmodel.recurrence import recurrence


@dataclass(frozen=True)
class LatentState:
    """A state of the model: `deterministic` `(*shape, deter)`, `stochastic` `(*shape, size)`.

    A categorical stochastic part is flattened: `size` is stoch * classes.
    """

    deterministic: Float[Tensor, "*shape deter"]
    stochastic: Float[Tensor, "*shape size"]

    @property
    def features(self) -> Float[Tensor, "*shape feature"]:
        """Both parts together, the stochastic one first."""
        return torch.cat([self.stochastic, self.deterministic], dim=-1)

    def apply(self, change: Callable[[Tensor], Tensor]) -> LatentState:
        """Return the states with both parts changed alike, such as some rows of them."""
        return LatentState(change(self.deterministic), change(self.stochastic))

    def detach(self) -> LatentState:
        """Return the same states, of which no gradient is known."""
        return self.apply(Tensor.detach)

    def flatten(self) -> LatentState:
        """Return the states along one axis: `(batch time, .)` becomes `(batch*time, .)`."""
        return self.apply(lambda part: part.flatten(0, -2))


@dataclass(frozen=True)
class Observed:
    """States `(batch, time, .)` inferred from observations, and what they were drawn from."""

    states: LatentState
    posterior: Latent


class RSSM(nn.Module):
    """Recurrent state-space model with `config.members` prior heads on one recurrence.

    Sizes and nonlinearities are DreamerV2's: a hidden ELU layer before the recurrence, in every
    prior head and in the posterior. Layers that read two things at once (latent and action, state
    and embedding) are held as two, so that the part that is known beforehand is one product over
    all steps outside the scan. Weights start as in Keras: Glorot uniform, biases zero.
    """

    def __init__(self, config: WorldModelConfig, action_size: int, embedding_size: int) -> None:
        super().__init__()
        self.categorical = config.latent == "categorical"
        self.latent_shape = (
            (config.stochastic_size, config.classes)
            if self.categorical
            else (config.stochastic_size,)
        )
        self.minimum_std = config.minimum_std
        self.members = config.members
        self.deterministic_size = config.deterministic_size
        self.stochastic_size = config.stochastic_size * (config.classes if self.categorical else 1)
        self.feature_size = self.stochastic_size + self.deterministic_size
        outputs = self.stochastic_size if self.categorical else 2 * self.stochastic_size
        deter, hidden = config.deterministic_size, config.hidden_size
        self.from_stochastic, self.from_action = _split_linear(
            self.stochastic_size, action_size, hidden
        )
        self.recurrence = recurrence(config.recurrence, hidden, deter)
        self.prior_heads = EnsembleHeads(config.members, deter, hidden, outputs)
        self.from_deterministic, self.from_embedding = _split_linear(deter, embedding_size, hidden)
        self.posterior_output = linear(hidden, outputs)

    def start(self, batch: int) -> LatentState:
        """Return the state before anything was seen: zeros."""
        zeros = self.posterior_output.weight.new_zeros
        return LatentState(
            zeros(batch, self.deterministic_size), zeros(batch, self.stochastic_size)
        )

    def draw_member(self, count: int = 1) -> Int[Tensor, " count"]:
        """Draw prior heads, all equally likely, without waiting for the device."""
        device = self.posterior_output.weight.device
        return torch.randint(self.members, (count,), device=device)

    def draw_noise(
        self, *shape: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "*shape stoch"]:
        """Draw what `sample` turns into latents of this leading shape: `(*shape, stoch)`.

        Uniform in [0, 1) for categorical latents, standard normal for Gaussian ones.
        """
        noise = self.posterior_output.weight.new_empty(*shape, self.latent_shape[0])
        if self.categorical:
            return noise.uniform_(generator=generator)
        return noise.normal_(generator=generator)

    def advance(
        self, state: LatentState, action: Float[Tensor, "*shape action"]
    ) -> Float[Tensor, "*shape deter"]:
        """Return the deterministic part after taking the action in the state."""
        return self._advance(state, self.from_action(action))

    def posterior(
        self,
        deterministic: Float[Tensor, "*shape deter"],
        embedding: Float[Tensor, "*shape embedding"],
    ) -> Latent:
        """Infer the stochastic part of the state in which this was observed."""
        return self._posterior(deterministic, self.from_embedding(embedding))

    def prior(self, deterministic: Float[Tensor, "*shape deter"], member: Tensor) -> Latent:
        """Predict the stochastic part by one member for all, or by one for each leading row."""
        if member.numel() == 1:
            output = self.prior_heads.select(deterministic.unsqueeze(0), member.reshape(1))
            return self._latent(output.squeeze(0))
        return self._latent(self.prior_heads.select(deterministic, member))

    def priors(self, deterministic: Float[Tensor, "*shape deter"]) -> Latent:
        """Predict the stochastic part by every member, along a leading axis."""
        return self._latent(self.prior_heads(deterministic))

    def observe(
        self,
        embedding: Float[Tensor, "batch time embedding"],
        previous_action: Float[Tensor, "batch time action"],
        start: LatentState | None = None,
        noise: Float[Tensor, "batch time stoch"] | None = None,
    ) -> Observed:
        """Infer the states of observations, each drawn given the one before.

        `previous_action[:, t]` led to observation t. `noise` is as `draw_noise` gives it.
        """
        batch, time = embedding.shape[:2]
        state = start or self.start(batch)
        noise = self.draw_noise(batch, time) if noise is None else noise
        # All that is known beforehand is multiplied here, once for all steps.
        seen = self.from_embedding(embedding).unbind(1)
        acted = self.from_action(previous_action).unbind(1)
        states, posteriors = [], []
        for step, step_noise in enumerate(noise.unbind(1)):
            deterministic = self._advance(state, acted[step])
            posterior = self._posterior(deterministic, seen[step])
            state = LatentState(deterministic, posterior.sample(step_noise))
            states.append(state)
            posteriors.append(posterior)
        return Observed(_stack_states(states), _stack_latents(posteriors))

    def observe_step(
        self,
        state: LatentState,
        previous_action: Float[Tensor, "batch action"],
        embedding: Float[Tensor, "batch embedding"],
        noise: Tensor | None = None,
    ) -> tuple[LatentState, Latent]:
        """Infer the state after one more action and observation; also its distribution."""
        deterministic = self.advance(state, previous_action)
        posterior = self.posterior(deterministic, embedding)
        return LatentState(deterministic, posterior.sample(noise)), posterior

    def imagine_step(
        self,
        state: LatentState,
        action: Float[Tensor, "*shape action"],
        member: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> tuple[LatentState, EnsemblePrediction]:
        """Draw the next state, and say what each member predicts of it.

        One member, drawn at random, makes the next state of the whole batch (V-D4RL's code).
        """
        deterministic = self.advance(state, action)
        priors = self.priors(deterministic)
        member = self.draw_member() if member is None else member.reshape(1)
        drawn = priors.apply(lambda value: value.index_select(0, member).squeeze(0)).sample(noise)
        prediction = self._prediction(priors, drawn, member.expand(deterministic.shape[:-1]))
        return LatentState(deterministic, drawn), prediction

    def predict(self, state: LatentState) -> EnsemblePrediction:
        """Say what each member predicts of this state's stochastic part from its deterministic.

        Its own stochastic part, which no member need have made, stands as the sample of member 0.
        """
        member = torch.zeros(
            state.deterministic.shape[:-1], dtype=torch.int64, device=state.deterministic.device
        )
        return self._prediction(self.priors(state.deterministic), state.stochastic, member)

    def _advance(self, state: LatentState, acted: Tensor) -> Tensor:
        value = functional.elu(self.from_stochastic(state.stochastic) + acted)
        advanced: Tensor = self.recurrence(value, state.deterministic)
        return advanced

    def _posterior(self, deterministic: Tensor, seen: Tensor) -> Latent:
        hidden = functional.elu(self.from_deterministic(deterministic) + seen)
        return self._latent(self.posterior_output(hidden))

    def _latent(self, output: Tensor) -> Latent:
        """Read a layer's output as a distribution, in float32."""
        output = at_least_float32(output)
        if self.categorical:
            return CategoricalLatent(output.reshape(*output.shape[:-1], *self.latent_shape))
        mean, raw = output.chunk(2, dim=-1)
        return GaussianLatent(mean, functional.softplus(raw) + self.minimum_std)

    def _prediction(self, priors: Latent, sample: Tensor, member: Tensor) -> EnsemblePrediction:
        sample = sample.reshape(*sample.shape[:-1], *self.latent_shape)
        if isinstance(priors, CategoricalLatent):
            return EnsemblePrediction(
                kind="categorical", sample=sample, member=member, logits=priors.logits
            )
        return EnsemblePrediction(
            kind="gaussian", sample=sample, member=member, mean=priors.mean, std=priors.std
        )


def _split_linear(first: int, second: int, outputs: int) -> tuple[nn.Linear, nn.Linear]:
    """Return a linear layer of two inputs as one for each, the bias with the second."""
    whole = linear(first + second, outputs)
    parts = nn.Linear(first, outputs, bias=False), nn.Linear(second, outputs)
    with torch.no_grad():
        parts[0].weight.copy_(whole.weight[:, :first])
        parts[1].weight.copy_(whole.weight[:, first:])
        parts[1].bias.zero_()
    return parts


def _stack_states(states: list[LatentState]) -> LatentState:
    """Stack states of one time step each along a second axis; memory stays time-major."""
    return LatentState(
        _stack([state.deterministic for state in states]),
        _stack([state.stochastic for state in states]),
    )


def _stack_latents(latents: list[Latent]) -> Latent:
    first = latents[0]
    if isinstance(first, CategoricalLatent):
        categorical = [latent for latent in latents if isinstance(latent, CategoricalLatent)]
        return CategoricalLatent(_stack([latent.logits for latent in categorical]))
    gaussian = [latent for latent in latents if isinstance(latent, GaussianLatent)]
    return GaussianLatent(
        _stack([latent.mean for latent in gaussian]), _stack([latent.std for latent in gaussian])
    )


def _stack(steps: list[Tensor]) -> Tensor:
    return torch.stack(steps).transpose(0, 1)
