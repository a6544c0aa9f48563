"""Settings of the world models and of the algorithms on them. Imports nothing heavy.

Defaults are the `paper` presets: V-D4RL (Lu et al. 2023), Appendices C.1 and D.1, with the defaults
of DreamerV2, on which it builds, and LOMPO (Rafailov et al. 2021), Section 4.3. `reference-code`
is what the public code runs; `docs/algorithms.md` lists the differences.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from vrl_core.errors import VRLError
from vrl_core.hooks import AlgorithmConfig, PenaltyConfig
from vrl_worldmodel.penalty_config import LogProbStd, LogProbVariance, MeanDisagreement, NoPenalty
from vrl_worldmodel.penalty_names import fitting_names, name_of
from vrl_worldmodel.setting_checks import require, require_layers

if TYPE_CHECKING:
    import torch

    from vrl_core.episodes import DataSpec
    from vrl_worldmodel.lompo import LOMPO
    from vrl_worldmodel.offline_dv2 import OfflineDV2

Precision = Literal["float32", "bfloat16", "auto"]


@dataclass(frozen=True, kw_only=True)
class WorldModelConfig:
    """A recurrent state-space model with an ensemble of prior heads over one latent space."""

    latent: Literal["categorical", "gaussian"] = "categorical"
    """Kind of the stochastic latent."""
    deterministic_size: int = 200
    """Numbers in the recurrent state."""
    stochastic_size: int = 32
    """Categorical variables, or numbers of the Gaussian."""
    classes: int = 32
    """Classes of each categorical variable; a Gaussian has none."""
    hidden_size: int = 200
    """Width of the hidden layers around the recurrence."""
    members: int = 7
    """Prior heads in the ensemble (K)."""
    recurrence: Literal["normalised-gru", "gru"] = "normalised-gru"
    """DreamerV2's gated recurrent unit with layer normalisation, or a plain one."""
    channels: tuple[int, ...] = (48, 96, 192, 384)
    """Channels of the encoder's 4x4 convolutions of stride 2; the decoder has them reversed."""
    convolution_activation: Literal["elu", "relu"] = "elu"
    """Nonlinearity between convolutions; everywhere else it is ELU."""
    vector_layers: tuple[int, ...] = (400, 400)
    """Hidden layers of the networks that read and predict vectors, where the data has some."""
    reward_layers: tuple[int, ...] = (400, 400, 400, 400)
    """Hidden layers of the reward head."""
    kl_balance: float | None = 0.8
    """Share of the KL divergence's gradient that goes to the prior; none balances nothing."""
    free_nats: float = 1.0
    """Mean KL divergence below which its gradient is cut; 0 never cuts it."""
    minimum_std: float = 0.1
    """Least standard deviation of a Gaussian latent."""
    batch_size: int = 64
    """Windows in a batch."""
    sequence_length: int = 50
    """Observations in a window (L)."""
    learning_rate: float = 3e-4
    """Adam's rate."""
    epsilon: float = 1e-5
    """Adam's epsilon."""
    weight_decay: float = 1e-6
    """Share of every parameter that is taken off before each step."""
    gradient_clip: float = 100.0
    """Largest norm of the gradient of all parameters together."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot be meant; raises `VRLError`."""
        sizes = ("deterministic_size", "stochastic_size", "hidden_size", "members", "batch_size")
        require(self, *sizes, least=1)
        require(self, "classes", "sequence_length", least=2)
        require(self, "free_nats", "epsilon", "weight_decay", "learning_rate", least=0)
        require(self, "minimum_std", "gradient_clip", least=1e-8)
        if self.kl_balance is not None:
            require(self, "kl_balance", least=0, most=1)
        require_layers(self, "channels", "vector_layers", "reward_layers")


_GAUSSIAN = WorldModelConfig(
    latent="gaussian",
    deterministic_size=256,
    stochastic_size=64,
    hidden_size=256,
    recurrence="gru",
    channels=(32, 64, 128, 256),
    convolution_activation="relu",
    vector_layers=(256, 256),
    reward_layers=(256, 256),
    kl_balance=None,
    free_nats=0.0,
    learning_rate=6e-4,
    epsilon=1e-7,
    weight_decay=0.0,
)
"""LOMPO's model, from its public code (the paper refers to its site for sizes)."""

