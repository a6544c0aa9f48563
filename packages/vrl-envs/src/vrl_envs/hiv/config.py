"""Settings of the HIV treatment environment and its dataset. Imports no solver."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from vrl_core.errors import VRLError
from vrl_core.hooks import DatasetConfig, EnvironmentConfig
from vrl_envs.idle_settings import refuse_idle
from vrl_envs.settings import (
    QUALITIES,
    check_at_least,
    check_choice,
    check_known,
    settle_quality,
)

if TYPE_CHECKING:
    import gymnasium

    from vrl_core.episodes import Dataset

Doses = Literal["continuous", "switched", "discrete"]
HIVObservation = Literal["log10", "log10-cells", "counts"]

DOSES = ("continuous", "switched", "discrete")
OBSERVATIONS = ("log10", "log10-cells", "counts")
HIV_TASK = "hiv"


@dataclass(frozen=True, kw_only=True)
class HIV(EnvironmentConfig):
    """Treatment of HIV with two drugs (Adams et al. 2004; whynot's HIV-v0; MOPO, Appendix F)."""

    doses: Doses = "continuous"
    """`continuous`: any dose of each drug, from none (action -1) to its full efficacy (1);
    `switched`: each drug is given in full where its action is positive; `discrete`: whynot's
    action space, the number 0 to 3 of one of the four treatments, which VRL's algorithms, whose
    actions lie in a box, cannot choose from."""
    observation: HIVObservation = "log10"
    """`log10`: decimal logarithms of the six counts; `log10-cells`: of the four cell counts, with
    virus and immune response as they are (MOPO's words); `counts`: all as they are (whynot)."""
    reward_scale: float = 1.0
    """Factor of the published reward, whose size is 1e4 to 1e5 a day."""
    days: int = 400
    """Days, each a step, until an episode is cut off."""

    def __post_init__(self) -> None:
        check_choice("doses", self.doses, DOSES)
        check_choice("observation", self.observation, OBSERVATIONS)
        check_at_least("days", self.days, 1)
        if not (math.isfinite(self.reward_scale) and self.reward_scale > 0):
            raise VRLError(f"reward_scale is {self.reward_scale}; it must be a positive number.")

    def build(self) -> gymnasium.Env[Any, Any]:
        """Create the environment."""
        from vrl_envs.hiv.environment import HIVEnvironment

        return HIVEnvironment(self)


@dataclass(frozen=True, kw_only=True)
class HIVDataset(DatasetConfig):
    """Episodes of HIV treatment, collected here."""

    tasks: ClassVar[tuple[str, ...]] = (HIV_TASK,)
    qualities: ClassVar[tuple[str, ...]] = QUALITIES

    task: str = HIV_TASK
    """`hiv`; there is one task."""
    quality: str = "random"
    """Behaviour: `random` (uniform actions), `mixed` (the replay of an agent while it learnt:
    MOPO's buffer), `medium`, `medium_expert` or `expert`."""
    episodes: int | None = None
    """Episodes to collect; by default 100, of `mixed` all that the replay has.
    Fewer of it are spread evenly."""
    seed: int = 0
    """Seed of the behaviour's choices; the first state is always the same."""
    doses: Doses = "continuous"
    """Any dose of each drug, or each drug `switched` fully on or off."""
    observation: HIVObservation = "log10"
    """Scale of the observations, as in the environment."""
    reward_scale: float | None = None
    """Factor of the published reward; none is the behaviours' own, with which their replay was
    recorded (of `random` 1). MOPO needs one that makes rewards as small as states."""
    days: int = 400
    """Days, each a step, until an episode is cut off."""
    behaviours: str | None = None
    """Folder of behaviours: `policies/hiv/<quality>.safetensors`, `replays/hiv.safetensors`."""

    def __post_init__(self) -> None:
        check_known("HIV task", self.task, (HIV_TASK,))
        settle_quality(self, QUALITIES)
        if self.doses == "discrete":
            raise VRLError(
                "Data of discrete doses cannot be stored: actions are numbers in [-1, 1]. "
                "Use doses 'switched', the same four treatments."
            )
        if self.episodes is not None:
            check_at_least("episodes", self.episodes, 1)
        check_at_least("seed", self.seed, 0)
        refuse_idle(self, {"behaviours": ("mixed", "medium", "expert")})
        self.environment()

    def environment(self) -> HIV:
        """Return the environment that the episodes come from; without a scale, the published one.

        `state_dataset.with_reward_scale` finds the behaviours' own.
        """
        return HIV(
            doses=self.doses,
            observation=self.observation,
            reward_scale=1.0 if self.reward_scale is None else self.reward_scale,
            days=self.days,
        )

    def build(self) -> Dataset:
        """Return the episodes, each made when it is asked for.

        Raises `VRLError` when the behaviour does not exist or does not fit.
        """
        from vrl_envs.state_dataset import open_state_dataset

        return open_state_dataset(self)

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what the episodes depend on: the behaviours that act, and the simulator too."""
        from vrl_envs.state_dataset import fingerprint

        return fingerprint(self)
