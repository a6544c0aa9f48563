"""Settings of MOPO and MBPO on logged states. Imports nothing heavy.

MOPO (Yu et al. 2020, "MOPO: Model-based Offline Policy Optimization"), Section 4.3 and Appendix G,
and its public code. They differ in what `presets` names. The code's settings are the defaults,
because the published scores are that code's: the paper's spectral normalisation is not in it
(fact F2), and bounds each member's change by the change of its standardised input, which is less
than fast joints move.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from vrl_core.errors import VRLError
from vrl_core.hooks import AlgorithmConfig, PenaltyConfig
from vrl_worldmodel.config import refuse_pairing
from vrl_worldmodel.penalty_config import MaxStd, NoPenalty
from vrl_worldmodel.setting_checks import require, require_layers

if TYPE_CHECKING:
    import torch

    from vrl_core.episodes import DataSpec
    from vrl_worldmodel.mopo import MOPO

Source = Literal["paper", "code"]
TerminationName = Literal["task", "never", "halfcheetah", "hopper", "walker2d", "ant", "humanoid"]


@dataclass(frozen=True, kw_only=True)
class DynamicsConfig:
    """An ensemble of networks that predict a Gaussian of the next state and the reward."""

    members: int = 7
    """Networks in the ensemble (N)."""
    elites: int = 5
    """Members with the least error on the hold-out, of which rollouts use one per step."""
    hidden_layers: tuple[int, ...] = (200, 200, 200, 200)
    """Widths of the hidden layers."""
    spectral_normalisation: bool = False
    """Divide all weights but the variance's by their largest singular value (Appendix G.2)."""
    weight_decay: tuple[float, ...] = (2.5e-5, 5e-5, 7.5e-5, 7.5e-5, 1e-4)
    """Weight of half the squared weights of each hidden layer, and of the heads, in the loss."""
    log_variance_bounds: tuple[float, float] = (-10.0, 0.5)
    """Soft bounds of the log variance at the start; they are learnt."""
    bound_weight: float = 0.01
    """Weight in the loss of the distance between the bounds."""
    learning_rate: float = 1e-3
    """Adam's rate."""
    batch_size: int = 256
    """Transitions in each member's batch."""
    holdout_share: float = 0.2
    """Share of the transitions that is held out to decide when to stop."""
    holdout_most: int = 1_000
    """Most transitions that are held out."""
    improvement: float = 0.01
    """Share by which a member's error on the hold-out must fall to count as better."""
    patience: int = 5
    """Epochs in which no member gets better; one more such epoch ends the training."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot be meant; raises `VRLError`."""
        require(self, "members", "batch_size", "holdout_most", least=1)
        require(self, "elites", least=1, most=self.members)
        require(self, "bound_weight", "learning_rate", "patience", least=0)
        require(self, "holdout_share", "improvement", least=0, most=1)
        require_layers(self, "hidden_layers")
        layers = len(self.hidden_layers) + 1
        if len(self.weight_decay) != layers or not min(self.weight_decay) >= 0:
            raise VRLError(
                f"weight_decay must be {layers} numbers of 0 or more, one for each hidden layer "
                f"and one for the heads, not {self.weight_decay}."
            )
        low, high = self.log_variance_bounds
        if not -math.inf < low < high < math.inf:
            raise VRLError(f"log_variance_bounds must be two rising numbers, not {(low, high)}.")


