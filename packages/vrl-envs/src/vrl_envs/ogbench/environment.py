"""An OGBench task as a Gymnasium environment.

OGBench draws some of an episode from NumPy's global generator and from spaces that nobody seeds.
Here both are fixed by the seed of the reset, and nothing global is left changed.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from vrl_envs.control import checked_action
from vrl_envs.drawing.graphics import require_backend
from vrl_envs.drawing.rendering import FreeCamera
from vrl_envs.ogbench.config import OGBench
from vrl_envs.ogbench.tasks import has_arm, identifier
from vrl_envs.simulated import SimulatedEnvironment, View

# After rendering, which chooses the way of drawing before MuJoCo is imported.
import ogbench  # noqa: F401 isort: skip - registers its environments

PROPRIOCEPTION = {"arm": slice(0, 19), "maze": slice(2, None)}
"""Numbers of the state that are the robot's own: of the arm its joints, hand and gripper; in a maze
all but the place."""
_NO_IMAGE = np.zeros((1, 1, 3), np.uint8)


class OGBenchEnvironment(SimulatedEnvironment):
    """A task with actions in [-1, 1], seen as an image, a state vector, or both.

    Images are `(size, size, 3)` uint8; states are float32: OGBench's observation vector, or beside
    an image the robot's own part of it. As in OGBench's single-task variants, reward, success and
    termination of a step are those of the state in which its action is taken: the reward is minus
    the number of objects (or -1 in mazes) that are not where they should be, 0 when solved, and the
    step taken in a solved state ends the episode. Others are truncated after `horizon` steps.
    `reset(seed=s)` starts the same episode whatever came before.
    """

    config: OGBench

    def __init__(self, config: OGBench, *, collecting: bool = False) -> None:
        """Load the task; of `collecting`, OGBench's mode for its data, which has no task.

        Raises `VRLError` when nothing can draw.
        """
        if config.observation != "state":
            require_backend()  # before OGBench finds out in its own words
        self.config = config
        self.inner = load_task(config, collecting=collecting)
        self.told: dict[str, Any] = {}
        """OGBench's own information on the last reset or step."""
        self._family = "arm" if has_arm(config.task) else "maze"
        self._chance = np.random.RandomState(0)
        with drawn_from(self._chance):
            self.inner.reset(seed=0)  # which makes the arm's model
        super().__init__(
            size=config.size,
            actions=int(self.inner.action_space.shape[0]),
            seconds=seconds(self.inner),
            horizon=config.steps(),
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; a seed fixes it."""
        super().reset(seed=seed, options=options)
        drawn = self._drawn_seed() if seed is None else seed
        self._chance.seed(drawn)
        self.inner.action_space.seed(drawn)
        with drawn_from(self._chance):
            _, self.told = self.inner.reset(seed=drawn)
        return self._begin(), {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Apply an action `(action,)`: of the arm the hand's motion (3), its turn, the gripper.

        Raises `VRLError` for an action of another size or with numbers that are not finite.
        """
        size = int(self.inner.action_space.shape[0])
        control = checked_action(action, size, self.config.task).astype(np.float32)
        with drawn_from(self._chance):
            _, reward, terminated, _, self.told = self.inner.step(control)
        self._count_step()
        truncated = not terminated and self._out_of_time()
        info = {"success": bool(self.told["success"])}
        return self.observe(), float(reward), bool(terminated), truncated, info

    def state(self) -> np.ndarray:
        """Return OGBench's state vector, whatever the observation is."""
        if self._family == "maze":
            vector = self.inner.get_ob(ob_type="states")
        else:
            seen_as, self.inner._ob_type = self.inner._ob_type, "states"
            vector = self.inner.compute_observation()
            self.inner._ob_type = seen_as
        return np.asarray(vector, np.float32)

    def proprioception(self) -> np.ndarray:
        """Return the robot's own part of the state."""
        return self.state()[PROPRIOCEPTION[self._family]]

    def _view(self, _camera: str) -> View:
        images = self.config.observation != "state"
        # Tasks of an environment differ in what their states are, and share a model.
        scene = identifier(self.config.task, images=images, single_task=False)
        return View(scene=scene, camera=camera_of(self.inner, self._family, images=images))


def camera_of(inner: Any, family: str, *, images: bool) -> int | FreeCamera:
    """Return OGBench's own camera: for observations, or for people where there are states alone."""
    if family == "arm":
        return int(inner.model.camera("front_pixels" if images else "front").id)
    if images:
        return int(inner.model.camera("back").id)
    rows, columns = inner.maze_map.shape
    middle = (2.0 * (columns - 3), 2.0 * (rows - 3), 0.0)
    return FreeCamera(target=middle, distance=5.0 * (columns - 2), azimuth=90, elevation=-90)


def load_task(config: OGBench, *, collecting: bool) -> Any:
    """Create OGBench's own environment, whose images nobody draws but us."""
    images = config.observation != "state"
    spec = gymnasium.spec(identifier(config.task, images=images, single_task=not collecting))
    settings = {**spec.kwargs, "width": config.size, "height": config.size}
    if collecting:
        settings |= {"mode": "data_collection", "terminate_at_goal": False}
    module, _, name = str(spec.entry_point).partition(":")
    create: Any = getattr(importlib.import_module(module), name)
    if has_arm(config.task):
        return load_arm(create, settings)
    return load_maze(create, settings) if images else create(**settings)


def load_maze(create: Any, settings: dict[str, Any]) -> Any:
    """Create a maze seen as images, without the renderer that OGBench makes with it."""
    home: Any = importlib.import_module(create.__module__)
    real = home.mujoco
    home.mujoco = SimpleNamespace(Renderer=_NoRenderer, MjvCamera=real.MjvCamera)
    try:
        inner = create(**settings)
    finally:
        home.mujoco = real
    inner.render = lambda: _NO_IMAGE
    return inner


class _NoRenderer:
    """In place of `mujoco.Renderer`: draws nothing."""

    def __init__(self, *_model: Any, **_size: Any) -> None: ...
    def update_scene(self, *_data: Any, **_camera: Any) -> None: ...
    def render(self) -> np.ndarray:
        return _NO_IMAGE


def load_arm(create: type, settings: dict[str, Any]) -> Any:
    """Create an environment of the arm, with one space of actions, which can be seeded.

    OGBench's makes a new one, seeded by the machine, at each use, and resets draw from it.
    """
    actions = spaces.Box(-1.0, 1.0, (5,), np.float32)
    inner: Any = type(create.__name__, (create,), {"action_space": actions})(**settings)
    inner.get_pixel_observation = lambda: _NO_IMAGE
    return inner


def seconds(inner: Any) -> float:
    """Return how long a step lasts."""
    step = inner.control_timestep() if hasattr(inner, "control_timestep") else inner.dt
    return float(step)


@contextmanager
def drawn_from(chance: np.random.RandomState) -> Iterator[None]:
    """Let code that draws from NumPy's global generator draw from this one instead."""
    before = np.random.get_state()
    np.random.set_state(chance.get_state())
    try:
        yield
    finally:
        chance.set_state(np.random.get_state())
        np.random.set_state(before)
