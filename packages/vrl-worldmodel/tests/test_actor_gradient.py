"""The gradient of Offline DV2's penalised objective, against finite differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from vrl_core.hooks import PenaltyConfig
from vrl_core.protocols import EnsemblePrediction
from vrl_worldmodel.actor_critic import actor_loss
from vrl_worldmodel.config import OfflineDV2Config
from vrl_worldmodel.distributions import CategoricalLatent, TruncatedNormal
from vrl_worldmodel.imagination import Penalty, imagine
from vrl_worldmodel.offline_dv2 import OfflineDV2
from vrl_worldmodel.penalty_config import EnsembleStd, LogProbStd, MeanDisagreement
from vrl_worldmodel.rssm import LatentState


def build(model_config, spec, penalty: PenaltyConfig) -> OfflineDV2:
    """A learner in float64, whose policy is far from the actions' bounds: nothing is cut off."""
    torch.manual_seed(0)
    config = OfflineDV2Config(
        model=model_config,
        actor_layers=(8,),
        critic_layers=(8,),
        penalty=penalty,
        precision="float32",
    )
    learner = config.build(spec, torch.device("cpu"))
    learner.model.double().requires_grad_(False)
    learner.agent.actor.double()
    learner.agent.target_critic.double()
    output = learner.agent.actor.network.output
    output.weight.data.mul_(0.1)
    output.bias.data[2:] = -7.0  # deviations near 0.16
    return learner


def starts(learner: OfflineDV2) -> LatentState:
    rssm = learner.model.rssm
    deterministic = torch.randn_like(rssm.start(6).deterministic).tanh()
    return LatentState(deterministic, rssm.prior(deterministic, rssm.draw_member()).sample())


class Frozen:
    """Holds constant what the gradient takes for constant, at its values in the first rollout.

    That is the features that the actor sees; the latent whose density a penalty judges; and of a
    straight-through draw the one-hot vectors and the probabilities that were taken off:
    `one_hot + p - p_first` has the same gradient.
    """

    def __init__(self) -> None:
        self.features: list[Tensor] = []
        self.judged: list[Tensor] = []
        self.drawn: list[tuple[Tensor, Tensor]] = []
        self.replaying = False
        self._remaining_features: Iterator[Tensor] = iter(())
        self._remaining_judged: Iterator[Tensor] = iter(())
        self._remaining_drawn: Iterator[tuple[Tensor, Tensor]] = iter(())

    def replay(self) -> None:
        self.replaying = True
        self._remaining_features = iter(self.features)
        self._remaining_judged = iter(self.judged)
        self._remaining_drawn = iter(self.drawn)

    def act(self, actor: Callable[[Tensor], TruncatedNormal]) -> Callable[..., TruncatedNormal]:
        def acting(features: Tensor) -> TruncatedNormal:
            if self.replaying:
                return actor(next(self._remaining_features))
            self.features.append(features)
            return actor(features)

        return acting

    def judging(self, penalty: Penalty) -> Penalty:
        def judge(prediction: EnsemblePrediction) -> Tensor:
            if self.replaying:
                return penalty(replace(prediction, sample=next(self._remaining_judged)))
            self.judged.append(prediction.sample.detach())
            return penalty(prediction)

        return judge

    def sampling(self, original: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def sample(latent: CategoricalLatent, noise: Tensor | None = None) -> Tensor:
            drawn, probabilities = original(latent, noise), latent.probabilities.flatten(-2)
            if self.replaying:
                one_hot, first = next(self._remaining_drawn)
                return one_hot + probabilities - first
            self.drawn.append((drawn.detach(), probabilities.detach()))
            return drawn

        return sample


@pytest.mark.parametrize("penalty", [MeanDisagreement, EnsembleStd, LogProbStd])
def test_penalised_gradient_equals_finite_differences(
    model_config, spec, penalty, monkeypatch
) -> None:
    """The actor's whole objective in float64, with the noise of every evaluation the same.

    For categorical latents it is the straight-through surrogate's gradient.
    """
    learner = build(model_config, spec, penalty(weight=2.0))
    start = starts(learner)
    frozen = Frozen()
    monkeypatch.setattr(CategoricalLatent, "sample", frozen.sampling(CategoricalLatent.sample))

    def objective() -> Tensor:
        torch.manual_seed(5)
        act = frozen.act(learner.agent.actor)
        judge = frozen.judging(learner.penalty)
        imagined = imagine(learner.model.rssm, start, act, 3, judge)
        reward = learner.penalised_reward(imagined)
        value = learner.agent.target_critic(imagined.features[1:])
        return actor_loss_of(reward, value, imagined.entropy)

    parameters = list(learner.agent.actor.parameters())
    gradients = torch.autograd.grad(objective(), parameters)
    torch.manual_seed(6)
    for _ in range(3):
        direction = [torch.randn_like(parameter) for parameter in parameters]
        slope = sum(float((g * d).sum()) for g, d in zip(gradients, direction, strict=True))
        ahead, behind = (
            shifted(objective, parameters, direction, s * 1e-5, frozen) for s in (1, -1)
        )
        assert (ahead - behind) / 2e-5 == pytest.approx(slope, rel=1e-5)
        assert abs(slope) > 1e-6


def actor_loss_of(reward: Tensor, value: Tensor, entropy: Tensor) -> Tensor:
    """The objective with its lambda-returns written out for three steps."""
    discount, mix = 0.99, 0.95
    third = reward[2] + discount * value[2]
    second = reward[1] + discount * ((1 - mix) * value[1] + mix * third)
    return actor_loss(
        torch.stack([torch.zeros_like(second), second, third]), entropy, discount, 0.1
    )


def shifted(objective, parameters, direction, size, frozen) -> float:
    """Return the objective at parameters moved along a direction."""
    with torch.no_grad():
        for parameter, change in zip(parameters, direction, strict=True):
            parameter.add_(change, alpha=size)
        frozen.replay()
        value = float(objective())
        for parameter, change in zip(parameters, direction, strict=True):
            parameter.sub_(change, alpha=size)
    return value
