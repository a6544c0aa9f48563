"""Collection written the obvious way: the library's environment, `mujoco.Renderer`, a list.

What is drawn is as cheap as VRL's quality `fast` where a user would think of it: no multisampling,
shadows or reflections.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("MUJOCO_GL", "egl")

import gymnasium
import mujoco
import numpy as np

from vrl_core.hooks import EnvironmentConfig

Step = Callable[[np.ndarray], np.ndarray]
"""From an action to what is kept: a frame or a state."""


class PlainRenderer:
    """`mujoco.Renderer` with the costly flags switched off."""

    def __init__(self, model: Any, size: int, camera: Any) -> None:
        model.vis.quality.offsamples = 0
        self.renderer, self.camera = mujoco.Renderer(model, size, size), camera
        atexit.register(self.renderer.close)  # before OpenGL goes
        flags = self.renderer.scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0

    def frame(self, data: Any) -> np.ndarray:
        """Return the image of a state."""
        self.renderer.update_scene(data, camera=self.camera)
        image: np.ndarray = self.renderer.render()
        return image


def plain_dmc(config: Any) -> Step:
    """Return a step of dm_control's suite."""
    from dm_control import suite

    from vrl_envs.dmc.tasks import TASKS

    environment = suite.load(*TASKS[config.task], task_kwargs={"random": 0})
    physics = environment.physics
    renderer = PlainRenderer(physics.model.ptr, config.size, config.camera)
    environment.reset()

    def step(action: np.ndarray) -> np.ndarray:
        for _ in range(config.action_repeat):
            if environment.step(action).last():
                environment.reset()
        return renderer.frame(physics.data.ptr)

    return step


def plain_metaworld(config: Any) -> Step:
    """Return a step of MetaWorld's environment."""
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS

    from vrl_envs.metaworld.tasks import CAMERAS, TASKS

    environment = ALL_V3_ENVIRONMENTS[TASKS[config.task]]()
    environment._set_task_called, environment._freeze_rand_vec = True, False
    camera = config.camera if config.camera in CAMERAS[:-1] else sawyer_view()
    renderer = PlainRenderer(environment.model, config.size, camera)
    environment.reset()

    def step(action: np.ndarray) -> np.ndarray:
        for _ in range(config.action_repeat):
            if environment.curr_path_length >= config.horizon:
                environment.reset()
            environment.step(action)
        return renderer.frame(environment.data)

    return step


def sawyer_view() -> Any:
    """Return LOMPO's view of the door."""
    view = mujoco.MjvCamera()
    view.azimuth, view.elevation, view.distance = 115, -12.5, 1.05
    view.lookat[:] = 0.075, 0.75, 0.15
    return view


def plain_gym(config: Any) -> Step | None:
    """Return a step of Gymnasium's own task; MOPO's have none."""
    names = {"halfcheetah": "HalfCheetah", "hopper": "Hopper", "walker2d": "Walker2d"}
    names["ant"] = "Ant"
    if config.task not in names:
        return None
    environment = gymnasium.make(f"{names[config.task]}-{config.version}")
    environment.reset(seed=0)

    def step(action: np.ndarray) -> np.ndarray:
        state, _, terminated, truncated, _ = environment.step(action)
        if terminated or truncated:
            environment.reset()
        return np.asarray(state, np.float32)

    return step


def plain_other(config: EnvironmentConfig) -> Step | None:
    """Return a step of an environment on states, drawn by `mujoco.Renderer`; None without one."""
    from dataclasses import replace

    environment = replace(config, observation="state").build()  # type: ignore[call-arg]
    environment.reset(seed=0)
    model, data = (find(environment, kind) for kind in (mujoco.MjModel, mujoco.MjData))
    if model is None or data is None:
        return None
    camera = getattr(config, "camera", -1)
    known = isinstance(camera, int) or mujoco.mj_name2id(model, 7, str(camera)) >= 0
    renderer = PlainRenderer(model, getattr(config, "size", 64) or 64, camera if known else -1)

    def step(action: np.ndarray) -> np.ndarray:
        _, _, terminated, truncated, _ = environment.step(action)
        if terminated or truncated:
            environment.reset()
        return renderer.frame(data)

    return step


def find(thing: Any, kind: type, depth: int = 4) -> Any:
    """Return what of a kind an object holds, or what it holds does; None if nothing."""
    if isinstance(thing, kind):
        return thing
    if depth == 0 or not hasattr(thing, "__dict__"):
        return None
    found = (find(part, kind, depth - 1) for part in vars(thing).values())
    return next((part for part in found if part is not None), None)


PLAIN: dict[str, Callable[[Any], Step | None]] = {
    "dmc": plain_dmc,
    "metaworld": plain_metaworld,
    "gym-mujoco": plain_gym,
}
"""Plain loops by environment; of others, `plain_other`."""


def plain_step(environment: str, config: EnvironmentConfig) -> Step | None:
    """Return the plain loop's step of a setting, or None where there is none to compare with."""
    return PLAIN.get(environment, plain_other)(config)
