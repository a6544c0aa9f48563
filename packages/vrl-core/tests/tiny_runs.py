"""Short runs of the tiny algorithm, and what to compare of them."""

from __future__ import annotations

import json
from pathlib import Path

import tiny_training
import vrl_core.plugin
from vrl_core.checkpoint import checkpoints, load_checkpoint
from vrl_core.registry import Registry
from vrl_core.run_config import RunConfig
from vrl_core.store_config import StoreDataset
from vrl_core.train import train


def registry() -> Registry:
    return Registry(installed=False, modules=[vrl_core.plugin, tiny_training])


def run_config(store: str | Path, algorithm: object = None, **changes) -> RunConfig:
    settings = {
        "algorithm": algorithm or tiny_training.TinyConfig(),
        "dataset": StoreDataset(path=str(store)),
        "device": "cpu",
        "seed": 1,
        "evaluate_every": 7,
        "evaluation_episodes": 2,
        "evaluation_workers": 0,
        "checkpoint_every": 5,
        "log_every": 3,
    }
    return RunConfig(**{**settings, **changes})


def train_tiny(config: RunConfig, folder: Path, *, resume: bool = False, steps=None):
    return train(config, registry=registry(), folder=folder, resume=resume, steps=steps)


def logged(folder: Path, name: str = "metrics") -> list[dict]:
    """The lines of a log, without what depends on the clock."""
    lines = map(json.loads, (folder / f"{name}.jsonl").read_text().splitlines())
    timing = ("seconds", "updates_per_second")
    return [{key: line[key] for key in line if key not in timing} for line in lines]


def final_state(folder: Path) -> tuple[int, dict]:
    """Step and state of the last checkpoint, without what differs from run to run.

    That is the time, and Python's generator: beartype, which checks shapes in tests, draws from it.
    """
    step, state = load_checkpoint(checkpoints(folder / "checkpoints")[-1][1])
    del state["seconds"], state["random"]["python"]
    return step, state
