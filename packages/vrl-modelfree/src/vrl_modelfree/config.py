"""Settings of the model-free algorithms. Imports nothing heavy.

Defaults are the `paper` preset: V-D4RL (Lu et al. 2023), Sections D.2 to D.4 and Table 8, and for
what it leaves out the defaults of DrQ-v2, on which it builds. `reference-code` is what the public
code runs; `docs/algorithms.md` lists the differences.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, Self

from vrl_core.errors import VRLError
from vrl_core.hooks import AlgorithmConfig

if TYPE_CHECKING:
    import torch

    from vrl_core.episodes import DataSpec
    from vrl_modelfree.bc import BC
    from vrl_modelfree.cql import CQL
    from vrl_modelfree.drq_bc import DrQBC

_REFERENCE_CODE: Mapping[str, Any] = {
    "steps": 550_000,
    "learning_rate": 3e-4,
    "noise_duration": 250_000,
}
_SMALL: Mapping[str, Any] = {
    "batch_size": 128,
    "shift_padding": 2,  # 4 of 64 pixels cost a fifth of the return: docs/results/quickstart.md
    "encoder_channels": (32, 32, 32),
    "encoder_strides": (2, 2, 2),
    "feature_size": 512,
    "hidden_size": 512,
    "learning_rate": 1e-3,
    "final_learning_rate": 1e-5,
    "noise_start": 0.3,
    "noise_duration": 5_000,
}
"""For 64 px images and a few minutes on a laptop's CPU."""


def _require(config: PixelConfig, name: str, *, least: float, most: float = math.inf) -> None:
    """Raise `VRLError` unless a setting lies within bounds."""
    value = getattr(config, name)
    if not least <= value <= most:
        bounds = f"at least {least}" if most == math.inf else f"between {least} and {most}"
        raise VRLError(f"{name} must be {bounds}, not {value}.")


@dataclass(frozen=True, kw_only=True)
class PixelConfig(AlgorithmConfig):
    """What the algorithms share: observations, networks, noise and the optimiser."""

    steps: int = 100_000
    """Updates; the paper's 256 epochs of 100,000 transitions in batches of 256."""
    batch_size: int = 256
    """Transitions in a batch."""
    learning_rate: float = 1e-4
    """Adam's rate for every network."""
    final_learning_rate: float | None = None
    """Rate that it falls to, linearly over `steps`; none keeps it constant, as the papers do."""
    observations: tuple[str, ...] | None = None
    """Observation fields to learn from; none takes every image and every vector of the data."""
    frame_stack: int = 3
    """Frames of each camera in an observation; vectors are not stacked."""
    shift_padding: int = 4
    """Largest random shift of the images, in pixels; 0 trains without augmentation."""
    encoder_channels: tuple[int, ...] = (32, 32, 32, 32)
    """Channels of the encoder's 3x3 convolutions."""
    encoder_strides: tuple[int, ...] = (2, 1, 1, 1)
    """Their strides."""
    feature_size: int = 50
    """Numbers that the trunks of actor and critic compress an observation to."""
    hidden_size: int = 1024
    """Width of the two hidden layers of actor and critic."""
    noise_start: float = 1.0
    """Standard deviation of the action noise at the start."""
    noise_end: float = 0.1
    """Its final value, reached linearly."""
    noise_duration: int = 500_000
    """Schedule steps until the final value."""
    noise_steps_per_update: int = 2
    """Schedule steps that one update counts for; DrQ-v2 updates at every second step."""
    noise_clip: float = 0.3
    """Bound on the action noise, on both sides."""
    precision: Literal["float32", "bfloat16", "auto"] = "auto"
    """Arithmetic of convolutions and hidden layers; `auto` is bfloat16 where it is fast.

    Parameters, optimiser, normalisations, losses and all outputs of networks are float32.
    """

    def __post_init__(self) -> None:
        """Refuse settings that cannot be meant; raises `VRLError`."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise VRLError(f"{field.name} must be a finite number, not {value}.")
        counts = ("steps", "batch_size", "frame_stack", "feature_size", "hidden_size")
        for name in (*counts, "noise_duration"):
            _require(self, name, least=1)
        for name in ("shift_padding", "learning_rate", "noise_start", "noise_end", "noise_clip"):
            _require(self, name, least=0)
        if self.final_learning_rate is not None:
            _require(self, "final_learning_rate", least=0)
        if not self.encoder_channels or len(self.encoder_channels) != len(self.encoder_strides):
            raise VRLError(
                f"encoder_channels {self.encoder_channels} and encoder_strides "
                f"{self.encoder_strides} must have one entry for each convolution."
            )

        if min(*self.encoder_channels, *self.encoder_strides) < 1:
            raise VRLError("encoder_channels and encoder_strides must be at least 1.")

    def schedule(self) -> str:
        """Return that the learning rate falls over all updates, if it does."""
        if self.final_learning_rate in (None, self.learning_rate):
            return ""
        return (
            f"The learning rate falls from {self.learning_rate:g} to {self.final_learning_rate:g} "
            "over `steps`"
        )

    @classmethod
    def presets(cls) -> Mapping[str, Self]:
        """Return `paper`, `reference-code` and `small`."""
        return {
            "paper": cls(),
            "reference-code": cls(**_REFERENCE_CODE),
            "small": cls(**_SMALL, steps=10_000),
        }


@dataclass(frozen=True, kw_only=True)
class BCConfig(PixelConfig):
    """Behavioural cloning from images: regress the logged action (V-D4RL, Section D.3)."""

    @classmethod
    def presets(cls) -> Mapping[str, Self]:
        """Return `paper`, `reference-code` and `small`, which regresses the mean without noise."""
        quiet = {"noise_start": 0.0, "noise_end": 0.0}
        return {**super().presets(), "small": cls(**{**_SMALL, **quiet}, steps=9_000)}

    def build(self, spec: DataSpec, device: torch.device) -> BC:
        """Create the algorithm; raises `VRLError` when the data has no suitable fields."""
        from vrl_modelfree.bc import BC

        return BC(self, spec, device)


@dataclass(frozen=True, kw_only=True)
class ActorCriticConfig(PixelConfig):
    """What the algorithms with a critic add."""

    discount: float = 0.99
    """Discount per agent step."""
    return_steps: int = 3
    """Rewards in the n-step target."""
    target_rate: float = 0.01
    """Share of the online critic that the target critic takes over per update."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot be meant; raises `VRLError`."""
        super().__post_init__()
        _require(self, "return_steps", least=1)
        for name in ("discount", "target_rate"):
            _require(self, name, least=0, most=1)


