"""What happens between updates: metrics are read, checkpoints written, the policy evaluated."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from vrl_core.callbacks import CallbackList
from vrl_core.checkpoint import checkpoints, save_checkpoint
from vrl_core.device import load_random_state, random_state, seed_everything
from vrl_core.errors import VRLError
from vrl_core.evaluate import Evaluation, EvaluationPool
from vrl_core.hooks import EnvironmentConfig
from vrl_core.interruption import Interruption
from vrl_core.metrics import first_not_finite
from vrl_core.progress import TrainingProgress
from vrl_core.run_config import RunConfig
from vrl_core.run_folder import RunFolder
from vrl_core.training_state import TrainingState


class Recorder:
    """Writes a run's folder and tells its observers.

    `evaluator` holds the environments between evaluations; None evaluates never.
    """

    def __init__(
        self,
        config: RunConfig,
        run: RunFolder,
        state: TrainingState,
        callbacks: CallbackList,
        progress: TrainingProgress,
        interruption: Interruption,
        environment: EnvironmentConfig | None,
        evaluator: EvaluationPool | None,
    ):
        self._config, self._run, self._state = config, run, state
        self._callbacks, self._progress = callbacks, progress
        self._interruption = interruption
        self._environment, self._evaluator = environment, evaluator
        self._clock = time.monotonic()
        self._logged = (state.step, state.seconds)
        self._saved = state.step

    def log(self, phase: str) -> None:
        """Read the averages of the metrics and begin new ones.

        Raises `VRLError` when one is not finite: what, where, and which checkpoint is whole.
        """
        state = self._state
        self._tick()
        values = {f"{phase}/{name}": value for name, value in self._finite(phase).items()}
        state.averages.clear()
        step, seconds = self._logged
        spent = state.seconds - seconds
        values["updates_per_second"] = (state.step - step) / spent if spent > 0 else 0.0
        self._logged = (state.step, state.seconds)
        head = {"step": state.step, "phase": phase, "seconds": round(state.seconds, 3)}
        self._run.metrics.append({**head, **values})
        self._callbacks.on_metrics(state.step, values)
        self._progress.log(state.step, phase, values)

    def between_updates(self, phase: str, *, last: bool) -> None:
        """Save and evaluate if it is time to, and meet a request to stop.

        Raises `KeyboardInterrupt` for such a request, after saving.
        """
        step, stop = self._state.step, self._interruption.requested
        evaluating = self._evaluation_is_due(last)
        if last or stop or evaluating or step % self._config.checkpoint_every == 0:
            self.save(phase, must=last)
        if stop:
            raise KeyboardInterrupt
        if evaluating:
            self.evaluate(phase)

    def save(self, phase: str, *, must: bool = False) -> None:
        """Write a checkpoint; a full disk is warned of, or a `VRLError` if it `must` be written."""
        step = self._state.step
        if step == self._saved:
            return
        self._finite(phase)
        self._tick()
        try:
            folder, keep = self._run.checkpoints, self._config.keep_checkpoints
            path = save_checkpoint(folder, step, self._state.state_dict(), keep=keep)
        except OSError as error:
            message = f"No checkpoint could be written at update {step}: {error.strerror}."
            if must:
                raise VRLError(f"{message} Make room. {self._way_back()}") from error
            warnings.warn(f"{message} Training goes on. {self._way_back()}")
            return
        self._saved = step
        self._callbacks.on_checkpoint(step, path)

    def evaluate(self, phase: str) -> None:
        """Evaluate the policy and write a line about it. Training's random numbers are untouched."""
        if self._evaluator is None:
            return
        state, config = self._state, self._config
        with self._reproducibly(), self._interruption.at_once():
            evaluation = self._evaluator.evaluate(
                state.algorithm.policy(), episodes=config.evaluation_episodes, seed=config.seed
            )
        self._tick()
        head = {"step": state.step, "phase": phase, "seconds": round(state.seconds, 3)}
        line = {**head, **self._summary(evaluation), **evaluation.to_data()}
        self._run.evaluations.append(line)
        self._callbacks.on_evaluation(state.step, evaluation)
        score = "" if line["score"] is None else f", score {line['score']:.1f}"
        self._progress.say(f"update {state.step}: mean return {line['return_mean']:.4g}{score}")
        self._progress.pause()

    def catch_up(self, phase: str, *, last: bool) -> None:
        """Evaluate a resumed run where it was stopped before it could."""
        if self._state.step and self._evaluation_is_due(last):
            known = {line["step"] for line in self._run.evaluations.read()}
            if self._state.step not in known:
                self.evaluate(phase)

    def _evaluation_is_due(self, last: bool) -> bool:
        every = self._config.evaluate_every
        due = last or (every > 0 and self._state.step % every == 0)
        return due and self._evaluator is not None

    def _summary(self, evaluation: Evaluation) -> dict[str, Any]:
        mean = float(np.mean(evaluation.returns))
        references = self._environment.references() if self._environment else None
        score = references.normalise(mean) if references else None
        deviation = float(np.std(evaluation.returns))
        return {"return_mean": mean, "return_std": deviation, "score": score}

    def _finite(self, phase: str) -> Mapping[str, float]:
        values = self._state.averages.read()
        name = first_not_finite(values)
        if name is None:
            return values
        state, count = self._state, self._state.averages.updates
        batches = f"{max(state.phase_step - count, 0)} to {state.phase_step - 1}"
        raise VRLError(
            f"The metric {name!r} of phase {phase!r} is {values[name]} between updates "
            f"{state.step - count + 1} and {state.step} (the phase's batches {batches}). "
            f"Lower the learning rate or look at the data (`vrl data check`). {self._way_back()}"
        )

    def _way_back(self) -> str:
        found = checkpoints(self._run.checkpoints)
        if not found:
            return "There is no checkpoint yet."
        step, path = found[-1]
        return f"The last good checkpoint is kept: {path} (update {step})."

    def _tick(self) -> None:
        """Count the time since the last tick."""
        now = time.monotonic()
        self._state.seconds += now - self._clock
        self._clock = now

    @contextmanager
    def _reproducibly(self) -> Iterator[None]:
        """Give the evaluation its own random numbers, the same whenever it is done at this step."""
        before = random_state(self._state.device)
        seed_everything(self._config.seed + self._state.step)
        try:
            yield
        finally:
            load_random_state(before, self._state.device)
