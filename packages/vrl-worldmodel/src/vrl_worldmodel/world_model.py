"""The world model: encoder, recurrent state-space model, decoder and reward head, and its loss."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from vrl_core.errors import VRLError
from vrl_core.observations import ObservationFields
from vrl_core.protocols import Metrics, Observations, SequenceBatch
from vrl_core.standardisation import StandardisedVectors
from vrl_worldmodel.config import WorldModelConfig
from vrl_worldmodel.decoder import ConvolutionalDecoder
from vrl_worldmodel.distributions import Latent, at_least_float32, kl_divergence
from vrl_worldmodel.encoder import ConvolutionalEncoder, normalise
from vrl_worldmodel.heads import Head
from vrl_worldmodel.observation_networks import ObservationDecoder, ObservationEncoder
from vrl_worldmodel.rssm import RSSM, Observed

PIXEL_CENTRE = 0.5
"""Pixels are x/255 - 1/2 inside the model."""


class WorldModel(nn.Module):
    """Predicts observations and rewards from actions through a latent state.

    Row t of a window holds observation t, the action that led to it (zeros for the first: a window
    starts from the zero state) and, but for the first, the reward that step earned.
    """

    def __init__(
        self, config: WorldModelConfig, fields: ObservationFields, action_size: int
    ) -> None:
        """Build for observations of these fields. One camera has convolutions and nothing else.

        Raises `VRLError` for sizes that the convolutions cannot take.
        """
        super().__init__()
        self.config = config
        self.fields = fields
        self.encoder: ConvolutionalEncoder | ObservationEncoder
        self.decoder: ConvolutionalDecoder | ObservationDecoder
        if fields.only_camera:
            shape, activation = fields.cameras[fields.only_camera], config.convolution_activation
            self.encoder = ConvolutionalEncoder(shape, config.channels, activation)
        else:
            self.encoder = ObservationEncoder(config, fields)
        self.rssm = RSSM(config, action_size, self.encoder.features)
        self.feature_size = self.rssm.feature_size
        if fields.only_camera:
            self.decoder = ConvolutionalDecoder(
                self.feature_size, shape, config.channels, activation
            )
        else:
            self.decoder = ObservationDecoder(config, fields, self.feature_size)
        self.reward = Head(self.feature_size, config.reward_layers)

    @property
    def vectors(self) -> StandardisedVectors | None:
        """The vectors' standardisation; none for images alone."""
        return self.encoder.vectors if isinstance(self.encoder, ObservationEncoder) else None

    def encode(self, observations: Observations) -> Float[Tensor, "*shape embedding"]:
        """Encode images `(..., height, width, channel)` uint8 and vectors `(..., number)`.

        In bfloat16 where autocast says so.
        """
        only = self.fields.only_camera
        embedding: Tensor = self.encoder(observations[only] if only else observations)
        return embedding

    def infer(
        self,
        embedding: Float[Tensor, "batch time embedding"],
        action: Float[Tensor, "batch time-1 action"],
        noise: Float[Tensor, "batch time stoch"] | None = None,
    ) -> Observed:
        """Infer the states of a window's observations; `action[:, t]` was taken at observation t.

        `noise` is as `RSSM.draw_noise` gives it.
        """
        nothing = action.new_zeros(action.shape[0], 1, action.shape[2])
        return self.rssm.observe(embedding, torch.cat([nothing, action], dim=1), noise=noise)

    def loss(self, batch: SequenceBatch) -> tuple[Float[Tensor, ""], Metrics]:
        """Return the negative evidence lower bound of a batch, and its parts.

        KL divergence (`divergence_loss`) + negative log likelihood of every image, summed over its
        pixels, and of the standardised vectors, summed over their numbers, + that of the reward,
        all normal with variance 1 and averaged over batch and time (V-D4RL, Section 2; LOMPO,
        Equation 5). The likelihoods' constants, log(2 pi)/2 a number, are left out: public code
        that has them reports 11,292 more for 64x64 pixels.
        """
        observed = self.infer(self.encode(batch.observations), batch.action)
        prior = self._drawn_prior(observed)
        divergence, parts = divergence_loss(self.config, observed.posterior, prior)
        features = observed.states.features
        likelihoods = self.observation_losses(features, batch.observations)
        reward = reward_loss(self.reward_of(features[:, 1:]), batch.reward)
        loss = divergence
        for likelihood in likelihoods.values():
            loss = loss + likelihood
        loss = loss + reward
        # Parts before their sum: the loop names the first metric that is not finite.
        losses = {**likelihoods, "reward_loss": reward, **parts, "loss": loss}
        return loss, {name: value.detach() for name, value in losses.items()}

    def observation_losses(
        self, features: Float[Tensor, "batch time feature"], observations: Observations
    ) -> Metrics:
        """Return `image_loss`, of all cameras together, and `vector_loss`; those that there are."""
        images = [
            image_loss(self._decoder_of(name)(features), observations[name])
            for name in self.fields.cameras
        ]
        losses = {"image_loss": sum(images[1:], images[0])} if images else {}
        if isinstance(self.decoder, ObservationDecoder) and self.vectors is not None:
            predicted = self.decoder.vectors(features)
            losses["vector_loss"] = vector_loss(predicted, self.vectors(observations))
        return losses

    def _decoder_of(self, camera: str) -> nn.Module:
        if not isinstance(self.decoder, ObservationDecoder):
            return self.decoder
        return self.decoder.cameras[list(self.fields.cameras).index(camera)]

    def reward_of(self, features: Float[Tensor, "*shape feature"]) -> Float[Tensor, "*shape"]:
        """Predict the reward of the step that led to these states."""
        reward: Tensor = self.reward(features)
        return reward

    def decode(
        self, features: Float[Tensor, "*shape feature"]
    ) -> Float[Tensor, "*shape height width channel"]:
        """Predict the main camera's images, black at 0 and white at 1.

        The prediction may lie outside. Raises `VRLError` when there is no camera.
        """
        if self.fields.main_camera is None:
            raise VRLError(
                f"This world model has no images, only {', '.join(self.fields.names)}, so it draws "
                "none. Give a run on data with images."
            )
        return at_least_float32(self._decoder_of(self.fields.main_camera)(features)) + PIXEL_CENTRE

    def _drawn_prior(self, observed: Observed) -> Latent:
        """Predict every state by one member, drawn per time step for the whole batch.

        So each step trains one member, as in the public code of both papers.
        """
        deterministic = observed.states.deterministic.transpose(0, 1)
        prior = self.rssm.prior(deterministic, self.rssm.draw_member(len(deterministic)))
        return prior.apply(lambda value: value.transpose(0, 1))


