"""Settings of a classifier of rewards. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from vrl_core.errors import VRLError


@dataclass(frozen=True, kw_only=True)
class ClassifierTraining:
    """Settings of a training."""

    steps: int = 600
    """Updates."""
    batch_size: int = 32
    """Frames of an update, half of them successes."""
    learning_rate: float = 1e-3
    """Of AdamW."""
    weight_decay: float = 1e-2
    """Of AdamW; few labels are learnt by heart without."""
    shift_padding: int = 4
    """Pixels by which images are shifted at random, at most, in each direction."""
    held_out: float = 0.2
    """Share of the labelled frames, of either kind, to judge by; 0 trains on all."""
    channels: tuple[int, ...] = (32, 32, 32, 32)
    """Channels of the convolutions."""
    strides: tuple[int, ...] = (2, 2, 2, 1)
    """Their strides."""
    hidden_size: int = 128
    """Units of the hidden layer."""
    seed: int = 0
    """Seed of weights, batches, shifts and of what is held out."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "hidden_size"):
            if getattr(self, name) < 1:
                raise VRLError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if self.shift_padding < 0 or self.seed < 0:
            raise VRLError("shift_padding and seed cannot be negative.")
        if not 0 <= self.held_out < 1:
            raise VRLError(f"held_out is {self.held_out}; it is a share, from 0 to below 1.")
        if len(self.channels) != len(self.strides) or not self.channels:
            raise VRLError(
                f"There are {len(self.channels)} channels and {len(self.strides)} strides; every "
                "convolution has one of each."
            )
