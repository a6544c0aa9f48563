"""A MetaWorld task as a Gymnasium environment."""

from __future__ import annotations

from typing import Any

import numpy as np

from vrl_envs.control import checked_action
from vrl_envs.drawing.rendering import FreeCamera
from vrl_envs.metaworld.config import MetaWorld
from vrl_envs.metaworld.tasks import DOOR_CAMERA, FIXED_LAYOUTS, TASKS, TURNED_CAMERAS
from vrl_envs.settings import camera_fields
from vrl_envs.simulated import SimulatedEnvironment, View

# After rendering, which chooses the way of drawing before MuJoCo is imported.
import mujoco  # isort: skip
from metaworld.env_dict import ALL_V3_ENVIRONMENTS  # isort: skip

MESH_DETAIL = 0.008
"""Metres below which `fast` does not draw the robot's surface: half a pixel of 128."""
PROPRIOCEPTION = 4
"""Leading numbers of the state: the hand's position in metres and the gripper's opening, 0 to 1."""
FREE_CAMERAS = {
    DOOR_CAMERA: FreeCamera(
        target=(0.075, 0.75, 0.15), distance=1.05, azimuth=115.0, elevation=-12.5
    )
}
"""Views that are in no model."""


class MetaWorldEnvironment(SimulatedEnvironment):
    """A task with repeated actions in [-1, 1], seen as an image, a state vector, or both.

    Images are `(size, size, 3)` uint8; states are float32: all 39 numbers of MetaWorld's
    observation with the goal, or beside an image the hand's and the gripper's 4. `info` has
    `success`: whether a simulator step of the action found the task solved. Episodes are truncated
    after `horizon` simulator steps and never terminate. `reset(seed=s)` starts the same episode
    whatever came before.
    """

    config: MetaWorld

    def __init__(self, config: MetaWorld) -> None:
        """Load the task. Raises `VRLError` when nothing can draw."""
        self.config = config
        self.inner = load_task(config.task)
        self._state = np.zeros(self.inner.sawyer_observation_space.shape)
        super().__init__(
            size=config.image_size(),
            actions=4,
            seconds=self.inner.dt * config.action_repeat,
            horizon=config.horizon,
            cameras=camera_fields(config.camera_name()),
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; a seed fixes its first state."""
        super().reset(seed=seed, options=options)
        drawn = self._seed_for(seed)
        if drawn is not None:
            self.inner.seed(drawn)
        self.inner.reset()
        self._state = first_state(self.inner)
        return self._begin(), {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Apply an action `(4,)` `action_repeat` times: hand's motion (3) and gripper's force.

        Raises `VRLError` for an action of another size or with numbers that are not finite.
        """
        control = checked_action(action, 4, self.config.task).astype(np.float32)
        reward, success = 0.0, False
        for _ in self._repeats(self.config.action_repeat):
            self._state, step_reward, _, _, info = self.inner.step(control)
            self._count_step()
            reward += float(step_reward)
            success = success or bool(info["success"])
        if self.config.reward == "sparse":
            reward = float(success)
        return self.observe(), reward, False, self._out_of_time(), {"success": success}

    def state(self) -> np.ndarray:
        """Return the whole state `(39,)` float64, whatever the observation is."""
        return self._state.copy()

    def proprioception(self) -> np.ndarray:
        """Return the hand's position in metres and the gripper's opening, `(4,)`."""
        return self._state[:PROPRIOCEPTION]

    def _view(self, camera: str) -> View:
        view = FREE_CAMERAS.get(camera, camera)
        return View(scene=self.config.task, camera=view, mesh_detail=MESH_DETAIL)

    def _draw(self, field: str) -> np.ndarray:
        frame = super()._draw(field)
        return np.rot90(frame, 2) if self._cameras[field] in TURNED_CAMERAS else frame


def load_task(task: str) -> Any:
    """Create MetaWorld's own environment, with a visible goal and layouts drawn by its own seed."""
    inner: Any = ALL_V3_ENVIRONMENTS[TASKS[task]]()
    inner._set_task_called = True
    inner._partially_observable = False
    # The space was cached when the goal was hidden, and would clip it to zeros.
    inner.__dict__.pop("sawyer_observation_space", None)
    inner.seeded_rand_vec = True
    inner._freeze_rand_vec = task in FIXED_LAYOUTS
    if task in FIXED_LAYOUTS:
        inner._last_rand_vec = np.array(FIXED_LAYOUTS[task])
    return inner


def first_state(inner: Any) -> np.ndarray:
    """Return the state `(39,)` of an episode that was just reset.

    MetaWorld moves furniture in its model and leaves the simulator's picture of it until the first
    step, so its own first observation may show a drawer where none is.
    """
    mujoco.mj_forward(inner.model, inner.data)
    inner._prev_obs = inner._get_curr_obs_combined_no_goal()
    space = inner.sawyer_observation_space
    state: np.ndarray = np.clip(inner._get_obs(), space.low, space.high)
    return state
