"""Settings of the callback and the command. Imports nothing heavy."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vrl_core.errors import VRLError
from vrl_core.hooks import CallbackConfig, CommandConfig, Positional

if TYPE_CHECKING:
    from vrl_core.registry import Registry
    from vrl_theory.bound_callback import TheoryBound

Device = Literal["auto", "cpu", "cuda"]
Metric = Literal["total-variation", "wasserstein", "maximum-mean-discrepancy"]
Subject = Literal["mdp", "bound", "calibration"]


@dataclass(frozen=True, kw_only=True)
class TheoryBoundConfig(CallbackConfig):
    """Follow the bound on the performance gap during training (MOTO, Equation 12 and Figure 6).

    At every evaluation the expert's actions are imagined in the model as it stands. Writes
    theory_bound.jsonl and, when training ends, a figure into the run's folder.
    """

    expert: Path | None = None
    """Store of the expert's episodes; must be given."""
    horizon: int = 5
    """Steps of the rollouts (H)."""
    episodes: int = 5
    """Expert episodes, drawn once."""
    penalty: str | None = None
    """Penalty, as NAME or NAME:KEY=VALUE; none takes the algorithm's."""
    weight: float | None = None
    """Penalty's weight (lambda); none takes the algorithm's."""
    discount: float | None = None
    """Discount; none takes the algorithm's."""
    device: Device = "cpu"
    """Where the model is judged; it is read from the checkpoint."""

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be meant; raises `VRLError`."""
        _check_rollouts(self.horizon, self.episodes, self.weight, self.discount)

    def build(self) -> TheoryBound:
        """Create the observer; raises `VRLError` when there is no expert store."""
        from vrl_theory.bound_callback import TheoryBound

        return TheoryBound(self)


@dataclass(frozen=True, kw_only=True)
class Theory(CommandConfig):
    """Check MOPO's theory in numbers.

    `vrl theory mdp`: Theorem 4.4 on random MDPs whose models are estimated from data: bound and gap
    for error estimators that are admissible and for some that are not, and what the size of lambda
    does.

    `vrl theory bound RUN... --data EXPERT`: the empirical bound of learned models (MOTO, Equation
    12): the penalty along the expert's actions, imagined, beside the performance gap, at every
    checkpoint.

    `vrl theory calibration RUN --data STORE`: how well penalties rank states by the model's true
    error, by horizon, and how often they reach it; needs an environment that can be set to a state.
    """

    subject: Positional[Subject]
    """What to check: mdp, bound or calibration."""
    runs: Positional[tuple[Path, ...]] = ()
    """Folders of runs (bound, calibration)."""
    data: tuple[Path, ...] = ()
    """Stores: of the expert (bound), or whose states are judged (calibration)."""
    horizon: int = 5
    """Steps of imagined rollouts (bound, calibration)."""
    episodes: int = 5
    """Episodes of each store (bound, calibration)."""
    penalty: tuple[str, ...] = ()
    """Penalties, as NAME or NAME:KEY=VALUE; none is the run's own (bound, calibration)."""
    weight: float | None = None
    """Penalty's weight, lambda; none is the run's (bound)."""
    discount: float | None = None
    """Discount; none is the run's, or 0.9 (mdp, bound)."""
    mdps: int = 1000
    """Random MDPs (mdp)."""
    states: int = 4
    """States of each (mdp)."""
    actions: int = 2
    """Actions of each (mdp)."""
    samples: int = 200
    """Transitions that each model is estimated from (mdp)."""
    metric: Metric = "total-variation"
    """Distance of the dynamics (mdp)."""
    seed: int = 0
    """Seed of all that is drawn."""
    output: Path | None = None
    """Folder for table, numbers and figure; none is theory/ here, or in the first run's folder."""
    json: bool = False
    """Print JSON instead of a table."""
    device: Device = "auto"
    """Where models run (bound, calibration)."""

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be meant; raises `VRLError`."""
        _check_rollouts(self.horizon, self.episodes, self.weight, self.discount)
        for name in ("mdps", "states", "actions", "samples"):
            if getattr(self, name) < 1:
                raise VRLError(f"--{name} must be at least 1, not {getattr(self, name)}.")
        if self.seed < 0:
            raise VRLError(f"--seed must be at least 0, not {self.seed}.")
        self._refuse_foreign()

    def _refuse_foreign(self) -> None:
        """Raise `VRLError` for a setting that says nothing about the subject."""
        of_mdp = ("mdps", "states", "actions", "samples", "metric")
        of_runs = ("runs", "data", "horizon", "episodes", "penalty", "weight")
        foreign = {
            "mdp": of_runs,
            "bound": of_mdp,
            "calibration": (*of_mdp, "weight", "discount"),
        }[self.subject]
        for field in fields(self):
            if field.name in foreign and getattr(self, field.name) != field.default:
                raise VRLError(f"`vrl theory {self.subject}` takes no {field.name}.")
        if self.subject != "mdp" and not (self.runs and self.data):
            raise VRLError(
                f"Say which runs and on what data: vrl theory {self.subject} RUN --data STORE."
            )
        if self.subject == "bound" and len(self.penalty) > 1:
            raise VRLError("`vrl theory bound` takes one --penalty; call it once for each.")

    def run(self, registry: Registry) -> int:
        """Print the table and write the files; raises `VRLError` for what does not fit."""
        if self.subject == "mdp":
            from vrl_theory.mdp_report import report_mdps

            return report_mdps(self)
        if self.subject == "bound":
            from vrl_theory.bound_report import report_bounds

            return report_bounds(self, registry)
        from vrl_theory.calibration_report import report_calibration

        return report_calibration(self, registry)


def _check_rollouts(
    horizon: int, episodes: int, weight: float | None, discount: float | None
) -> None:
    for name, value in (("horizon", horizon), ("episodes", episodes)):
        if value < 1:
            raise VRLError(f"{name} must be at least 1, not {value}.")
    if weight is not None and not 0 <= weight < math.inf:
        raise VRLError(f"The penalty's weight must be 0 or more and finite, not {weight}.")
    if discount is not None and not 0 <= discount <= 1:
        raise VRLError(f"The discount must be between 0 and 1, not {discount}.")
