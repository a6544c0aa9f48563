"""Gymnasium's MuJoCo tasks on states, MOPO's two among them, and their simulator."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from vrl_core.errors import VRLError
from vrl_envs.control import checked_action
from vrl_envs.drawing.rendering import SharedRenderer
from vrl_envs.gym_mujoco.config import STANDARD_TASKS, GymMuJoCo, body_of
from vrl_envs.gym_mujoco.relabelling import task_rewards

# After rendering, which chooses the way of drawing before MuJoCo is imported.
import mujoco  # isort: skip

EPISODE_STEPS = 1000
VELOCITY_CLIP = 10.0
"""Gymnasium's bound of the velocities that are observed of these bodies."""
CLIPPED_BODIES = ("hopper", "walker2d")
HIDDEN_POSITIONS = {"halfcheetah": 1, "hopper": 1, "walker2d": 1, "ant": 2}
"""Leading joint positions that no observation has: where the body is in the world."""
CLASSES = {
    "halfcheetah": ("half_cheetah", "HalfCheetahEnv"),
    "hopper": ("hopper", "HopperEnv"),
    "walker2d": ("walker2d", "Walker2dEnv"),
    "ant": ("ant", "AntEnv"),
}
FRAME_SIZE = 256
DIVERGENCE = (mujoco.mjtWarning.mjWARN_BADQPOS, mujoco.mjtWarning.mjWARN_BADQVEL,
              mujoco.mjtWarning.mjWARN_BADQACC)  # fmt: skip


