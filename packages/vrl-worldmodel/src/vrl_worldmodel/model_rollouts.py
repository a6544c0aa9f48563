"""Rollouts of a policy in the dynamics ensemble, with MOPO's penalised reward (Algorithm 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vrl_core.errors import VRLError
from vrl_core.protocols import EnsemblePrediction
from vrl_worldmodel.model_replay import ImaginedSteps
from vrl_worldmodel.simulator import ImaginedPenalty
from vrl_worldmodel.terminations import Termination

Act = Callable[[Tensor], Tensor]
"""From states `(batch, state)` to actions `(batch, action)`."""


@runtime_checkable
class Ensemble(Protocol):
    """What rollouts ask of a model, such as a `ProbabilisticEnsemble`."""

    def predict(
        self, state: Float[Tensor, "batch state"], action: Float[Tensor, "batch action"]
    ) -> tuple[Tensor, Tensor]:
        """Return mean and deviation of next state, then reward, `(member, batch, feature)`."""
        ...


@dataclass(frozen=True, kw_only=True)
class LearnedModel:
    """The model as an environment: a step draws what an elite predicts, less the penalty."""

    ensemble: Ensemble
    penalty: ImaginedPenalty
    weight: float
    """Penalty weight (lambda)."""
    terminated: Termination
    reward: Literal["sampled", "mean"] = "sampled"
    """Reward drawn with the next state, or the drawing member's mean (Section 4.3)."""

    @torch.no_grad()
    def step(
        self,
        state: Float[Tensor, "batch state"],
        action: Float[Tensor, "batch action"],
        elites: Int64[Tensor, " elite"],
        number: int = 0,
    ) -> ImaginedSteps:
        """Take one step from each state, by an elite of its own; `number` is for errors.

        The penalty sees all members, elites or not, and the deviation of the reward as well as
        those of the state (fact F4). Raises `VRLError` when a member's prediction is not finite.
        """
        mean, std = self.ensemble.predict(state, action)
        require_finite(mean, std, number, action)
        prediction = draw(mean, std, elites)
        penalty = self.penalty(prediction, state, action)
        drawn = prediction.sample
        reward = drawn[:, -1]
        if self.reward == "mean":
            reward = mean[prediction.member, torch.arange(len(state), device=state.device), -1]
        return ImaginedSteps(
            state=state,
            action=action,
            next_state=drawn[:, :-1],
            reward=reward - self.weight * penalty,
            penalty=penalty,
            terminated=self.terminated(drawn[:, :-1]),
        )

    def roll_out(
        self,
        state: Float[Tensor, "batch state"],
        act: Act,
        elites: Int64[Tensor, " elite"],
        length: int,
    ) -> Iterator[ImaginedSteps]:
        """Yield the steps of rollouts from these states; those that terminate go no further."""
        for number in range(length):
            steps = self.step(state, act(state), elites, number)
            yield steps
            state = steps.next_state[~steps.terminated]
            if not len(state):
                return


def draw(
    mean: Float[Tensor, "member batch feature"],
    std: Float[Tensor, "member batch feature"],
    elites: Int64[Tensor, " elite"],
) -> EnsemblePrediction:
    """Draw the next state and reward of each row from an elite of its own."""
    batch = mean.shape[1]
    member = elites[torch.randint(len(elites), (batch,), device=mean.device)]
    row = torch.arange(batch, device=mean.device)
    chosen_mean, chosen_std = mean[member, row], std[member, row]
    sample = chosen_mean + chosen_std * torch.randn_like(chosen_mean)
    return EnsemblePrediction(kind="gaussian", sample=sample, member=member, mean=mean, std=std)


def require_finite(
    mean: Float[Tensor, "member batch feature"],
    std: Float[Tensor, "member batch feature"],
    number: int,
    action: Float[Tensor, "batch action"],
) -> None:
    """Raise `VRLError` if a prediction is not finite: which member, in which step of a rollout.

    A policy whose actions are not finite is to blame itself.
    """
    # Largest sizes first: NaN and infinity pass through, and one number is read from the device.
    if bool(torch.stack((mean.abs().amax(), std.amax())).isfinite().all()):
        return
    lost = ~action.isfinite().all(-1)
    if bool(lost.any()):
        raise VRLError(
            f"The policy has diverged: in step {number + 1} of a rollout {int(lost.sum())} of its "
            f"{len(lost)} actions are not finite. Lower learning_rate (--learning-rate), or look "
            "at the rewards' size (`vrl data stats`)."
        )
    finite = (mean.isfinite() & std.isfinite()).all(-1)
    member, row = (int(index) for index in (~finite).nonzero()[0])
    raise VRLError(
        f"Member {member} of the dynamics has diverged: in step {number + 1} of a rollout it "
        f"predicts next states that are not finite ({int((~finite).sum())} predictions in all, "
        f"the first of row {row}). Shorten rollout_length, set state_bound (such as 100) so that "
        "rollouts end before, or train the dynamics on more data."
    )
