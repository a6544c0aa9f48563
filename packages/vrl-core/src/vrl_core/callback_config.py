"""Configurations of the core's own observers. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vrl_core.hooks import CallbackConfig

if TYPE_CHECKING:
    from vrl_core.callbacks import TensorBoard


@dataclass(frozen=True, kw_only=True)
class TensorBoardConfig(CallbackConfig):
    """Write metrics and evaluations for TensorBoard into the run's `tensorboard` folder."""

    flush_seconds: float = 30.0
    """Seconds after which what was written reaches the disk."""

    def build(self) -> TensorBoard:
        """Create the writer; it opens its file with the first metrics."""
        from vrl_core.callbacks import TensorBoard

        return TensorBoard(flush_seconds=self.flush_seconds)