_SMALL: Mapping[str, Any] = {
    "deterministic_size": 128,
    "hidden_size": 128,
    "channels": (16, 32, 64, 128),
    "convolution_activation": "relu",
    "batch_size": 8,
    "sequence_length": 32,
    "vector_layers": (128, 128),
    "reward_layers": (128, 128),
    "learning_rate": 1e-3,
}
"""For 64 px images and half an hour on a laptop's CPU.

Horizons, weights and temperature were chosen on cheetah-run's random data (`docs/results`).
"""
_SMALL_CATEGORICAL = WorldModelConfig(stochastic_size=16, classes=16, **_SMALL)
_SMALL_GAUSSIAN = replace(_GAUSSIAN, stochastic_size=32, free_nats=1.0, **_SMALL)


@dataclass(frozen=True, kw_only=True)
class WorldModelAlgorithmConfig(AlgorithmConfig):
    """What the algorithms on a world model share: the model, its phase, and the reward."""

    model: WorldModelConfig = WorldModelConfig()
    """Sizes and training of the world model."""
    model_steps: int = 25_000
    """Updates of the model phase; the paper's 800 epochs of 100,000 transitions."""
    steps: int = 100_000
    """Updates of the phase after the model's; 0 trains the model alone."""
    model_run: Path | None = None
    """Run whose trained world model is used; there is then no model phase."""
    model_run_step: int | None = None
    """Checkpoint of `model_run` to take, by its updates, also one from within the model phase.

    None takes the newest, in which the model must be trained to the end.
    """
    observations: tuple[str, ...] | None = None
    """Observation fields to learn from; none takes every image and every vector of the data."""
    penalty: PenaltyConfig = NoPenalty()
    """Estimate of the model's error that is taken off the imagined reward."""
    discount: float = 0.99
    """Discount per agent step."""
    imagination_horizon: int = 5
    """Steps of an imagined rollout (H)."""
    cache_encodings: bool = True
    """Encode every observation once before the second phase; the model is frozen in it."""
    evaluation_latent: Literal["sample", "mode"] = "sample"
    """Whether the evaluated policy's latent is drawn, as in the public code, or the likeliest."""
    precision: Precision = "auto"
    """Arithmetic of convolutions and wide layers; `auto` is bfloat16 where it is fast."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot be meant; raises `VRLError`."""
        require(self, "model_steps", "imagination_horizon", least=1)
        require(self, "steps", least=0)
        require(self, "discount", least=0, most=1)
        weight = self.penalty.weight
        if weight is not None and not 0 <= weight < math.inf:
            raise VRLError(
                f"The penalty's weight must be 0 or more and finite, not {weight}. "
                "--penalty.weight 0, or penalty:none, penalises nothing."
            )
        if self.model.latent not in self.penalty.kinds:
            raise VRLError(refuse_pairing(self.penalty, self.model.latent))
        if self.model_run_step is not None and self.model_run is None:
            raise VRLError("model_run_step is a checkpoint of another run: name it by model_run.")


def refuse_pairing(penalty: PenaltyConfig, latent: str) -> str:
    """Word the refusal of a penalty that is not defined for a model's kind of latent."""
    return (
        f"{name_of(penalty)} is a penalty on {' or '.join(penalty.kinds)} ensembles, and this "
        f"model's are {latent}. These fit: {', '.join(fitting_names(penalty, latent))}."
    )


def weight_of(
    penalty: PenaltyConfig, published: float, belongs_to: tuple[type[PenaltyConfig], ...]
) -> float:
    """Return a penalty's own weight, or the published one if that belongs to the penalty.

    Raises `VRLError` for another penalty without a weight: it would be another experiment.
    """
    if penalty.weight is not None:
        return penalty.weight
    if isinstance(penalty, NoPenalty):
        return 0.0
    if isinstance(penalty, belongs_to):
        return published
    owners = " and ".join(name_of(owner()) for owner in belongs_to)
    raise VRLError(
        f"The penalty {name_of(penalty)} needs a weight (--penalty.weight NUMBER): the published "
        f"{published:g} belongs to {owners}. `vrl penalties RUN --data STORE` tells how large the "
        "penalties are."
    )