@dataclass(frozen=True, kw_only=True)
class DrQBCConfig(ActorCriticConfig):
    """DrQ-v2 with a behavioural cloning term in the actor's loss (V-D4RL, Sections 3.2 and C.2)."""

    bc_weight: float = 2.5
    """Weight of the normalised value against the cloning term (alpha of TD3+BC)."""

    def build(self, spec: DataSpec, device: torch.device) -> DrQBC:
        """Create the algorithm; raises `VRLError` when the data has no suitable fields."""
        from vrl_modelfree.drq_bc import DrQBC

        return DrQBC(self, spec, device)


@dataclass(frozen=True, kw_only=True)
class CQLConfig(ActorCriticConfig):
    """Conservative Q-learning, CQL(H) with fixed weight, on DrQ-v2 (V-D4RL, Section C.3)."""

    trade_off: Literal["paper"] | float = "paper"
    """Weight of the conservative term; `paper` looks the data's task and quality up in Table 9."""
    bellman_weight: float = 0.5
    """Weight of the squared Bellman error: one half in the paper's objective, 1 in its code."""
    sampled_actions: int = 10
    """Actions drawn from each of: uniform, policy at the state, policy at the next state."""
    temperature: float = 1.0
    """Temperature of the log-sum-exp over actions."""
    importance_sampling: bool = False
    """Correct the log-sum-exp for the density of the drawn actions.

    Without it the logged action is one of the entries; with it, it is left out.
    """

    def __post_init__(self) -> None:
        """Refuse settings that cannot be meant; raises `VRLError`."""
        super().__post_init__()
        _require(self, "sampled_actions", least=1)
        if self.temperature <= 0:
            raise VRLError(f"temperature must be positive, not {self.temperature}.")

    @classmethod
    def presets(cls) -> Mapping[str, Self]:
        """Return `paper`, `reference-code` and `small`."""
        code = cls(**_REFERENCE_CODE, return_steps=1, trade_off=10.0, bellman_weight=1.0)
        small = cls(**_SMALL, steps=5_000, trade_off=5.0)
        return {"paper": cls(), "reference-code": code, "small": small}

    def build(self, spec: DataSpec, device: torch.device) -> CQL:
        """Create the algorithm.

        Raises `VRLError` when the data has no suitable fields, or when `trade_off` is `paper`
        and the paper has no value for the data's task and quality.
        """
        from vrl_modelfree.cql import CQL

        return CQL(self, spec, device)


PAPER_TRADE_OFFS: Mapping[str, Mapping[str, float]] = {
    "walker_walk": {
        "random": 0.5,
        "mixed": 0.5,
        "medium": 2.0,
        "medium_expert": 2.0,
        "expert": 5.0,
    },
    "cheetah_run": {
        "random": 0.5,
        "mixed": 0.5,
        "medium": 10.0,
        "medium_expert": 1.0,
        "expert": 20.0,
    },
    # "Humanoid omitted as all choices performed equally": the objective's own weight.
    "humanoid_walk": dict.fromkeys(("random", "mixed", "medium", "medium_expert", "expert"), 1.0),
}
"""Table 9 of V-D4RL: trade-off factor by task and behaviour."""

_QUALITY_SYNONYMS = {"medexp": "medium_expert", "medium_replay": "mixed"}


def resolve_trade_off(trade_off: Literal["paper"] | float, task: str, behaviour: str) -> float:
    """Return the number that `trade_off` stands for on data of this task and behaviour.

    Raises `VRLError` when the paper has none.
    """
    if trade_off != "paper":
        return float(trade_off)
    quality = behaviour.replace("-", "_")
    quality = _QUALITY_SYNONYMS.get(quality, quality)
    factors = PAPER_TRADE_OFFS.get(task.replace("-", "_"), {})
    if quality not in factors:
        known = ", ".join(PAPER_TRADE_OFFS)
        raise VRLError(
            f"The paper gives no CQL trade-off factor for task {task!r} with behaviour "
            f"{behaviour!r}; it has {known} with random, mixed, medium, medium_expert and expert. "
            "Give a number: the paper searched 0.5, 1, 2, 5, 10 and 20 "
            "(--trade-off 5, or the preset small or reference-code)."
        )
    return factors[quality]
