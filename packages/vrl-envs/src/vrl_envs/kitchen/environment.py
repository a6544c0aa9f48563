"""Franka Kitchen, a robot arm among kitchen furniture, as a Gymnasium environment."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np

from vrl_envs.control import checked_action
from vrl_envs.drawing.rendering import FreeCamera
from vrl_envs.kitchen.config import Kitchen
from vrl_envs.kitchen.tasks import CENTRAL, OBJECTS
from vrl_envs.settings import camera_fields
from vrl_envs.simulated import SimulatedEnvironment, View

with contextlib.redirect_stderr(io.StringIO()):  # it prints news of other environments
    from gymnasium_robotics.envs.franka_kitchen import kitchen_env

ROBOT_JOINTS = 9
"""Leading numbers of the state: seven joints of the arm in radians, two fingers in metres."""
MESH_DETAIL = 0.015
"""Metres below which `fast` does not draw the arm's surface: a pixel of 64 across the image sees
twice as much of the counter."""
CAMERAS = {
    CENTRAL: FreeCamera(target=(-0.2, 0.5, 2.0), distance=2.2, azimuth=70.0, elevation=-35.0),
    "lexa": FreeCamera(target=(-0.3, 0.5, 2.0), distance=1.86, azimuth=90.0, elevation=-60.0),
}
"""Views that are in no model."""


class KitchenEnvironment(SimulatedEnvironment):
    """A kitchen whose objects are to be brought in place, seen as an image, a vector, or both.

    Images are `(size, size, 3)` uint8; states float32: Gymnasium Robotics' 59 numbers, or beside an
    image the robot's 9 joints. Actions `(9,)` in [-1, 1] are the velocities of the joints and
    fingers, of which 1 is 2 rad/s or m/s. `info` has `success`, whether all objects are in place,
    `in_place`, how many are, and `completed`, how many have been in this episode.
    `reset(seed=s)` starts the same episode whatever came before.
    """

    config: Kitchen

    def __init__(self, config: Kitchen) -> None:
        """Load the kitchen. Raises `VRLError` when nothing can draw."""
        self.config = config
        self.objects = config.object_names()
        self.inner = load_kitchen(config.robot_noise_ratio)
        self._state = np.zeros(self.inner.observation_space["observation"].shape)
        self._completed = set[str]()
        super().__init__(
            size=config.size,
            actions=ROBOT_JOINTS,
            seconds=self.inner.robot_env.dt * config.action_repeat,
            horizon=config.horizon,
            cameras=camera_fields(config.camera),
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; a seed fixes the noise of the robot's sensors."""
        super().reset(seed=seed, options=options)
        drawn = self._drawn_seed() if seed is None else seed
        self._state = self.inner.reset(seed=drawn)[0]["observation"]
        self._completed = set(self.in_place())
        return self._begin(), {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Apply an action `(9,)` `action_repeat` times.

        Raises `VRLError` for an action of another size or with numbers that are not finite.
        """
        control = checked_action(action, ROBOT_JOINTS, "Franka Kitchen")
        reward, there = 0.0, self.in_place()
        for _ in self._repeats(self.config.action_repeat):
            self._state = self.inner.step(control)[0]["observation"]
            self._count_step()
            there = self.in_place()
            new = set(there) - self._completed
            reward += len(there) if self.config.reward == "presence" else len(new)
            self._completed |= new
        done = len(self._completed) == len(self.objects)
        terminated = bool(self.config.end_when_completed) and done
        info = {
            "success": len(there) == len(self.objects),
            "in_place": len(there),
            "completed": len(self._completed),
        }
        truncated = not terminated and self._out_of_time()
        return self.observe(), float(reward), terminated, truncated, info

    def in_place(self) -> tuple[str, ...]:
        """Return the task's objects that are where they should be, by D4RL's threshold."""
        return objects_in_place(self.inner.data.qpos, self.objects)

    def completed(self) -> int:
        """Return how many of the task's objects have been in place in this episode."""
        return len(self._completed)

    def show(self, positions: np.ndarray) -> None:
        """Put robot and kitchen where joint positions `(30,)` say, at rest; the episode is lost."""
        self.inner.robot_env.set_state(positions, np.zeros(self.inner.model.nv))
        self._state = np.concatenate((positions[:ROBOT_JOINTS], self._state[ROBOT_JOINTS:]))
        self.forget_frames()

    def state(self) -> np.ndarray:
        """Return the whole state `(59,)` float64, whatever the observation is."""
        return self._state.copy()

    def proprioception(self) -> np.ndarray:
        """Return the positions of the robot's joints, `(9,)`."""
        return self._state[:ROBOT_JOINTS]

    def _view(self, camera: str) -> View:
        return View(scene="kitchen", camera=CAMERAS[camera], mesh_detail=MESH_DETAIL)


def load_kitchen(robot_noise_ratio: float) -> Any:
    """Create Gymnasium Robotics' own environment; it neither ends nor forgets objects."""
    return kitchen_env.KitchenEnv(
        tasks_to_complete=list(OBJECTS.values()),
        terminate_on_tasks_completed=False,
        remove_task_when_completed=False,
        robot_noise_ratio=robot_noise_ratio,
    )


def objects_in_place(positions: np.ndarray, objects: tuple[str, ...]) -> tuple[str, ...]:
    """Return which of the objects are in place in joint positions `(30,)` of robot and kitchen.

    An object is where it should be when its joints are nearer than 0.3 (in the norm of radians and
    metres) to its goal, as in D4RL.
    """
    return tuple(
        name for name in objects if distance_to_goal(positions, name) < kitchen_env.BONUS_THRESH
    )


def distance_to_goal(positions: np.ndarray, name: str) -> float:
    """Return how far an object's joints are from its goal, as a norm of radians and metres."""
    element = OBJECTS[name]
    goal = kitchen_env.OBS_ELEMENT_GOALS[element]
    return float(np.linalg.norm(positions[kitchen_env.OBS_ELEMENT_INDICES[element]] - goal))