def divergence_loss(
    config: WorldModelConfig, posterior: Latent, prior: Latent
) -> tuple[Float[Tensor, ""], Metrics]:
    """Return the divergence of the posterior from the prior as it enters the loss, and its parts.

    With a balance b: b * KL(sg(posterior) || prior) + (1-b) * KL(posterior || sg(prior)), where
    sg stops the gradient (DreamerV2, Algorithm 2). Each side's mean over batch and time counts as
    the free nats if it is less, and has no gradient then.
    """

    def side(first: Latent, second: Latent) -> Tensor:
        return kl_divergence(first, second).mean().clamp(min=config.free_nats)

    balance = config.kl_balance
    if balance is None:
        loss = side(posterior, prior)
    else:
        to_prior = side(posterior.detach(), prior)
        loss = balance * to_prior + (1.0 - balance) * side(posterior, prior.detach())
    with torch.no_grad():
        metrics = {
            "kl": kl_divergence(posterior, prior).mean(),
            "posterior_entropy": posterior.entropy().mean(),
            "prior_entropy": prior.entropy().mean(),
        }
    return loss, metrics


def image_loss(
    predicted: Float[Tensor, "batch time height width channel"],
    images: UInt8[Tensor, "batch time height width channel"],
) -> Float[Tensor, ""]:
    """Return half the squared error of pixels (x/255 - 1/2), summed over each image, on average."""
    predicted = at_least_float32(predicted)
    target = normalise(images, predicted.dtype)
    squares = functional.mse_loss(predicted, target, reduction="sum")
    return squares * (0.5 / (images.shape[0] * images.shape[1]))


def vector_loss(
    predicted: Float[Tensor, "batch time number"], target: Float[Tensor, "batch time number"]
) -> Float[Tensor, ""]:
    """Return half the squared error of standardised vectors, summed over numbers, on average."""
    return 0.5 * (predicted - target).square().sum(-1).mean()


def reward_loss(
    predicted: Float[Tensor, "batch step"], reward: Float[Tensor, "batch step"]
) -> Float[Tensor, ""]:
    """Return half the squared error of the reward, averaged over batch and time."""
    return 0.5 * (predicted - reward).square().mean()


def to_uint8(images: Float[Tensor, "*shape height width channel"]) -> Tensor:
    """Turn decoded images into pixels."""
    return (images.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)
