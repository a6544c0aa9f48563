"""Settings of the uncertainty penalties. Imports nothing heavy; the maths is in `penalties.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from vrl_core.errors import VRLError
from vrl_core.hooks import PenaltyConfig

if TYPE_CHECKING:
    from torch import Tensor

    from vrl_core.protocols import EnsemblePrediction
    from vrl_worldmodel.simulator import Simulator, TrueErrorPenalty

    Penalty = Callable[[EnsemblePrediction], Tensor]


@dataclass(frozen=True, kw_only=True)
class NoPenalty(PenaltyConfig):
    """No penalty: the model is trusted everywhere."""

    def build(self) -> Penalty:
        """Return the function that is zero everywhere."""
        from vrl_worldmodel.penalties import no_penalty

        return no_penalty


@dataclass(frozen=True, kw_only=True)
class MeanDisagreement(PenaltyConfig):
    """Distance of the members' means from the ensemble's mean, on average (V-D4RL, Equation 1)."""

    form: Literal["norm", "squared"] = "norm"
    """Mean of the distances, as in the public code, or the sum of their squares, as written."""

    def build(self) -> Penalty:
        """Return the function from a prediction to penalties `(... batch)`."""
        from vrl_worldmodel.penalties import mean_disagreement, squared_disagreement

        return mean_disagreement if self.form == "norm" else squared_disagreement


@dataclass(frozen=True, kw_only=True)
class MaxDisagreement(PenaltyConfig):
    """Distance of the farthest member's mean from the ensemble's mean (MOPO, Appendix D)."""

    def build(self) -> Penalty:
        """Return the function from a prediction to penalties `(... batch)`."""
        from vrl_worldmodel.penalties import max_disagreement

        return max_disagreement


@dataclass(frozen=True, kw_only=True)
class MeanStd(PenaltyConfig):
    """Norm of the members' standard deviations, on average ("avg. var.", MOPO, Appendix D)."""

    kinds: ClassVar[tuple[str, ...]] = ("gaussian",)

    def build(self) -> Penalty:
        """Return the function from a prediction to penalties `(... batch)`."""
        from vrl_worldmodel.penalties import mean_std

        return mean_std


@dataclass(frozen=True, kw_only=True)
class MaxStd(PenaltyConfig):
    """Largest norm of a member's standard deviation, "max-variance" (MOPO, Section 4.3)."""

    kinds: ClassVar[tuple[str, ...]] = ("gaussian",)

    def build(self) -> Penalty:
        """Return the function from a prediction to penalties `(... batch)`."""
        from vrl_worldmodel.penalties import max_std

        return max_std


@dataclass(frozen=True, kw_only=True)
class LogitStd(PenaltyConfig):
    """Standard deviation of the members' logits, averaged over them (MOTO, Equation 2)."""

    kinds: ClassVar[tuple[str, ...]] = ("categorical",)

    def build(self) -> Penalty:
        """Return the function from a prediction to penalties `(... batch)`."""
        from vrl_worldmodel.penalties import logit_std

        return logit_std


@dataclass(frozen=True, kw_only=True)
class LogProbVariance(PenaltyConfig):
    """Variance over members of the drawn value's log density (LOMPO, Section 4.3)."""

    def build(self) -> Penalty:
        """Return the function from a prediction to penalties `(... batch)`."""
        from vrl_worldmodel.penalties import log_prob_variance

        return log_prob_variance


@dataclass(frozen=True, kw_only=True)
class LogProbStd(PenaltyConfig):
    """Standard deviation over members of the drawn value's log density (LOMPO's public code)."""

    def build(self) -> Penalty:
        """Return the function from a prediction to penalties `(... batch)`."""
        from vrl_worldmodel.penalties import log_prob_std

        return log_prob_std


@dataclass(frozen=True, kw_only=True)
class EnsembleStd(PenaltyConfig):
    """Norm of the mixture's standard deviation (Lu et al. 2022, "Revisiting Design Choices")."""

    def build(self) -> Penalty:
        """Return the function from a prediction to penalties `(... batch)`."""
        from vrl_worldmodel.penalties import ensemble_std

        return ensemble_std


@dataclass(frozen=True, kw_only=True)
class TrueError(PenaltyConfig):
    """Distance of what the model drew from what the simulator does: an oracle (MOPO, Appendix D).

    For MOPO on data whose environment has a method `simulate(state, action) -> (next_state,
    reward)` on batches.
    """

    kinds: ClassVar[tuple[str, ...]] = ("gaussian",)
    needs_simulator: ClassVar[bool] = True

    def build(self) -> Penalty:
        """Refuse: a prediction alone does not tell its error."""
        raise VRLError(
            "The penalty true-error needs a simulator of the states that are predicted; only mopo "
            "has one, on data whose environment can be set to a state. Use another penalty, such "
            "as max-std or log-prob-variance."
        )

    def build_with_simulator(self, simulate: Simulator) -> TrueErrorPenalty:
        """Return the function from a prediction, its state and its action to errors `(batch,)`."""
        from vrl_worldmodel.simulator import TrueErrorPenalty

        return TrueErrorPenalty(simulate)
