"""A dm_control task as a Gymnasium environment."""

from __future__ import annotations

from contextlib import nullcontext
from types import ModuleType
from typing import Any

import numpy as np

from vrl_core.errors import VRLError
from vrl_core.observations import MAIN_CAMERA
from vrl_envs.dmc.config import DMC
from vrl_envs.dmc.distractions import Distraction, fixed_seed
from vrl_envs.dmc.limbs import set_limb
from vrl_envs.dmc.shift import NONE
from vrl_envs.dmc.tasks import TASKS
from vrl_envs.simulated import SimulatedEnvironment, View

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


def load_task(domain: str, task: str) -> Any:
    """Load a task of the suite; those whose model is drawn have the same in every process."""
    if domain == "quadruped":
        quadruped.np = NumPyWithIn1d("numpy")
    return suite.load(domain, task, task_kwargs={"random": 0})


class DMCEnvironment(SimulatedEnvironment):
    """A task with repeated actions in [-1, 1], seen as an image, a state vector, or both.

    Images are `(size, size, 3)` uint8, states float32 in dm_control's order. An episode that
    reaches the suite's time limit is truncated; it terminates where the task's discount is zero.
    Frames are not stacked here. `reset(seed=s)` starts the same episode whatever came before, a
    fresh distraction of it included.
    """

    config: DMC
    largest_seed = LARGEST_SEED

    def __init__(self, config: DMC) -> None:
        """Load the task, with one limb length.

        Raises `VRLError` when the camera does not exist or nothing can draw.
        """
        self.config = config
        domain, task = TASKS[config.task]
        self.inner = load_task(domain, task)
        self._physics = self.inner.physics
        set_limb(self._physics, domain, config.limb)
        self._distraction: Distraction | None = None
        self._fields: dict[str, Any] | None = None
        self._low, self._high = control_bounds(self.inner.action_spec())
        if config.distraction != NONE:
            self._distraction = Distraction(config, self._physics.model.ptr)
            if config.distraction_draw == "fixed":
                self._distraction.draw(fixed_seed(config.distraction))
        limit = self.inner._step_limit
        super().__init__(
            size=config.size,
            actions=self.action_size,
            seconds=self.inner.control_timestep() * config.action_repeat,
            horizon=SUITE_STEPS if np.isinf(limit) else limit,  # only lqr has no limit of its own
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; a seed fixes its first state, and a fresh distraction."""
        super().reset(seed=seed, options=options)
        if self.config.distraction_draw == "fresh":
            self.draw_distraction(self._drawn_seed())
        if seed is not None and seed > LARGEST_SEED:
            raise VRLError(f"The seed {seed} is too large; dm_control takes 0 to 2^32 - 1.")
        drawn = self._seed_for(seed)
        if drawn is not None:
            self.inner.task.random.seed(drawn)
        self._fields = self.inner.reset().observation
        return self._begin(), {}

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
        self._fields = None
        terminated = discount == 0
        truncated = not terminated and (discount is not None or self._out_of_time())
        return self.observe(), reward, terminated, truncated, {}

    def _advance(self, control: np.ndarray) -> tuple[float, float | None]:
        """Take one step of the suite's; return its reward, and at an end its discount.

        As `dm_control.rl.control.Environment.step`, but for the observation: that costs as much as
        simulating, and is wanted after the last repeat only, if at all.
        """
        task, physics = self.inner.task, self._physics
        task.before_step(control, physics)
        physics.step(self.inner._n_sub_steps)
        task.after_step(physics)
        reward = task.get_reward(physics) or 0.0
        self._count_step()
        if self._steps >= self.inner._step_limit:
            return reward, 1.0
        return reward, task.get_termination(physics)

    def render_positions(self, positions: np.ndarray) -> np.ndarray:
        """Return images `(time, size, size, 3)` uint8 of joint positions `(time, position)`.

        The episode that was going on is lost.
        """
        frames = []
        for position in positions:
            self._physics.data.qpos[:] = position
            self._physics.forward()
            self.forget_frames()
            frames.append(self.render())
        return np.stack(frames)

    def draw_distraction(self, seed: int) -> None:
        """Draw a distraction of the difficulty from a seed; nothing happens unless it is fresh."""
        if self._distraction is None or self.config.distraction_draw == "fixed":
            return
        self._distraction.draw(seed)
        self.forget_frames()
        texture = self._distraction.texture
        if texture is not None and MAIN_CAMERA in self._renderers:
            self._renderers[MAIN_CAMERA].upload_texture(self._physics.model.ptr, texture)

    @property
    def background(self) -> str | None:
        """Name of the picture behind the scene, if a distraction put one there."""
        return self._distraction.background if self._distraction else None

    def state(self) -> np.ndarray:
        """Return the state vector, float32, whatever the observation is."""
        if self._fields is None:
            self._fields = self.inner.task.get_observation(self._physics)
        return flat_state(self._fields)

    @property
    def action_size(self) -> int:
        """Numbers in an action."""
        return int(self._low.size)

    def _simulation(self) -> tuple[Any, Any]:
        return self._physics.model.ptr, self._physics.data.ptr

    def _view(self, _camera: str) -> View:
        config, distraction = self.config, self._distraction
        group = distraction.renderer_group if distraction else config.limb
        return View(scene=config.task, camera=config.camera, group=group)

    def _draw(self, field: str) -> np.ndarray:
        data, distraction = self._physics.data.ptr, self._distraction
        with distraction.camera_moved(data) if distraction else nullcontext():
            return super()._draw(field)


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
