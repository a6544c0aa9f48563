"""Episodes of RoboHive, at random or with a user's policies, as they are or with noise.

Episode i depends on the configuration and i alone, as in `dmc.dataset`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vrl_core.episodes import Episode
from vrl_core.errors import VRLError
from vrl_core.evaluation_workers import layout_of
from vrl_envs.behaviours.policy import require_fit
from vrl_envs.collection import (
    check_index,
    describe,
    episode_streams,
    noisy_action,
    run_episode,
    uniform_action,
)
from vrl_envs.dapg_policy import DAPGPolicy
from vrl_envs.qualities import quality_of
from vrl_envs.releases import versions_of
from vrl_envs.robohive.config import RoboHiveDataset
from vrl_envs.robohive.environment import RoboHiveEnvironment
from vrl_envs.robohive.package import PACKAGES
from vrl_envs.robohive.tasks import HANDS, state_task
from vrl_envs.settings import require_folder

DAPG_OBSERVATIONS: Mapping[str, tuple[str, ...]] = {
    "pen-v1": (
        "hand_jnt",
        "obj_pos",
        "obj_vel",
        "obj_rot",
        "obj_des_rot",
        "obj_err_pos",
        "obj_err_rot",
    ),
    "door-v1": (
        "hand_jnt",
        "latch_pos",
        "door_pos",
        "palm_pos",
        "handle_pos",
        "reach_err",
        "door_open",
    ),
    "hammer-v1": (
        "hand_jnt",
        "obj_vel",
        "palm_pos",
        "obj_pos",
        "obj_rot",
        "target_pos",
        "nail_impact",
    ),
    "relocate-v1": ("hand_jnt", "palm_obj_err", "palm_tar_err", "obj_tar_err"),
}
"""Parts of RoboHive's observations that DAPG's experts were trained on, in their order."""


class RoboHiveEpisodes:
    """Episodes that a policy acts out when they are asked for."""

    def __init__(self, config: RoboHiveDataset) -> None:
        """Load the task and the policy.

        Raises `VRLError` when something is missing, nothing can draw, or the policy does not fit.
        """
        self.config = config
        files = policy_files(config)
        self.policy = DAPGPolicy.read(files[0]) if files else None
        self.environment = RoboHiveEnvironment(config.environment())
        layout = layout_of(self.environment)
        self.spec = describe("robohive", config, layout, versions_of(PACKAGES))
        self._parts = DAPG_OBSERVATIONS.get(state_task(config.task), ())
        if self.policy is not None:
            seen = len(self.environment.state(self._parts))
            require_fit(self.policy, files[0], config.task, seen, self.spec.action_size)

    def __len__(self) -> int:
        return self.config.episodes

    def __getitem__(self, index: int, /) -> Episode:
        """Act out episode `index`."""
        check_index(index, len(self))
        quality = quality_of(self.config.quality, len(self), index)
        seed, noise = episode_streams(self.config.seed, index)

        def act(_observation: Any) -> np.ndarray:
            if self.policy is None or quality == "random":
                return uniform_action(noise, self.spec.action_size)
            wanted = self.policy.action(self.environment.state(self._parts))
            return noisy_action(wanted, self.config.noise_of(quality), noise)

        return run_episode(self.environment, seed, act, {"seed": seed, "behaviour": quality})

    def close(self) -> None:
        """Free the simulator and its renderers."""
        self.environment.close()


def policy_files(config: RoboHiveDataset) -> tuple[Path, ...]:
    """Return the file of the policy that acts; none acts at random.

    Raises `VRLError` when it is not there.
    """
    if config.quality == "random":
        return ()
    task = state_task(config.task)
    names = [f"{task}.npz"] + [f"adroit_{task.removesuffix('-v1')}.npz"] * (task in HANDS)
    if config.behaviours is None:
        raise VRLError(
            f"No {config.quality} policy of {task} comes with VRL. Name a folder with yours, "
            f"{' or '.join(names)}: --behaviours FOLDER (DAPG's experts, see docs/tasks/"
            "robohive.md), or collect --quality random."
        )
    folder = Path(config.behaviours).expanduser()
    require_folder("behaviours", folder)
    for name in names:
        if (folder / name).is_file():
            return (folder / name,)
    there = ", ".join(sorted(path.name for path in folder.glob("*.npz"))) or "no .npz file"
    raise VRLError(f"{folder} has no policy of {task}, {' or '.join(names)}; it has {there}.")
