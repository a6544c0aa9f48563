"""What happens between updates: metrics are read, checkpoints written, the policy evaluated."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from vrl_core.callbacks import CallbackList
from vrl_core.checkpoint import checkpoints, save_checkpoint
from vrl_core.errors import VRLError
from vrl_core.evaluate import Evaluation
from vrl_core.interruption import Interruption
from vrl_core.metrics import first_not_finite
from vrl_core.progress import TrainingProgress
from vrl_core.replay import Replay
from vrl_core.run_config import RunConfig
from vrl_core.run_evaluator import RunEvaluator
from vrl_core.run_folder import RunFolder
from vrl_core.training_state import TrainingState, phase_seed


class Recorder:
    """Writes a run's folder and tells its observers."""

    def __init__(
        self,
        config: RunConfig,
        run: RunFolder,
        state: TrainingState,
        callbacks: CallbackList,
        progress: TrainingProgress,
        interruption: Interruption,
        evaluator: RunEvaluator,
        replay: Replay,
    ):
        self._config, self._run, self._state = config, run, state
        self._callbacks, self._progress = callbacks, progress
        self._interruption, self._evaluator, self._replay = interruption, evaluator, replay
        self._clock = time.monotonic()
        self._logged = (state.step, state.seconds)
        self._saved = state.step

    def log(self) -> None:
        """Read the averages of the metrics and begin new ones.

        Raises `VRLError` when one is not finite: what, where, and which checkpoint is whole.
        """
        state, phase = self._state, self._state.latest_phase
        self._tick()
        values = {f"{phase}/{name}": value for name, value in self._finite().items()}
        state.averages.clear()
        step, seconds = self._logged
        spent = state.seconds - seconds
        values["updates_per_second"] = (state.step - step) / spent if spent > 0 else 0.0
        self._logged = (state.step, state.seconds)
        self._run.metrics.append({**self._head(), **values})
        self._callbacks.on_metrics(state.step, values)
        self._progress.log(state.step, phase, values)

    def between_updates(self) -> None:
        """Save and evaluate if it is time to, and meet a request to stop.

        Raises `KeyboardInterrupt` for such a request, after saving.
        """
        step, stop = self._state.step, self._interruption.requested
        last, evaluating = self._state.finished, self._evaluation_is_due()
        if last or stop or evaluating or step % self._config.checkpoint_every == 0:
            self.save(must=last)
        if stop:
            raise KeyboardInterrupt
        if evaluating:
            self.evaluate()

    def save(self, *, must: bool = False) -> None:
        """Write a checkpoint; a full disk is warned of, or a `VRLError` if it `must` be written."""
        step = self._state.step
        if step == self._saved:
            return
        self._finite()
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

    def evaluate(self) -> None:
        """Evaluate the policy and write a line about it; training's randomness is untouched."""
        state = self._state
        with self._interruption.at_once():
            policy = state.algorithm.policy()
            evaluation = self._evaluator.evaluate(policy, state.step, state.device)
        self._tick()
        line = {**self._head(), **self._summary(evaluation), **evaluation.to_data()}
        self._run.evaluations.append(line)
        self._callbacks.on_evaluation(state.step, evaluation)
        score = "" if line["score"] is None else f", score {line['score']:.1f}"
        self._progress.say(f"update {state.step}: mean return {line['return_mean']:.4g}{score}")
        self._progress.pause()

    def catch_up(self) -> None:
        """Evaluate a resumed run where it was stopped before it could."""
        if self._state.step and self._evaluation_is_due():
            known = {line["step"] for line in self._run.evaluations.read()}
            if self._state.step not in known:
                self.evaluate()

    def _evaluation_is_due(self) -> bool:
        return self._evaluator.is_due(self._state.step, finished=self._state.finished)

    def _summary(self, evaluation: Evaluation) -> dict[str, Any]:
        mean, deviation = float(np.mean(evaluation.returns)), float(np.std(evaluation.returns))
        score = self._evaluator.score(mean)
        return {"return_mean": mean, "return_std": deviation, "score": score}

    def _finite(self) -> Mapping[str, float]:
        values = self._state.averages.read()
        name = first_not_finite(values)
        if name is None:
            return values
        state, averages = self._state, self._state.averages
        since = averages.updates - averages.finite_updates - 1
        batch = state.phase_step - 1 - since
        raise VRLError(
            f"The metric {name!r} of phase {state.latest_phase!r} is {values[name]} from update "
            f"{state.step - since} on (batch {batch} of the phase). "
            f"{self._cause(range(state.phase_step - averages.updates, batch + 1))} "
            f"{self._way_back()}"
        )

    def _cause(self, batches: range) -> str:
        """Say whether the data of these batches is what is not finite."""
        phase = self._state.phases[self._state.phase]
        seed = phase_seed(self._config.seed, self._state.phase)
        fault = self._replay.find_fault(phase.batches, seed, batches)
        if fault is None:
            first, last = batches[0], batches[-1]
            return (
                f"The data of these batches ({first} to {last}) is finite: lower the learning "
                "rate, or train in --precision float32."
            )
        return f"The data is at fault: {fault}. See: vrl data check."

    def _head(self) -> dict[str, Any]:
        state = self._state
        seconds = round(state.seconds, 3)
        return {"step": state.step, "phase": state.latest_phase, "seconds": seconds}

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
