"""Train a behaviour: `python -m vrl_envs.behaviours.train --task walker_walk --output folder`.

With `--keep STEP QUALITY`, make the policy of a step one of the folder's behaviours instead.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from vrl_core.errors import VRLError, unknown_name
from vrl_envs.behaviours.shipped import LESSON_TASKS, STATE_TASKS
from vrl_envs.dmc.tasks import TASKS as DMC_TASKS
from vrl_envs.releases import MUJOCO

if TYPE_CHECKING:
    from vrl_envs.behaviours.online import OnlineRun
    from vrl_envs.behaviours.training import BehaviourRun

KEPT_QUALITIES = ("medium", "expert")


@dataclass(frozen=True, kw_only=True)
class TrainBehaviour:
    """Train a behaviour agent on states; running the same command again goes on."""

    output: Path
    """Folder of the run: settings, metrics, a policy for every evaluation."""
    task: str = "walker_walk"
    """dm_control task, Gymnasium MuJoCo task such as `halfcheetah`, `hiv`, D'Claw's
    such as `screw_fixed`, or Adroit's such as `adroit_pen`."""
    preset: str = "expert"
    """`expert`; `mixed`: slow learning, for the medium policy and the replay; `gait`, `stride` and
    `sprint`: what the cheetah's expert starts from, one after the other; `forward` and `backward`:
    agents of a random screw that turn one way, whom its expert imitates
    (`vrl_envs.behaviours.imitation`); `held`, `eased`, `light`, `faint`: what the
    humanoid's expert starts from."""
    start_from: Path | None = None
    """Folder of a run whose networks this one starts with, instead of the preset's."""
    steps: int | None = None
    """Agent steps in all, instead of the preset's."""
    seed: int | None = None
    """Seed, instead of the preset's."""
    keep: tuple[int, str] | None = None
    """Step and quality: train nothing, but make the policy that was evaluated at this step the
    behaviour `medium` or `expert` of the folder (state tasks)."""


def train(arguments: TrainBehaviour) -> None:
    """Run the training and print a line for each evaluation. Raises `VRLError` for bad names."""
    if arguments.task not in (*DMC_TASKS, *STATE_TASKS):
        raise unknown_name("task", arguments.task, (*DMC_TASKS, *STATE_TASKS))
    if arguments.keep is not None:
        print(f"Kept: {keep(arguments, *arguments.keep)}")
        return
    MUJOCO.require()  # before anything imports either
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


def keep(arguments: TrainBehaviour, step: int, quality: str) -> Path:
    """Make the policy of a step a behaviour and return its file. Raises `VRLError` without one."""
    from vrl_envs.behaviours.online import keep_policy

    if arguments.task not in (*STATE_TASKS, *LESSON_TASKS):
        raise VRLError(
            f"--keep is for {', '.join((*STATE_TASKS, *LESSON_TASKS))}. For {arguments.task} see "
            "vrl_envs.behaviours.shipping.ship."
        )
    if quality not in KEPT_QUALITIES:
        raise unknown_name("quality of a policy", quality, KEPT_QUALITIES)
    policy = arguments.output / "steps" / f"step_{step:08d}.safetensors"
    return keep_policy(policy, arguments.output, arguments.task, quality)


def open_run(arguments: TrainBehaviour) -> BehaviourRun | OnlineRun:
    """Open the run that the arguments ask for."""
    changes: dict[str, Any] = {
        name: value
        for name, value in (("steps", arguments.steps), ("seed", arguments.seed))
        if value is not None
    }
    if arguments.task in (*STATE_TASKS, *LESSON_TASKS):
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

    config = replace(online_preset(arguments.task, arguments.preset), **changes)
    if arguments.start_from is not None:
        config = replace(config, start_from=str(arguments.start_from))
    return OnlineRun(config, arguments.output)


if __name__ == "__main__":
    try:
        train(tyro.cli(TrainBehaviour, description=TrainBehaviour.__doc__))
    except VRLError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("Stopped. The same command goes on from the last saved state.")
