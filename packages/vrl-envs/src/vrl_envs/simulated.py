"""What environments that MuJoCo simulates have in common: how they are seen, drawn and ended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import gymnasium
import numpy as np
from gymnasium import spaces

from vrl_core.observations import MAIN_CAMERA
from vrl_envs.drawing.rendering import FreeCamera, SharedRenderer
from vrl_envs.settings import Observation, Rendering


class Seen(Protocol):
    """The settings of how an environment is seen."""

    @property
    def observation(self) -> Observation:
        """Images, the whole state, or images beside what the robot knows of itself."""

    @property
    def rendering(self) -> Rendering:
        """Quality of the images."""


@dataclass(frozen=True, kw_only=True)
class View:
    """What is drawn of a simulation, and through which camera."""

    scene: str
    """Environments of one scene have the same meshes and share a renderer."""
    camera: int | str | FreeCamera
    """Number or name of one of the model's cameras, or one of no model."""
    group: Hashable = None
    """Tells apart models of a scene that look different."""
    mesh_detail: float = 0.0
    """Metres below which `fast` does not draw a surface; 0 leaves it to the quality."""


class SimulatedEnvironment(gymnasium.Env[Any, Any], ABC):
    """A task with actions in [-1, 1], seen as images, a state vector, or both.

    Images are `(size, size, 3)` uint8, states float32; of several cameras each is a field. A
    subclass loads its simulator and then calls this constructor; `reset` ends in `_begin`, and
    every simulator step counts itself by `_count_step`.
    """

    config: Seen
    inner: Any = None
    """The simulator's own environment, if it has one; closed with this one."""
    largest_seed: ClassVar[int] = 2**31
    """Seeds that nobody gave are drawn below it."""

    def __init__(
        self,
        *,
        size: int,
        actions: int,
        seconds: float,
        horizon: float,
        cameras: Mapping[str, str] | None = None,
    ) -> None:
        """Describe actions and observations, and draw early.

        `size` is the images' in pixels, `actions` the numbers in an action, which lasts `seconds`;
        `horizon` are the simulator steps of an episode and `cameras` the name of each image field's
        camera, the main one first (`camera_fields`). Raises `VRLError` when nothing can draw.
        """
        self.horizon = horizon
        self.render_mode = "rgb_array"
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 1.0 / seconds}
        self._size, self._cameras = size, dict(cameras or {MAIN_CAMERA: ""})
        self._renderers: dict[str, SharedRenderer] = {}
        self._frames: dict[str, np.ndarray] = {}
        self._steps, self._seeded = 0, False
        self.action_space = spaces.Box(-1.0, 1.0, (actions,), np.float32)
        self.observation_space = self._space()
        if self.config.observation != "state":
            self._renderer(MAIN_CAMERA)  # so that a machine that cannot draw is told now

    @abstractmethod
    def state(self) -> np.ndarray:
        """Return the whole state `(state,)`, whatever the observation is."""

    def proprioception(self) -> np.ndarray:
        """Return the state that is shown beside images, `(numbers,)`: all of it unless told."""
        return self.state()

    @abstractmethod
    def _view(self, camera: str) -> View:
        """Return what is drawn through a camera of `cameras`."""

    def _simulation(self) -> tuple[Any, Any]:
        """Return MuJoCo's model and data."""
        return self.inner.model, self.inner.data

    def _draw(self, field: str) -> np.ndarray:
        """Return an image field `(size, size, 3)` of the current state."""
        return self._renderer(field).render(*self._simulation())

    def observe(self) -> Any:
        """Return the observation of the current state."""
        shown = self.config.observation
        if shown == "state":
            return self.state().astype(np.float32)
        images = {field: self._image(field) for field in self._cameras}
        if shown == "both":
            return images | {"state": self.proprioception().astype(np.float32)}
        return images if len(images) > 1 else images[MAIN_CAMERA]

    def render(self) -> np.ndarray:
        """Return the image `(size, size, 3)` uint8 of the main camera: the observation's."""
        return self._image(MAIN_CAMERA)

    def close(self) -> None:
        """Free the renderers and the simulator."""
        for renderer in self._renderers.values():
            renderer.close()
        if self.inner is not None:
            self.inner.close()

    def forget_frames(self) -> None:
        """Draw anew when an image is next asked for: the simulation was changed from outside."""
        self._frames = {}

    def _begin(self) -> Any:
        """Start to count and return the episode's first observation."""
        self._steps = 0
        self.forget_frames()
        return self.observe()

    def _repeats(self, action_repeat: int) -> range:
        """Return the simulator steps of an action: those that the horizon leaves."""
        return range(min(action_repeat, int(self.horizon) - self._steps))

    def _count_step(self) -> None:
        self._steps += 1
        self.forget_frames()

    def _out_of_time(self) -> bool:
        return self._steps >= self.horizon

    def _drawn_seed(self) -> int:
        return int(self.np_random.integers(self.largest_seed))

    def _seed_for(self, seed: int | None) -> int | None:
        """Return the seed to give a simulator that goes on drawing by itself where none is given.

        Only the very first episode needs one then.
        """
        if seed is None and not self._seeded:
            seed = self._drawn_seed()
        self._seeded = True
        return seed

    def _space(self) -> gymnasium.Space[Any]:
        shown = self.config.observation
        if shown == "state":
            return vector_space(self.state())
        images: dict[str, gymnasium.Space[Any]] = {
            field: spaces.Box(0, 255, (self._size, self._size, 3), np.uint8)
            for field in self._cameras
        }
        if shown == "both":
            return spaces.Dict(images | {"state": vector_space(self.proprioception())})
        return spaces.Dict(images) if len(images) > 1 else images[MAIN_CAMERA]

    def _image(self, field: str) -> np.ndarray:
        if field not in self._frames:
            self._frames[field] = self._draw(field)
        return self._frames[field].copy()

    def _renderer(self, field: str) -> SharedRenderer:
        if field not in self._renderers:
            view, (model, _) = self._view(self._cameras[field]), self._simulation()
            camera = model.camera(view.camera).id if isinstance(view.camera, str) else view.camera
            self._renderers[field] = SharedRenderer(
                view.scene,
                model,
                self._size,
                camera,
                self.config.rendering,
                view.group,
                view.mesh_detail,
            )
        return self._renderers[field]


def vector_space(like: np.ndarray) -> spaces.Box:
    """Return the space of float32 vectors of the same size."""
    return spaces.Box(-np.inf, np.inf, like.shape, np.float32)
