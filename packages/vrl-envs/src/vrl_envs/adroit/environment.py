"""A task of the Adroit hand as a Gymnasium environment."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from vrl_envs.adroit.config import Adroit
from vrl_envs.adroit.tasks import PEN, find_task
from vrl_envs.control import checked_action
from vrl_envs.settings import camera_fields
from vrl_envs.simulated import SimulatedEnvironment, View

# After rendering, which chooses the way of drawing before MuJoCo is imported.
import mujoco  # isort: skip

PEN_HEIGHT = 26
"""Where a pen's observation has the pen's height above the table."""
FALLEN_BELOW = 0.075
"""Height in metres below which D4RL takes the pen for fallen."""
REACH_WEIGHT = 0.1
"""Weight of the distance from palm to object in the rewards of door, hammer and ball."""
BALL_JOINTS = slice(30, 33)
"""How far, in `qpos`, the ball of `adroit_relocate` is from where it began, in metres."""
NOTICE = "for v1 reproducibility"
"""What the library's notice of its changed rewards says."""
_BODIES = {
    "desired_orien": ("target", "body_quat"),
    "door_body_pos": ("frame", "body_pos"),
    "board_pos": ("nail_board", "body_pos"),
}
MESH_DETAIL = 0.008
"""Metres below which `fast` does not draw the hand's surface: half a pixel of 128."""


class AdroitEnvironment(SimulatedEnvironment):
    """A task with actions in [-1, 1], seen as an image, a state vector, or both.

    Images are `(size, size, 3)` uint8; states are float32: the library's whole observation, or
    beside an image its leading numbers, the angles of the hand's and the arm's joints. `info` has
    `goal`, whether the goal is there now, and `success`, whether it has been for more steps of the
    episode than DAPG and D4RL ask for. Episodes are truncated after `horizon` steps and terminate
    only where a falling pen is to end them. `reset(seed=s)` starts the same episode whatever came
    before.
    """

    config: Adroit

    def __init__(self, config: Adroit) -> None:
        """Load the task. Raises `VRLError` when nothing can draw."""
        self.config = config
        self.task = find_task(config.task)
        self.inner = load_task(config)
        self._original = {
            name: getattr(self.inner.model, name).copy()
            for name in ("body_pos", "body_quat", "site_pos")
        }
        self._state = np.zeros(self.task.observation_size)
        self._goal_steps = 0
        super().__init__(
            size=config.size,
            actions=self.task.action_size,
            seconds=self.inner.dt * config.action_repeat,
            horizon=config.horizon,
            cameras=camera_fields(config.camera),
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; a seed fixes its first state."""
        super().reset(seed=seed, options=options)
        self._restore()
        self._state, _ = self.inner.reset(seed=seed)
        return self._begin(), {}

    def place(self, qpos: np.ndarray, qvel: np.ndarray, layout: Mapping[str, np.ndarray]) -> Any:
        """Begin at a recorded state and return its observation.

        `qpos` and `qvel` are `(joints,)`; `layout` is what D4RL records of the scene beside them,
        such as the door's `door_body_pos` in metres.
        """
        self._restore()
        self.inner.reset(seed=0)  # so that nothing is left of what was simulated before
        model, data = self.inner.model, self.inner.data
        for name, value in layout.items():
            if name in _BODIES:
                body, field = _BODIES[name]
                getattr(model, field)[model.body(body).id] = value
            elif name == "target_pos":
                model.site_pos[model.site("target").id] = value
            else:
                # D4RL records where the ball is; its joints count from where it began.
                model.body_pos[model.body("Object").id] = value - qpos[BALL_JOINTS]
        data.qpos[:], data.qvel[:] = qpos, qvel
        mujoco.mj_forward(model, data)
        self._state = self.inner._get_obs()
        return self._begin()

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Apply an action `(action,)`, a target for every joint, `action_repeat` times.

        Raises `VRLError` for an action of another size or with numbers that are not finite.
        """
        action = checked_action(action, self.task.action_size, self.config.task)
        reward, goal, terminated = 0.0, False, False
        for _ in self._repeats(self.config.action_repeat):
            step_reward, goal, terminated = self.advance(action)
            reward += step_reward
            if terminated:
                break
        truncated = not terminated and self._out_of_time()
        told = {"goal": goal, "success": self._goal_steps > self.task.success_steps}
        return self.observe(), reward, terminated, truncated, told

    def advance(self, action: np.ndarray) -> tuple[float, bool, bool]:
        """Simulate one step, whatever the horizon, and draw nothing.

        Return the reward, whether the goal is there, and whether the episode is over.
        """
        self._state, reward, _, _, info = self.inner.step(np.asarray(action, np.float64))
        self._count_step()
        goal = bool(info["success"])
        self._goal_steps += goal
        fell = self.config.terminate_when_dropped and self._state[PEN_HEIGHT] < FALLEN_BELOW
        return float(reward) - self._reach_bonus(), goal, bool(fell)

    def state(self) -> np.ndarray:
        """Return the library's whole observation `(state,)` float64, whatever is shown of it."""
        return self._state.copy()

    def proprioception(self) -> np.ndarray:
        """Return the angles of the hand's and the arm's joints `(joints,)`, radians."""
        return self._state[: self.task.proprioception]

    def simulator_state(self) -> dict[str, np.ndarray]:
        """Return `qpos`, `qvel` and the scene's layout by D4RL's names: what `place` takes."""
        found = self.inner.get_env_state()
        return {name: found[name] for name in ("qpos", "qvel", *self.task.layout)}

    def _restore(self) -> None:
        # A reset draws some of a layout's numbers; those it does not draw are the model's own.
        for name, values in self._original.items():
            getattr(self.inner.model, name)[:] = values

    def _begin(self) -> Any:
        self._goal_steps = 0
        return super()._begin()

    def _reach_bonus(self) -> float:
        """Return how much more the library pays than DAPG and D4RL do, if theirs is asked for.

        It adds a weighted distance from palm to object where they subtract it.
        """
        if self.config.reward != "d4rl" or self.config.task == PEN:
            return 0.0
        return 2 * REACH_WEIGHT * palm_distance(self.config.task, self._state)

    def _view(self, camera: str) -> View:
        return View(scene=self.config.task, camera=camera, mesh_detail=MESH_DETAIL)


def load_task(config: Adroit) -> Any:
    """Create Gymnasium Robotics' own environment, without its time limit."""
    name, _, kind = find_task(config.task).module.partition(":")
    heard = io.StringIO()
    try:
        with contextlib.redirect_stderr(heard):
            module = importlib.import_module(f"gymnasium_robotics.envs.adroit_hand.{name}")
    finally:
        # The library asks every process to install an older release for DAPG's rewards, which
        # `reward="d4rl"` gives.
        told = (line for line in heard.getvalue().splitlines(True) if NOTICE not in line)
        sys.stderr.writelines(told)
    return getattr(module, kind)(reward_type="sparse" if config.reward == "sparse" else "dense")


def palm_distance(task: str, observation: np.ndarray) -> float:
    """Return the palm's distance in metres from the door's handle, the hammer or the ball."""
    if task == "adroit_hammer":
        return float(np.linalg.norm(observation[33:36] - observation[36:39]))
    between = observation[35:38] if task == "adroit_door" else observation[30:33]
    return float(np.linalg.norm(between))
