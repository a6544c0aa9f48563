"""A dm_control task as a Gymnasium environment."""

from __future__ import annotations

from contextlib import nullcontext
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from vrl_core.errors import VRLError
from vrl_envs.dmc.config import DMC
from vrl_envs.dmc.distractions import Distraction, fixed_seed
from vrl_envs.dmc.limbs import set_limb
from vrl_envs.dmc.shift import NONE
from vrl_envs.dmc.tasks import TASKS
from vrl_envs.drawing.rendering import SharedRenderer

# After rendering, which chooses the way of drawing before MuJoCo is imported.
from dm_control import suite  # isort: skip
from dm_control.suite import quadruped  # isort: skip

SUITE_STEPS = 1000
"""Simulator steps of an episode of a task that names no limit (the suite's own default)."""
UNBOUNDED = 1e6
LARGEST_SEED = 2**32 - 1


class NumPyWithIn1d(ModuleType):
    """NumPy as dm_control 1.0.28's quadruped knows it: version 2.4 has no `in1d` any more."""

    in1d = staticmethod(np.isin)

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


class DMCEnvironment(gymnasium.Env[Any, Any]):
    """A task with repeated actions in [-1, 1], seen as an image, a state vector, or both.

    Images are `(size, size, 3)` uint8, states float32 in dm_control's order. An episode that
    reaches the suite's time limit is truncated; it terminates where the task's discount is zero.
    Frames are not stacked here. `reset(seed=s)` starts the same episode whatever came before, a
    fresh distraction of it included.
    """

    def __init__(self, config: DMC) -> None:
        """Load the task, with one limb length.

        Raises `VRLError` when the camera does not exist or nothing can draw.
        """
        self.config = config
        self.render_mode = "rgb_array"
        domain, task = TASKS[config.task]
        if domain == "quadruped":
            quadruped.np = NumPyWithIn1d("numpy")
        # Some tasks draw their model from this seed: it is the same in every process.
        self._environment = suite.load(domain, task, task_kwargs={"random": 0})
        self._physics = self._environment.physics
        set_limb(self._physics, domain, config.limb)
        self._distraction: Distraction | None = None
        self._renderer: SharedRenderer | None = None
        self._frame: np.ndarray | None = None
        self._fields: dict[str, Any] | None = None
        self._steps, self._seeded = 0, False
        self._low, self._high = control_bounds(self._environment.action_spec())
        self.action_space = spaces.Box(-1.0, 1.0, self._low.shape, np.float32)
        self.observation_space = self._space()
        seconds = self._environment.control_timestep() * config.action_repeat
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 1.0 / seconds}
        if config.distraction != NONE:
            self._distraction = Distraction(config, self._physics.model.ptr)
            if config.distraction_draw == "fixed":
                self._distraction.draw(fixed_seed(config.distraction))
        if config.observation != "state":
            self._drawing()  # so that a machine that cannot draw is told now

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; a seed fixes its first state, and a fresh distraction."""
        super().reset(seed=seed, options=options)
        if self.config.distraction_draw == "fresh":
            self.draw_distraction(int(self.np_random.integers(LARGEST_SEED)))
        if seed is None and not self._seeded:
            seed = int(self.np_random.integers(LARGEST_SEED))
        if seed is not None:
            if seed > LARGEST_SEED:
                raise VRLError(f"The seed {seed} is too large; dm_control takes 0 to 2^32 - 1.")
            self._environment.task.random.seed(seed)
            self._seeded = True
        self._fields = self._environment.reset().observation
        self._steps, self._frame = 0, None
        return self._observe(), {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Apply an action `(action,)` `action_repeat` times and sum the rewards."""
        share = (np.asarray(action, np.float64) + 1) / 2
        control = self._low + (self._high - self._low) * share
        reward = 0.0
        for _ in range(self.config.action_repeat):
            step_reward, discount = self._advance(control)
            reward += step_reward
            if discount is not None:
                break
        self._fields, self._frame = None, None
        terminated = discount == 0
        truncated = not terminated and (discount is not None or self._out_of_time())
        return self._observe(), reward, terminated, truncated, {}

    def _advance(self, control: np.ndarray) -> tuple[float, float | None]:
        """Take one step of the suite's; return its reward, and at an end its discount.

        As `dm_control.rl.control.Environment.step`, but for the observation: that costs as much as
        simulating, and is wanted after the last repeat only, if at all.
        """
        task, physics = self._environment.task, self._physics
        task.before_step(control, physics)
        physics.step(self._environment._n_sub_steps)
        task.after_step(physics)
        reward = task.get_reward(physics) or 0.0
        self._steps += 1
        if self._steps >= self._environment._step_limit:
            return reward, 1.0
        return reward, task.get_termination(physics)

    def render(self) -> np.ndarray:
        """Return the image `(size, size, 3)` uint8 of the current state: the observation's."""
        if self._frame is None:
            model, data = self._physics.model.ptr, self._physics.data.ptr
            seen = self._distraction.camera_moved(data) if self._distraction else nullcontext()
            with seen:
                self._frame = self._drawing().render(model, data)
        return self._frame.copy()

    def render_positions(self, positions: np.ndarray) -> np.ndarray:
        """Return images `(time, size, size, 3)` uint8 of joint positions `(time, position)`.

        The episode that was going on is lost.
        """
        frames = []
        for position in positions:
            self._physics.data.qpos[:] = position
            self._physics.forward()
            self._frame = None
            frames.append(self.render())
        return np.stack(frames)

    def draw_distraction(self, seed: int) -> None:
        """Draw a distraction of the difficulty from a seed; nothing happens unless it is fresh."""
        if self._distraction is None or self.config.distraction_draw == "fixed":
            return
        self._distraction.draw(seed)
        self._frame, texture = None, self._distraction.texture
        if self._renderer is not None and texture is not None:
            self._renderer.upload_texture(self._physics.model.ptr, texture)

    @property
    def background(self) -> str | None:
        """Name of the picture behind the scene, if a distraction put one there."""
        return self._distraction.background if self._distraction else None

    def state(self) -> np.ndarray:
        """Return the state vector, float32, whatever the observation is."""
        if self._fields is None:
            self._fields = self._environment.task.get_observation(self._physics)
        return flat_state(self._fields)

    def close(self) -> None:
        """Free the renderer and the simulator."""
        if self._renderer is not None:
            self._renderer.close()
        self._environment.close()

    @property
    def state_size(self) -> int:
        """Numbers in the state vector."""
        fields = self._environment.observation_spec().values()
        return sum(int(np.prod(field.shape)) for field in fields)

    @property
    def action_size(self) -> int:
        """Numbers in an action."""
        return int(self._low.size)

    def _out_of_time(self) -> bool:
        # Only lqr has no limit of its own.
        return bool(np.isinf(self._environment._step_limit)) and self._steps >= SUITE_STEPS

    def _drawing(self) -> SharedRenderer:
        if self._renderer is None:
            config = self.config
            distraction = self._distraction
            self._renderer = SharedRenderer(
                config.task,
                self._physics.model.ptr,
                config.size,
                config.camera,
                config.rendering,
                group=distraction.renderer_group if distraction else config.limb,
            )
        return self._renderer

    def _space(self) -> gymnasium.Space[Any]:
        size = self.config.size
        image = spaces.Box(0, 255, (size, size, 3), np.uint8)
        state = spaces.Box(-np.inf, np.inf, (self.state_size,), np.float32)
        if self.config.observation == "both":
            return spaces.Dict({"image": image, "state": state})
        return image if self.config.observation == "pixels" else state

    def _observe(self) -> Any:
        if self.config.observation == "pixels":
            return self.render()
        if self.config.observation == "state":
            return self.state()
        return {"image": self.render(), "state": self.state()}


def control_bounds(specification: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the controls `(action,)` that the actions -1 and 1 stand for.

    lqr's controls have no bounds worth the name; there an action is the control itself.
    """
    low, high = (
        np.broadcast_to(bound, specification.shape).astype(np.float64)
        for bound in (specification.minimum, specification.maximum)
    )
    bounded = (low > -UNBOUNDED) & (high < UNBOUNDED)
    return np.where(bounded, low, -1.0), np.where(bounded, high, 1.0)


def flat_state(fields: dict[str, Any]) -> np.ndarray:
    """Concatenate a dm_control observation into one float32 vector, in dm_control's order."""
    return np.concatenate([np.ravel(field) for field in fields.values()]).astype(np.float32)
