"""Train a behaviour: `python -m vrl_envs.behaviours.train --task walker_walk --output folder`."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from vrl_core.errors import VRLError
from vrl_envs.dmc_tasks import check_task
from vrl_envs.gym_mujoco_config import TASKS as GYM_TASKS
from vrl_envs.hiv_config import HIV_TASK

if TYPE_CHECKING:
    from vrl_envs.behaviours.online import OnlineRun
    from vrl_envs.behaviours.training import BehaviourRun

STATE_TASKS = (*GYM_TASKS, HIV_TASK)


@dataclass(frozen=True, kw_only=True)
class TrainBehaviour:
    """Train a behaviour agent on states; running the same command again goes on."""

    output: Path
    """Folder of the run: settings, metrics, a policy for every evaluation."""
    task: str = "walker_walk"
    """dm_control task, Gymnasium MuJoCo task such as `halfcheetah`, or `hiv`."""
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
    if arguments.task not in STATE_TASKS:
        check_task(arguments.task)
    import torch

    torch.set_num_threads(1)  # these networks are too small to share
    for record in open_run(arguments).run():
        if "evaluation" in record:
            returns = record["evaluation"]
            print(
                f"{record['steps']:>9,} steps: return {sum(returns) / len(returns):6.1f} "
                f"(lowest {min(returns):6.1f}), {record['seconds']:.0f} s",
                flush=True,
            )


def open_run(arguments: TrainBehaviour) -> BehaviourRun | OnlineRun:
    """Open the run that the arguments ask for."""
    changes: dict[str, Any] = {
        name: value
        for name, value in (("steps", arguments.steps), ("seed", arguments.seed))
        if value is not None
    }
    if arguments.task in STATE_TASKS:
        return _online_run(arguments, changes)
    from vrl_envs.behaviours.presets import preset
    from vrl_envs.behaviours.training import BehaviourRun

    config = replace(preset(arguments.task, arguments.preset), **changes)
    if arguments.start_from is not None:
        config = replace(config, start_from=str(arguments.start_from))
    return BehaviourRun(config, arguments.output)


def _online_run(arguments: TrainBehaviour, changes: dict[str, Any]) -> OnlineRun:
    from vrl_envs.behaviours.online import OnlineRun
    from vrl_envs.behaviours.presets import online_preset

    if arguments.start_from is not None:
        raise VRLError(f"Training on {arguments.task} begins anew; it takes no --start-from.")
    return OnlineRun(
        replace(online_preset(arguments.task, arguments.preset), **changes), arguments.output
    )


if __name__ == "__main__":
    try:
        train(tyro.cli(TrainBehaviour, description=TrainBehaviour.__doc__))
    except VRLError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("Stopped. The same command goes on from the last saved state.")
