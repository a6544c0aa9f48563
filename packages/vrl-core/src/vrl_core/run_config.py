"""Everything a run depends on. Its fields are flags of `vrl train` and keys of `config.yaml`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vrl_core.errors import VRLError
from vrl_core.hooks import AlgorithmConfig, CallbackConfig, DatasetConfig, EnvironmentConfig


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Settings of one training run."""

    algorithm: AlgorithmConfig
    """What is trained."""
    dataset: DatasetConfig
    """Logged episodes to learn from."""
    environment: EnvironmentConfig | None = None
    """Where the policy is evaluated; none means the environment the data was recorded in."""
    callbacks: tuple[CallbackConfig, ...] = ()
    """Observers of the run."""
    seed: int = 0
    """Seed of initialisation, batches and evaluation."""
    steps: int | None = None
    """Updates of the algorithm's last phase, instead of its own number."""
    output: Path | None = None
    """Folder of the run; none means `runs/<task>/<algorithm>/<time>-seed<k>`."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; `auto` takes a GPU when there is one."""
    precision: Literal["float32", "bfloat16"] | None = None
    """Arithmetic of the networks; none leaves it to the algorithm."""
    compile: bool = False
    """Compile the updates with torch.compile: quicker after minutes of waiting."""
    data_placement: Literal["auto", "device", "stream"] = "auto"
    """Keep the data on the device or stream it from disk; the batches are the same."""
    evaluate_every: int = 10_000
    """Updates between evaluations; 0 evaluates only at the end."""
    evaluation_episodes: int = 10
    """Episodes of one evaluation; 0 never evaluates."""
    evaluation_workers: int | None = None
    """Processes that step environments; none means one a core, 0 this process."""
    checkpoint_every: int = 5_000
    """Updates between checkpoints; there is always one at the end."""
    keep_checkpoints: int = 2
    """Newest checkpoints to keep."""
    log_every: int = 100
    """Updates between reading metrics from the device."""
    plugins: tuple[str, ...] = ()
    """Files that were loaded with `--plugin`; resuming loads them again."""

    def __post_init__(self) -> None:
        """Refuse numbers that make no run; raises `VRLError`."""
        positive = ("checkpoint_every", "keep_checkpoints", "log_every", "steps")
        natural = ("evaluate_every", "evaluation_episodes", "evaluation_workers", "seed")
        for names, least in ((positive, 1), (natural, 0)):
            for name in names:
                value = getattr(self, name)
                if value is not None and value < least:
                    raise VRLError(f"{name} must be at least {least}, not {value}.")