@dataclass(frozen=True, kw_only=True)
class MOPOConfig(AlgorithmConfig):
    """Soft actor-critic in a learned model, less a penalty for its uncertainty (MOPO)."""

    default_preset: ClassVar[str] = "reference-code"

    dynamics: DynamicsConfig = DynamicsConfig()
    """Sizes and training of the ensemble."""
    dynamics_steps: int = 1_000_000
    """Most updates of the ensemble; it stops when its hold-out does (`dynamics.patience`)."""
    dynamics_run: Path | None = None
    """Run whose trained ensemble is used; there is then no phase for it."""
    penalty: PenaltyConfig = MaxStd()
    """Estimate of the model's error that is taken off the imagined reward.

    Without a weight of its own it has the published one of the task and its data, else 1.
    """
    published: Source = "code"
    """Whose weight that is, with the rollout length: the paper's (Table 6) or the code's, which
    differs on halfcheetah medium-expert (5 instead of 1)."""
    steps: int = 1_000_000
    """Updates of the policy."""
    rollout_length: int | Literal["paper"] = "paper"
    """Steps of an imagined rollout (h); `paper` is the published one of the task and its data, the
    same in Table 6 and the code, else 5."""
    rollouts: int = 50_000
    """Rollouts that begin together, from states of the data."""
    rollout_every: int = 1_000
    """Updates of the policy between rollouts."""
    retained_rollouts: int = 5
    """Times of rollouts whose transitions are kept, the newest."""
    rollout_actions: Literal["task", "policy", "uniform"] = "task"
    """Who acts in rollouts; `task` is uniform on halfcheetah-jump and ant-angle (Appendix G.1)."""
    imagined_reward: Literal["sampled", "mean"] = "sampled"
    """Reward drawn with the next state (Algorithm 2, the code), or its mean (Section 4.3)."""
    termination: TerminationName = "task"
    """Rule by which imagined episodes end; `task` takes the one of the data's task."""
    state_bound: float | None = None
    """Size at which any number of a state ends an imagined episode; 100 in OfflineRL-Kit."""
    batch_size: int = 256
    """Transitions in a batch of the policy, real and imagined together."""
    real_share: float = 0.05
    """Share of real transitions in a batch, rounded down; 1 imagines nothing."""
    discount: float = 0.99
    """Discount per step."""
    hidden_layers: tuple[int, ...] = (256, 256)
    """Hidden layers of actor and critics."""
    learning_rate: float = 3e-4
    """Adam's rate for actor, critics and temperature."""
    target_rate: float = 0.005
    """Share of the critics that the target critics take over per update."""
    target_entropy: float | None = -3.0
    """Entropy that the temperature is tuned to; none is minus the action's size."""
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """Arithmetic of the ensemble's layers between the first and the last; `auto` is bfloat16 where
    it is fast. With bfloat16 it trains 1.5 times as fast, with equal errors of the mean and a
    slightly worse likelihood. Inputs, outputs, losses, parameters, actor and critics are always
    float32."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot be meant; raises `VRLError`."""
        counts = ("dynamics_steps", "steps", "rollouts", "rollout_every", "retained_rollouts")
        require(self, *counts, "batch_size", least=1)
        require(self, "real_share", "discount", "target_rate", least=0, most=1)
        require(self, "learning_rate", least=0)
        require_layers(self, "hidden_layers")
        if self.rollout_length != "paper":
            require(self, "rollout_length", least=1)
        if self.state_bound is not None:
            require(self, "state_bound", least=1e-8)
        if self.target_entropy is not None:
            require(self, "target_entropy", least=-math.inf)
        weight = self.penalty.weight
        if weight is not None and not 0 <= weight < math.inf:
            raise VRLError(f"The penalty's weight must be 0 or more and finite, not {weight}.")
        if "gaussian" not in self.penalty.kinds:
            raise VRLError(refuse_pairing(self.penalty, "gaussian"))

    @classmethod
    def presets(cls) -> Mapping[str, Self]:
        """Return `reference-code`, `paper` and `small`."""
        code = cls()
        paper = replace(
            code,
            dynamics=DynamicsConfig(spectral_normalisation=True),
            published="paper",
            imagined_reward="mean",
            target_entropy=None,
        )
        return {"reference-code": code, "paper": paper, "small": replace(code, **_SMALL)}

    def build(self, spec: DataSpec, device: torch.device) -> MOPO:
        """Create the algorithm; raises `VRLError` when data, task or penalty do not fit."""
        from vrl_worldmodel.mopo import MOPO

        return MOPO(self, spec, device)


@dataclass(frozen=True, kw_only=True)
class MBPOConfig(MOPOConfig):
    """Model-based policy optimisation, MOPO's baseline (Section 5), on logged data alone.

    Like `mopo penalty:none`, but for what the paper says of MOPO alone: random actions in
    rollouts and spectral normalisation. (Table 3 has both, with different scores.)
    """

    penalty: PenaltyConfig = NoPenalty()
    """No estimate of the model's error."""
    rollout_actions: Literal["task", "policy", "uniform"] = "policy"
    """Who acts in rollouts; the policy on every task."""

    @classmethod
    def presets(cls) -> Mapping[str, Self]:
        """Return MOPO's, `paper` without spectral normalisation."""
        found = super().presets()
        return {**found, "paper": replace(found["paper"], dynamics=DynamicsConfig())}


