"""Evaluation during a run: one environment, kept alive, and the run's own seeds."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import numpy as np
import torch

from vrl_core.agreement import check_identity, check_layout, warn_of_other_versions
from vrl_core.config import from_data
from vrl_core.device import preserve_random_state, seed_everything
from vrl_core.episodes import DataSpec
from vrl_core.errors import VRLError
from vrl_core.evaluate import Evaluation, EvaluationPool
from vrl_core.evaluation_workers import Layout
from vrl_core.hooks import EnvironmentConfig
from vrl_core.protocols import Policy
from vrl_core.registry import Registry
from vrl_core.run_config import RunConfig


class RunEvaluator:
    """The environment of a run; without one it does nothing. Use it as a context manager.

    Raises `VRLError` when the run has no environment, or one that does not fit the data.
    """

    def __init__(self, config: RunConfig, spec: DataSpec, registry: Registry):
        self._config, self._spec = config, spec
        self.environment = run_environment(config, spec, registry)
        self._pool: EvaluationPool | None = None
        if self.environment is not None:
            check_identity(spec, self.environment, registry)
            warn_of_other_versions(spec, self.environment, registry)

    def __enter__(self) -> Self:
        """Start the environments."""
        if self.environment is not None:
            self._pool = EvaluationPool(self.environment, workers=self._config.evaluation_workers)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.close()

    def is_due(self, step: int, *, finished: bool) -> bool:
        """Whether the policy is to be evaluated after `step` updates."""
        every = self._config.evaluate_every
        return self._pool is not None and (finished or (every > 0 and step % every == 0))

    def check(self, policy: Policy, device: torch.device) -> None:
        """Compare what the environments show with the data, as far as the policy reads it.

        Then let it act once, without touching training's random numbers.
        """
        if self._pool is not None:
            check_layout(self._spec, self._pool.layout, policy)
            with preserve_random_state(device):
                check_policy(policy, self._pool.layout)

    def evaluate(self, policy: Policy, step: int, device: torch.device) -> Evaluation:
        """Evaluate with random numbers that depend on seed and step alone."""
        if self._pool is None:
            raise VRLError("This run has no environment to evaluate in.")
        with preserve_random_state(device):
            seed_everything(self._config.seed + step)
            episodes = self._config.evaluation_episodes
            return self._pool.evaluate(policy, episodes=episodes, seed=self._config.seed)

    def score(self, mean_return: float) -> float | None:
        """Return the normalised score, if the environment's references are known."""
        references = self.environment.references() if self.environment else None
        return references.normalise(mean_return) if references else None


def run_environment(
    config: RunConfig, spec: DataSpec, registry: Registry
) -> EnvironmentConfig | None:
    """Return the run's environment: the configured one, else the one the data names.

    None when the run asks for no evaluation. Raises `VRLError` when there is no environment.
    """
    if config.evaluation_episodes == 0:
        return None
    if config.environment is not None:
        return config.environment
    if spec.environment is None:
        raise VRLError(
            "The data does not say which environment it was recorded in. Name one "
            "(`environment:<name>`), or train without evaluation (`--evaluation-episodes 0`)."
        )
    environment: EnvironmentConfig = from_data("environments", dict(spec.environment), registry)
    return environment


def check_policy(policy: Policy, layout: Layout) -> None:
    """Let a policy act once on blank observations, so that a misfit shows before training.

    Raises `VRLError` when it fails or its action does not fit the environment.
    """
    blank = {
        name: np.zeros((1, *field.shape), dtype=field.dtype)
        for name, field in layout.observations.items()
    }
    try:
        actions, _ = policy.act(blank, policy.start(1))
    except VRLError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise VRLError(
            f"The policy cannot act on this environment's observations ({reason})."
        ) from error
    if actions.shape != (1, layout.action_size):
        raise VRLError(
            f"The policy's actions have shape {actions.shape}, not (1, {layout.action_size})."
        )
