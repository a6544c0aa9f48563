"""The simulator behind logged data, asked what really follows: for penalties that are oracles."""

from __future__ import annotations

from collections.abc import Callable

import gymnasium
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from vrl_core.config import from_data
from vrl_core.episodes import DataSpec
from vrl_core.errors import VRLError
from vrl_core.hooks import EnvironmentConfig, PenaltyConfig
from vrl_core.protocols import EnsemblePrediction
from vrl_core.registry import Registry

Simulator = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From states `(batch, state)` and actions `(batch, action)` to what follows them: the next states
`(batch, state)` and the rewards `(batch,)`. An environment's method `simulate`."""
ImaginedPenalty = Callable[[EnsemblePrediction, Tensor, Tensor], Tensor]
"""From a prediction, the state `(batch, state)` and the action it is for, to penalties."""

_ENDING = (
    "Shorten rollouts (--rollout-length), or end them before such states: --state-bound, the size "
    "that no number of a state may reach (12 for logarithms of HIV's counts)."
)


def build_penalty(config: PenaltyConfig, spec: DataSpec, device: torch.device) -> ImaginedPenalty:
    """Return the penalty, given the data's simulator if it needs one (`needs_simulator`).

    Raises `VRLError` when the data names no environment, or one that cannot simulate.
    """
    if getattr(config, "needs_simulator", False):
        oracle: ImaginedPenalty = config.build_with_simulator(  # type: ignore[attr-defined]
            open_simulator(spec)
        )
        return oracle
    penalty = config.build()
    if isinstance(penalty, nn.Module):
        penalty.to(device)
    return lambda prediction, state, action: penalty(prediction)  # noqa: ARG005


def open_simulator(spec: DataSpec) -> Simulator:
    """Return `simulate` of the environment that the data names; raises `VRLError` without one."""
    fitting = "Use a penalty that needs no simulator, such as max-std"
    if spec.environment is None:
        raise VRLError(
            f"This penalty compares the model with a simulator, and the data of {spec.task!r} "
            f"names no environment. {fitting}, or data whose manifest names one."
        )
    config: EnvironmentConfig = from_data("environments", dict(spec.environment), Registry())
    simulate = _method(config.build(), "simulate")
    if simulate is None:
        raise VRLError(
            f"This penalty compares the model with a simulator, and {type(config).__name__}, the "
            f"data's environment, cannot be set to a state: it has no method `simulate(state, "
            f"action) -> (next_state, reward)`. {fitting}."
        )
    return simulate


def _method(environment: gymnasium.Env[np.ndarray, np.ndarray], name: str) -> Simulator | None:
    """Return a method of the environment, or of one that it wraps."""
    return environment.get_wrapper_attr(name) if environment.has_wrapper_attr(name) else None


class TrueErrorPenalty:
    """|T_hat(s, a) - T(s, a)|: the error of what the model drew (MOPO, Appendix D, "true pen.").

    The Euclidean norm over the next state and the reward, in the data's units.
    """

    def __init__(self, simulate: Simulator) -> None:
        """Compare with this simulator."""
        self.simulate = simulate

    def __call__(
        self,
        prediction: EnsemblePrediction,
        state: Float[Tensor, "batch state"],
        action: Float[Tensor, "batch action"],
    ) -> Float[Tensor, " batch"]:
        """Return the errors; raises `VRLError` for answers of another size or not finite."""
        try:
            found = self.simulate(state.cpu().numpy(), action.cpu().numpy())
        except VRLError as error:
            raise VRLError(f"{error} An imagined state was asked about. {_ENDING}") from error
        next_state, reward = (np.asarray(part, dtype=np.float32) for part in found)
        wanted = (tuple(state.shape), (len(state),))
        if (next_state.shape, reward.shape) != wanted:
            raise VRLError(
                f"The simulator answers with next states {next_state.shape} and rewards "
                f"{reward.shape}; expected {wanted[0]} and {wanted[1]}. The data's states must be "
                "those of its environment."
            )
        truth = np.concatenate((next_state, reward[:, None]), -1)
        wrong = np.flatnonzero(~np.isfinite(truth).all(-1))
        if len(wrong):
            raise VRLError(
                f"The simulator has no finite answer for the imagined state "
                f"{state[wrong[0]].tolist()} and action {action[wrong[0]].tolist()}. {_ENDING}"
            )
        difference = prediction.sample - torch.from_numpy(truth).to(prediction.sample)
        norms: Tensor = torch.linalg.vector_norm(difference, dim=-1)
        return norms
