"""Train a behaviour: `python -m vrl_envs.behaviours.train --task walker_walk --output folder`."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from vrl_core.errors import VRLError
from vrl_envs.dmc_tasks import check_task


@dataclass(frozen=True, kw_only=True)
class TrainBehaviour:
    """Train a behaviour agent on states; running the same command again goes on."""

    output: Path
    """Folder of the run: settings, metrics, a policy for every evaluation."""
    task: str = "walker_walk"
    """dm_control task."""
    preset: str = "expert"
    """`expert`; `mixed`: slow learning, for the medium policy and the replay; `gait`, `stride` and
    `sprint`: what the cheetah's expert starts from, one after the other."""
    start_from: Path | None = None
    """Folder of a run whose networks this one starts with, instead of the preset's."""
    steps: int | None = None
    """Agent steps in all, instead of the preset's."""
    seed: int | None = None
    """Seed, instead of the preset's."""


def train(arguments: TrainBehaviour) -> None:
    """Run the training and print a line for each evaluation. Raises `VRLError` for bad names."""
    check_task(arguments.task)
    import torch

    from vrl_envs.behaviours.presets import preset
    from vrl_envs.behaviours.training import BehaviourRun

    config = preset(arguments.task, arguments.preset)
    if arguments.steps is not None:
        config = replace(config, steps=arguments.steps)
    if arguments.seed is not None:
        config = replace(config, seed=arguments.seed)
    if arguments.start_from is not None:
        config = replace(config, start_from=str(arguments.start_from))
    torch.set_num_threads(1)  # these networks are too small to share
    for record in BehaviourRun(config, arguments.output).run():
        if "evaluation" in record:
            returns = record["evaluation"]
            print(
                f"{record['steps']:>9,} steps: return {sum(returns) / len(returns):6.1f} "
                f"(lowest {min(returns):6.1f}), {record['seconds']:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    try:
        train(tyro.cli(TrainBehaviour, description=TrainBehaviour.__doc__))
    except VRLError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("Stopped. The same command goes on from the last saved state.")
