"""Franka Kitchen, a robot arm among kitchen furniture, as a Gymnasium environment."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from vrl_envs.control import checked_action
from vrl_envs.drawing.rendering import FreeCamera, SharedRenderer
from vrl_envs.kitchen.config import Kitchen
from vrl_envs.kitchen.tasks import CENTRAL, OBJECTS

with contextlib.redirect_stderr(io.StringIO()):  # it prints news of other environments
    from gymnasium_robotics.envs.franka_kitchen import kitchen_env

LARGEST_SEED = 2**31
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


class KitchenEnvironment(gymnasium.Env[Any, Any]):
    """A kitchen whose objects are to be brought in place, seen as an image, a vector, or both.

    Images are `(size, size, 3)` uint8; states float32: Gymnasium Robotics' 59 numbers, or beside an
    image the robot's 9 joints. Actions `(9,)` in [-1, 1] are the velocities of the joints and
    fingers, of which 1 is 2 rad/s or m/s. `info` has `success`, whether all objects are in place,
    `in_place`, how many are, and `completed`, how many have been in this episode.
    `reset(seed=s)` starts the same episode whatever came before.
    """

    def __init__(self, config: Kitchen) -> None:
        """Load the kitchen. Raises `VRLError` when nothing can draw."""
        self.config = config
        self.objects = config.object_names()
        self.render_mode = "rgb_array"
        self.inner = load_kitchen(config.robot_noise_ratio)
        self._renderer: SharedRenderer | None = None
        self._frame: np.ndarray | None = None
        self._state = np.zeros(self.inner.observation_space["observation"].shape)
        self._steps, self._completed = 0, set[str]()
        self.action_space = spaces.Box(-1.0, 1.0, (ROBOT_JOINTS,), np.float32)
        self.observation_space = self._space()
        seconds = self.inner.robot_env.dt * config.action_repeat
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 1.0 / seconds}
        if config.observation != "state":
            self._drawing()  # so that a machine that cannot draw is told now

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; a seed fixes the noise of the robot's sensors."""
        super().reset(seed=seed, options=options)
        if seed is None:
            seed = int(self.np_random.integers(LARGEST_SEED))
        self._state = self.inner.reset(seed=seed)[0]["observation"]
        self._steps, self._frame = 0, None
        self._completed = set(self.in_place())
        return self.observe(), {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Apply an action `(9,)` `action_repeat` times.

        Raises `VRLError` for an action of another size or with numbers that are not finite.
        """
        control = checked_action(action, ROBOT_JOINTS, "Franka Kitchen")
        reward, there = 0.0, self.in_place()
        for _ in range(min(self.config.action_repeat, self.config.horizon - self._steps)):
            self._state = self.inner.step(control)[0]["observation"]
            self._steps += 1
            there = self.in_place()
            new = set(there) - self._completed
            reward += len(there) if self.config.reward == "presence" else len(new)
            self._completed |= new
        self._frame = None
        done = len(self._completed) == len(self.objects)
        terminated = bool(self.config.end_when_completed) and done
        info = {
            "success": len(there) == len(self.objects),
            "in_place": len(there),
            "completed": len(self._completed),
        }
        truncated = not terminated and self._steps >= self.config.horizon
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
        self._frame = None

    def render(self) -> np.ndarray:
        """Return the image `(size, size, 3)` uint8 of the current state: the observation's."""
        if self._frame is None:
            self._frame = self._drawing().render(self.inner.model, self.inner.data)
        return self._frame.copy()

    def state(self) -> np.ndarray:
        """Return the whole state `(59,)` float64, whatever the observation is."""
        return self._state.copy()

    def close(self) -> None:
        """Free the renderer and the simulator."""
        if self._renderer is not None:
            self._renderer.close()
        self.inner.close()

    def _drawing(self) -> SharedRenderer:
        if self._renderer is None:
            config = self.config
            self._renderer = SharedRenderer(
                "kitchen",
                self.inner.model,
                config.size,
                CAMERAS[config.camera],
                config.rendering,
                mesh_detail=MESH_DETAIL,
            )
        return self._renderer

    def _space(self) -> gymnasium.Space[Any]:
        size = self.config.size
        image = spaces.Box(0, 255, (size, size, 3), np.uint8)
        if self.config.observation == "pixels":
            return image
        if self.config.observation == "state":
            return spaces.Box(-np.inf, np.inf, self._state.shape, np.float32)
        joints = spaces.Box(-np.inf, np.inf, (ROBOT_JOINTS,), np.float32)
        return spaces.Dict({"image": image, "state": joints})

    def observe(self) -> Any:
        """Return the observation of the current state."""
        if self.config.observation == "pixels":
            return self.render()
        state = self._state.astype(np.float32)
        if self.config.observation == "state":
            return state
        return {"image": self.render(), "state": state[:ROBOT_JOINTS]}


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