PAPER_EPOCHS: Mapping[str, int] = {"model_steps": 800, "steps": 2400}
"""Passes over the data in the phases of Offline DV2."""


@dataclass(frozen=True, kw_only=True)
class OfflineDV2Config(WorldModelAlgorithmConfig):
    """DreamerV2 on logged data with a disagreement penalty (V-D4RL, Sections 3.2 and C.1)."""

    penalty: PenaltyConfig = MeanDisagreement()
    """Estimate of the model's error that is taken off the imagined reward (Equation 1).

    Without a weight of its own it has the paper's: 10; 3 on random data; 8 on walker-walk mixed.
    """
    steps: int = 75_000
    """Updates of the behaviour phase; the paper's 2400 epochs of 100,000 transitions.

    0 trains the model alone.
    """
    return_mix: float = 0.95
    """Lambda of the lambda-returns."""
    actor_layers: tuple[int, ...] = (400, 400, 400, 400)
    """Hidden layers of the actor."""
    critic_layers: tuple[int, ...] = (400, 400, 400, 400)
    """Hidden layers of the critic."""
    actor_learning_rate: float = 8e-5
    """Adam's rate for the actor; epsilon, decay and clip are the model's."""
    critic_learning_rate: float = 8e-5
    """Adam's rate for the critic; epsilon, decay and clip are the model's."""
    entropy_weight: float = 1e-4
    """Weight of the actor's entropy."""
    target_interval: int = 100
    """Updates between copies of the critic to the target critic."""
    minimum_std: float = 0.1
    """Least standard deviation of the actor."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot be meant; raises `VRLError`."""
        super().__post_init__()
        require(self, "target_interval", least=1)
        require(self, "imagination_horizon", least=2)
        require(self, "return_mix", least=0, most=1)
        require(self, "actor_learning_rate", "critic_learning_rate", least=0)
        require(self, "entropy_weight", "minimum_std", least=0)
        require_layers(self, "actor_layers", "critic_layers")

    def paper_updates(self, transitions: int) -> dict[str, int]:
        """Return the updates that are the paper's epochs on so much data, by setting.

        Of the settings that stand at the paper's numbers, which are those of 100,000 transitions.
        """
        batch = self.model.batch_size * self.model.sequence_length
        of_paper = {field.name: field.default for field in fields(self)}
        return {
            name: max(1, round(epochs * transitions / batch))
            for name, epochs in PAPER_EPOCHS.items()
            if getattr(self, name) == of_paper[name]
        }

    @classmethod
    def presets(cls) -> Mapping[str, Self]:
        """Return `paper`, `reference-code` and `small`."""
        return {
            "paper": cls(),
            "reference-code": cls(
                model_steps=25_100, steps=200_000, penalty=MeanDisagreement(weight=10.0)
            ),
            "small": cls(
                model=_SMALL_CATEGORICAL,
                model_steps=3_000,
                steps=1_000,
                penalty=MeanDisagreement(weight=0.3),
                imagination_horizon=15,  # with few updates, values reach no further by themselves
                actor_layers=(128, 128),
                critic_layers=(128, 128),
                critic_learning_rate=3e-4,
            ),
        }

    def build(self, spec: DataSpec, device: torch.device) -> OfflineDV2:
        """Create the algorithm; raises `VRLError` when the data or the model's run do not fit."""
        from vrl_worldmodel.offline_dv2 import OfflineDV2

        return OfflineDV2(self, spec, device)


