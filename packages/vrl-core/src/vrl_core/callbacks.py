"""Observers of a run: TensorBoard, and the list that keeps a faulty observer from ending a run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vrl_core.errors import VRLError
from vrl_core.protocols import Callback

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from vrl_core.evaluate import Evaluation
    from vrl_core.hooks import CallbackConfig

TENSORBOARD = "tensorboard"
"""Folder of the event files, inside the run's folder."""


class TensorBoard(Callback):
    """Writes scalars to `<run>/tensorboard`. A resumed run hides what it does again."""

    def __init__(self, flush_seconds: float = 30.0):
        self._flush_seconds = flush_seconds
        self._folder: Path | None = None
        self._writer: SummaryWriter | None = None

    def on_start(self, folder: Path) -> None:
        self._folder = folder / TENSORBOARD

    def on_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        writer = self._open(step)
        for name, value in metrics.items():
            writer.add_scalar(name, value, step)

    def on_evaluation(self, step: int, evaluation: Evaluation) -> None:
        writer = self._open(step)
        writer.add_scalar("evaluation/return", float(evaluation.returns.mean()), step)
        writer.add_scalar("evaluation/length", float(evaluation.lengths.mean()), step)
        if evaluation.successes is not None:
            writer.add_scalar("evaluation/success", float(evaluation.successes.mean()), step)

    def on_end(self, step: int) -> None:  # noqa: ARG002
        if self._writer is not None:
            self._writer.close()

    def _open(self, step: int) -> SummaryWriter:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            # Whatever an interrupted part of the run wrote from this step on is written again.
            self._writer = SummaryWriter(
                self._folder, purge_step=step, flush_secs=int(self._flush_seconds)
            )
        return self._writer


class CallbackList(Callback):
    """Several observers as one.

    A failure at the start is a `VRLError`, for nothing is lost then. Later an observer that fails
    is warned of and asked no more, and the run goes on.
    """

    def __init__(self, callbacks: Sequence[Callback]):
        self._callbacks = list(callbacks)

    @classmethod
    def build(cls, configs: Sequence[CallbackConfig]) -> CallbackList:
        """Create the observers; raises `VRLError` naming the one that cannot be created."""
        return cls([_starting(type(config).__name__, config.build) for config in configs])

    def on_start(self, folder: Path) -> None:
        for callback in self._callbacks:
            _starting(type(callback).__name__, callback.on_start, folder)

    def on_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        self._tell("on_metrics", step, metrics)

    def on_evaluation(self, step: int, evaluation: Evaluation) -> None:
        self._tell("on_evaluation", step, evaluation)

    def on_checkpoint(self, step: int, folder: Path) -> None:
        self._tell("on_checkpoint", step, folder)

    def on_end(self, step: int) -> None:
        self._tell("on_end", step)

    def _tell(self, event: str, *arguments: Any) -> None:
        for callback in tuple(self._callbacks):
            try:
                getattr(callback, event)(*arguments)
            except Exception as error:
                self._callbacks.remove(callback)
                name = f"{type(callback).__name__}.{event}"
                reason = f"{type(error).__name__}: {error}"
                warnings.warn(f"{name} failed ({reason}); the run goes on without it.")


def _starting(name: str, action: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return action(*arguments)
    except VRLError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        advice = "Mend it, or leave it out of the run's callbacks."
        raise VRLError(f"The callback {name} could not start ({reason}). {advice}") from error