class GymMuJoCoEnvironment(gymnasium.Env[np.ndarray, np.ndarray]):
    """A task whose observations are states `(state,)` float32; actions in [-1, 1].

    Episodes terminate where Gymnasium's do, and are truncated after 1000 steps. `info` has
    `velocity` `(2,)`: in x and y (0 for planar bodies), metres a second over the step.
    """

    def __init__(self, config: GymMuJoCo) -> None:
        self.config = config
        self.body = body_of(config.task)
        self._hidden = HIDDEN_POSITIONS[self.body]
        self.inner = load_task(self.body, config)
        shape = self.inner.observation_space.shape
        self.observation_space = spaces.Box(-np.inf, np.inf, shape, np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, self.inner.action_space.shape, np.float32)
        self.render_mode = "rgb_array"
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 1.0 / self.inner.dt}
        self._renderer: SharedRenderer | None = None
        self._steps = 0
        self._warned_of_clip = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode; a seed fixes its first state."""
        super().reset(seed=seed)
        observation, _ = self.inner.reset(seed=seed, options=options)
        self._steps = 0
        return observation.astype(np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Apply an action `(action,)`.

        Raises `VRLError` for one of another size or not finite, or when the simulation diverges.
        """
        observation, reward, terminated, velocity, _ = self._advance(action)
        self._steps += 1
        truncated = not terminated and self._steps >= EPISODE_STEPS
        return observation, reward, terminated, truncated, {"velocity": velocity}

    def simulate(
        self, observations: np.ndarray, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what a step leads to from each state.

        `observations` `(batch, state)` and `actions` `(batch, action)` give the next observations
        `(batch, state)` and the rewards `(batch,)`, float32. The body stands at the origin, whose
        place no observation has, and with the velocities as observed, which hopper and walker clip
        at 10: from a faster state the simulation goes on slower than the episode did, of which the
        first such call warns. The episode that was going on is lost. Raises `VRLError` for
        states of another size, non-finite numbers, or a simulation that diverges.
        """
        observations, actions = self._checked(observations, actions)
        self._warn_of_clip(observations)
        following, rewards = np.empty_like(observations, np.float32), np.empty(len(actions))
        for row, (observation, action) in enumerate(zip(observations, actions, strict=True)):
            self.set_observation(observation)
            following[row], reward, _, velocity, info = self._advance(action)
            # A body's place in the world is a substep old in Gymnasium's ant, except in the very
            # first step from a state, which would measure four substeps' way as five's.
            lag = velocity[0] - info["x_velocity"] if self.config.task == "ant" else 0.0
            rewards[row] = reward + lag
        return following, rewards.astype(np.float32)

    def _warn_of_clip(self, observations: np.ndarray) -> None:
        if self.body not in CLIPPED_BODIES or self._warned_of_clip:
            return
        velocities = observations[:, self.inner.model.nq - self._hidden :]
        clipped = int((np.abs(velocities) >= VELOCITY_CLIP).any(1).sum())
        if clipped:
            self._warned_of_clip = True
            warnings.warn(
                f"{clipped} of {len(observations)} states of {self.config.task} have a velocity at "
                f"Gymnasium's clip of {VELOCITY_CLIP:g}. No observation has the true one, so the "
                "simulator's answers for them, and errors measured by it, are of a slower body."
            )

    def set_observation(self, observation: np.ndarray) -> None:
        """Continue from the state that an observation `(state,)` shows, at the origin.

        Its velocities are the state's own only within Gymnasium's clip (hopper, walker: 10).
        """
        positions = self.inner.model.nq - self._hidden
        qpos = np.concatenate((np.zeros(self._hidden), observation[:positions]))
        qvel = observation[positions : positions + self.inner.model.nv]
        self.inner.data.qacc_warmstart[:] = 0  # no trace of what was simulated before
        self.inner.set_state(qpos, np.asarray(qvel, np.float64))

    def render(self) -> np.ndarray:
        """Return an image `(256, 256, 3)` uint8 of the current state, from the task's camera."""
        if self._renderer is None:
            self._renderer = SharedRenderer(
                self.config.task, self.inner.model, FRAME_SIZE, 0, "reference"
            )
        frame: np.ndarray = self._renderer.render(self.inner.model, self.inner.data)
        return frame

    def close(self) -> None:
        """Free the renderer and the simulator."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
        self.inner.close()

    def _advance(
        self, action: np.ndarray
    ) -> tuple[np.ndarray, float, bool, np.ndarray, dict[str, Any]]:
        control = checked_action(action, self.inner.model.nu, self.config.task)
        before = self.inner.data.qpos[:2].copy()
        known = self._divergences()
        inner, reward, terminated, _, info = self.inner.step(control)
        observation = inner.astype(np.float32)
        if self._divergences() != known or not np.isfinite(observation).all():
            raise VRLError(
                f"The simulation of {self.config.task} diverged under the action "
                f"{control.tolist()}. Actions lie in [-1, 1] and states must be near "
                "ones that the body can have: reset it, or simulate from a state of the data."
            )
        velocity = (self.inner.data.qpos[:2] - before) / self.inner.dt
        if self.body != "ant":
            velocity[1] = 0.0  # the second position of planar bodies is their height
        if self.config.task not in STANDARD_TASKS:
            reward = task_rewards(self.config, velocity, control, inner)
        return observation, float(reward), bool(terminated), velocity, info

    def _divergences(self) -> int:
        # MuJoCo resets a simulation that diverges, and only counts that it did.
        return sum(int(self.inner.data.warning[number].number) for number in DIVERGENCE)

    def _checked(
        self, observations: np.ndarray, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        states, controls = np.asarray(observations, np.float64), np.asarray(actions, np.float64)
        wanted = (self.observation_space.shape, self.action_space.shape)
        if (states.shape[1:], controls.shape[1:]) != wanted or len(states) != len(controls):
            raise VRLError(
                f"States {states.shape} and actions {controls.shape} are not a batch of "
                f"{self.config.task}'s, which have {wanted[0]} and {wanted[1]} numbers a row."
            )
        for name, values in (("state", states), ("action", controls)):
            wrong = np.flatnonzero(~np.isfinite(values).all(1))
            if len(wrong):
                raise VRLError(f"The {name} of row {wrong[0]} is not finite; nothing to simulate.")
        return states, controls


def load_task(body: str, config: GymMuJoCo) -> Any:
    """Create Gymnasium's own environment, without wrappers."""
    stem, name = CLASSES[body]
    module = importlib.import_module(f"gymnasium.envs.mujoco.{stem}_{config.version}")
    settings = {}
    if body == "ant" and config.version == "v4":
        settings = {"use_contact_forces": config.contact_forces}
    elif body == "ant":
        settings = {"include_cfrc_ext_in_observation": config.contact_forces}
        if not config.contact_forces:
            settings["contact_cost_weight"] = 0.0  # type: ignore[assignment]
    return getattr(module, name)(**settings)