@dataclass(frozen=True, kw_only=True)
class LOMPOConfig(WorldModelAlgorithmConfig):
    """Latent offline model-based policy optimisation (LOMPO, Sections 4.2 and 4.3)."""

    model: WorldModelConfig = _GAUSSIAN
    """Sizes and training of the world model."""
    penalty: PenaltyConfig = LogProbVariance(weight=5.0)
    """Estimate of the model's error that is taken off the imagined reward (Equation 9)."""
    steps: int = 100_000
    """Updates of the agent phase; 0 trains the model alone."""
    agent: Literal["soft-actor-critic", "deterministic"] = "soft-actor-critic"
    """The paper's maximum-entropy agent, or the public code's without entropy."""
    imagined_reward: Literal["ensemble-mean", "sampled-member"] = "ensemble-mean"
    """Reward averaged over every member's next latent (Equation 9), or of the drawn one."""
    batch_size: int = 512
    """Transitions in a batch, real and imagined together."""
    real_share: float = 0.5
    """Share of real transitions in a batch; 1 imagines nothing."""
    imagine_every: int = 200
    """Agent updates between imaginations; each starts from every latent of one model batch."""
    first_imagined: int = 50_000
    """Imagined transitions before the first agent update."""
    imagined_capacity: int | None = None
    """Imagined transitions that are kept, the newest; none keeps as many as there are real."""
    exploration_noise: float = 0.2
    """Standard deviation of the noise on a deterministic agent's imagined actions."""
    initial_temperature: float = 1.0
    """Weight of a soft agent's entropy at the start; it is tuned from there."""
    actor_layers: tuple[int, ...] = (256, 256, 256, 256)
    """Hidden layers of the actor."""
    critic_layers: tuple[int, ...] = (256, 256, 256)
    """Hidden layers of both critics."""
    learning_rate: float = 3e-4
    """Adam's rate for actor and critics."""
    target_rate: float = 0.005
    """Share of the critics that the target critics take over per update."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot be meant; raises `VRLError`."""
        super().__post_init__()
        require(self, "batch_size", "imagine_every", "first_imagined", least=1)
        require(self, "real_share", "target_rate", least=0, most=1)
        require(self, "exploration_noise", "learning_rate", least=0)
        require(self, "initial_temperature", least=1e-8)
        if self.imagined_capacity is not None:
            require(self, "imagined_capacity", least=1)
        require_layers(self, "actor_layers", "critic_layers")

    @classmethod
    def presets(cls) -> Mapping[str, Self]:
        """Return `paper`, `reference-code` and `small`."""
        paper = cls()
        penalised = isinstance(paper.penalty, LogProbVariance)
        code = replace(paper, agent="deterministic", imagined_reward="sampled-member")
        small = replace(
            paper,
            model=_SMALL_GAUSSIAN,
            model_steps=3_000,
            steps=6_000,
            imagine_every=25,
            first_imagined=5_000,
            imagined_capacity=20_000,
            batch_size=256,
            initial_temperature=0.05,
            actor_layers=(256, 256),
            critic_layers=(256, 256),
        )
        if penalised:
            code = replace(code, penalty=LogProbStd(weight=5.0))
            small = replace(small, penalty=LogProbStd(weight=0.3))
        return {"paper": paper, "reference-code": code, "small": small}

    def build(self, spec: DataSpec, device: torch.device) -> LOMPO:
        """Create the algorithm; raises `VRLError` when the data or the model's run do not fit."""
        from vrl_worldmodel.lompo import LOMPO

        return LOMPO(self, spec, device)


@dataclass(frozen=True, kw_only=True)
class LMBRLConfig(LOMPOConfig):
    """LOMPO without a penalty: latent model-based reinforcement learning (LOMPO, Section 5.1)."""

    penalty: PenaltyConfig = NoPenalty()
    """No estimate of the model's error."""


@dataclass(frozen=True, kw_only=True)
class OfflineSLACConfig(LOMPOConfig):
    """An actor-critic on the model's latents of real data alone (LOMPO, Section 5.1)."""

    penalty: PenaltyConfig = NoPenalty()
    """Nothing is imagined, so nothing is penalised."""
    real_share: float = 1.0
    """Share of real transitions in a batch: all."""


def paper_weight(task: str, behaviour: str) -> float:
    """Return the penalty weight of V-D4RL, Section D.1, for data of this task and behaviour."""
    quality = {"medium_replay": "mixed"}.get(behaviour.replace("-", "_"), behaviour)
    if quality == "random":
        return 3.0
    return 8.0 if (task.replace("-", "_"), quality) == ("walker_walk", "mixed") else 10.0