_SMALL: Mapping[str, Any] = {
    "dynamics": DynamicsConfig(
        members=4,
        elites=3,
        hidden_layers=(128, 128, 128),
        weight_decay=(2.5e-5, 5e-5, 7.5e-5, 1e-4),
    ),
    "dynamics_steps": 20_000,
    "steps": 20_000,
    "rollouts": 5_000,
    "rollout_every": 500,
    "target_entropy": None,
}
"""For a few minutes on a laptop's CPU."""


@dataclass(frozen=True, kw_only=True)
class PublishedRollouts:
    """Rollout lengths and penalty weight for one task and quality of data."""

    mopo_length: int
    """Rollout length of MOPO (h)."""
    weight: float
    """Penalty weight of MOPO (lambda)."""
    mbpo_length: int
    """Rollout length of MBPO."""


UNPUBLISHED = PublishedRollouts(mopo_length=5, weight=1.0, mbpo_length=5)
"""For other tasks: the commonest of the values that the paper searched, {1, 5} squared."""

UNIFORM_TASKS = ("halfcheetah_jump", "ant_angle")
"""Tasks on which the paper's rollouts act at random, uniform in [-1, 1] (Appendix G.1)."""

# Table 6: (h, lambda, h of MBPO); Appendix G.2 gives the tasks out of distribution, for any data.
_TABLE_6: Mapping[tuple[str, str], tuple[int, float, int]] = {
    ("halfcheetah", "random"): (5, 0.5, 5),
    ("hopper", "random"): (5, 1.0, 5),
    ("walker2d", "random"): (1, 1.0, 5),
    ("halfcheetah", "medium"): (1, 1.0, 5),
    ("hopper", "medium"): (5, 5.0, 5),
    ("walker2d", "medium"): (5, 5.0, 5),
    ("halfcheetah", "mixed"): (5, 1.0, 5),
    ("hopper", "mixed"): (5, 1.0, 5),
    ("walker2d", "mixed"): (1, 1.0, 1),
    ("halfcheetah", "medium_expert"): (5, 1.0, 5),
    ("hopper", "medium_expert"): (5, 1.0, 5),
    ("walker2d", "medium_expert"): (1, 2.0, 1),
}
_IN_THE_CODE = {("halfcheetah", "medium_expert"): (5, 5.0, 5)}
"""What the code's configurations have instead (fact F7)."""
_OUT_OF_DISTRIBUTION: Mapping[str, tuple[int, float, int]] = {
    "halfcheetah_jump": (5, 1.0, 5),
    "ant_angle": (25, 2.0, 25),
}
_QUALITIES = {"medium_replay": "mixed", "replay": "mixed", "medexp": "medium_expert"}


def task_words(name: str) -> str:
    """Return a name in lower case with underscores: `HalfCheetah-Jump` is `halfcheetah_jump`."""
    return name.lower().replace("-", "_").replace("half_cheetah", "halfcheetah")


def published_rollouts(task: str, behaviour: str, source: Source = "paper") -> PublishedRollouts:
    """Return the published rollouts for data of this task and behaviour, else `UNPUBLISHED`.

    MBPO's length out of distribution is not published; it is MOPO's here.
    """
    words, quality = task_words(task), task_words(behaviour)
    for name, values in _OUT_OF_DISTRIBUTION.items():
        if words.startswith(name):
            return _published(values)
    family = next((name for name in ("halfcheetah", "hopper", "walker2d") if _is(words, name)), "")
    table = {**_TABLE_6, **(_IN_THE_CODE if source == "code" else {})}
    values_of_data = table.get((family, _QUALITIES.get(quality, quality)))
    return UNPUBLISHED if values_of_data is None else _published(values_of_data)


def acts_uniformly(task: str) -> bool:
    """Whether the paper's rollouts on this task take random actions."""
    return task_words(task).startswith(UNIFORM_TASKS)


def _is(words: str, name: str) -> bool:
    """Whether a task is this one in some version, such as `hopper_v5`."""
    return words == name or words.startswith(f"{name}_v")


def _published(values: tuple[int, float, int]) -> PublishedRollouts:
    length, weight, mbpo_length = values
    return PublishedRollouts(mopo_length=length, weight=weight, mbpo_length=mbpo_length)
