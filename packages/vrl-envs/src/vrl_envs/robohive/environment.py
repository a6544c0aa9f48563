"""A task of RoboHive as a Gymnasium environment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from vrl_core.errors import VRLError, unknown_name
from vrl_envs.robohive.config import RoboHive
from vrl_envs.robohive.package import incomplete, load_robohive, require_model, silenced
from vrl_envs.robohive.tasks import FREE_CAMERA, hides_state
from vrl_envs.settings import camera_fields, check_cameras
from vrl_envs.simulated import SimulatedEnvironment, View

# After rendering, which chooses the way of drawing before MuJoCo is imported.
import mujoco  # isort: skip

SOLVED_STEPS = 5
"""RoboHive counts an episode as a success when more steps than these found the task solved."""
MOVED = ("pos", "quat", "size", "rgba")
"""What tasks change in their model while they run, of its bodies, geometries and sites."""


class RoboHiveEnvironment(SimulatedEnvironment):
    """A task with actions `(action,)` in [-1, 1], seen as images, a state vector, or both.

    Images are `(size, size, 3)` uint8, states float32. `info` has `solved`, what RoboHive says of
    the step, and `success`, what it says of the episode so far: more than 5 steps were solved.
    Episodes terminate where RoboHive's do (a pen falls, ...) and are truncated after `horizon`
    steps. `reset(seed=s)` starts the same episode whatever came before.
    """

    config: RoboHive

    def __init__(self, config: RoboHive) -> None:
        """Load the task.

        Raises `VRLError` when RoboHive or its models are missing, nothing can draw, or the task
        has no such camera or object.
        """
        self.config = config
        self.inner = load_task(config)
        self.model, self.data = self.inner.sim.model.ptr, self.inner.sim.data.ptr
        self._first_model = changeable_parts(self.model)
        self._solved = 0
        self._joints = robot_positions(self.model)
        self._state = np.asarray(self.inner.get_obs(), np.float64)
        super().__init__(
            size=config.size,
            actions=int(self.inner.action_space.shape[0]),
            seconds=self.inner.dt,
            horizon=horizon_of(config),
            cameras=chosen_cameras(config, self.model),
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; a seed fixes its first state."""
        super().reset(seed=seed, options=options)
        drawn = self._seed_for(seed)
        if drawn is not None:
            self.inner.seed(drawn)
        for name, values in self._first_model.items():
            getattr(self.model, name)[:] = values
        with silenced():
            found = self.inner.reset()
        # Some of RoboHive's tasks return what Gymnasium asks for, some the bare vector.
        self._state = np.asarray(found[0] if isinstance(found, tuple) else found, np.float64)
        self._solved = 0
        return self._begin(), {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Apply an action. Raises `VRLError` when the simulation diverges."""
        before = self.data.time
        control = np.asarray(action, np.float64)
        found, _, terminated, _, told = self.inner.step(control)
        if not self.data.time > before or not np.isfinite(found).all():
            # RoboHive starts a simulation anew that diverges, and goes on as if nothing had been.
            raise VRLError(
                f"The simulation of {self.config.task} diverged in step {self._steps} under the "
                f"action {control.tolist()}; actions are finite numbers in [-1, 1]."
            )
        self._state = np.asarray(found, np.float64)
        self._count_step()
        solved = bool(np.all(told["solved"]))
        self._solved += solved
        info = {"success": self._solved > SOLVED_STEPS, "solved": solved}
        truncated = not terminated and self._out_of_time()
        return self.observe(), self._reward(told), bool(terminated), truncated, info

    def state(self, parts: Sequence[str] = ()) -> np.ndarray:
        """Return RoboHive's state vector, or these parts of its observations, in float64."""
        if not parts:
            return self._state.copy()
        known = self.inner.obs_dict
        return np.concatenate([np.ravel(known[part]) for part in parts]).astype(np.float64)

    def _reward(self, told: dict[str, Any]) -> float:
        kind = self.config.reward
        if kind == "solved":
            return float(np.all(told["solved"]))
        if kind == "objects":
            return float(objects_in_place(self.inner, tuple(self.config.wanted())))
        return float(np.squeeze(told[f"rwd_{kind}"]))

    def proprioception(self) -> np.ndarray:
        """Return what the robot feels: RoboHive's own, else the positions of its joints."""
        keys = self.inner.proprio_keys
        return self.state(keys) if keys else self.data.qpos[self._joints]

    def _simulation(self) -> tuple[Any, Any]:
        return self.model, self.data

    def _view(self, camera: str) -> View:
        return View(scene=self.config.task, camera=-1 if camera == FREE_CAMERA else camera)


def load_task(config: RoboHive) -> Any:
    """Create RoboHive's own environment, without wrappers.

    Raises `VRLError` when RoboHive or the task's model is missing, or it has no such object.
    """
    load_robohive(config.assets)
    task = config.robohive_id()
    if task not in gymnasium.registry:
        ours = [name for name, spec in gymnasium.registry.items() if "robohive" in str(spec)]
        raise unknown_name("RoboHive task", task, [n for n in ours if n[:3] == task[:3]] or ours)
    registered = gymnasium.spec(task).kwargs
    if "model_path" in registered:
        require_model(task, Path(registered["model_path"]))
    # What is random while a task is loaded is the same in all processes.
    settings: dict[str, Any] = {"seed": 0, "disable_env_checker": True}
    if hides_state(task):
        settings["visual_keys"] = None  # its own images, for which it would import torch
    starts = config.starts()
    given = {
        "obj_goal": config.wanted(),
        "obj_init": (registered.get("obj_init") or {}) | starts if starts else None,
        "interact_site": config.interact_site,
    }
    settings |= {name: value for name, value in given.items() if value}
    try:
        with silenced():
            return gymnasium.make(task, **settings).unwrapped
    except (KeyError, ValueError) as error:
        raise VRLError(_explained(config, error)) from error


def _explained(config: RoboHive, error: Exception) -> str:
    """Say what a task that does not load lacks: an object, a site, or a file of its model."""
    said = str(error.args[0] if error.args else error).strip()
    joints = {**config.wanted(), **config.starts()}
    if isinstance(error, KeyError) and said in joints:
        return f"{config.task} has no joint {said} to move: leave it out of objects."
    if config.interact_site and config.interact_site in said:
        return f"{config.task} has no site {config.interact_site}: {said}"
    return incomplete(config.task, said)


def horizon_of(config: RoboHive) -> int:
    """Return after how many steps an episode is truncated: the given, else RoboHive's own."""
    registered = gymnasium.spec(config.robohive_id()).max_episode_steps
    found = config.horizon or registered
    if found is None:
        raise VRLError(f"RoboHive gives {config.task} no end: name one with horizon.")
    return int(found)


def chosen_cameras(config: RoboHive, model: Any) -> dict[str, str]:
    """Return the camera of each image field, the main one first.

    Raises `VRLError` for a camera that the model has not.
    """
    known = [model.camera(number).name for number in range(model.ncam)]
    names = config.cameras or (known[0] if known else FREE_CAMERA)
    check_cameras(f"camera of {config.task}", names, (*known, FREE_CAMERA))
    return camera_fields(names)


def changeable_parts(model: Any) -> dict[str, np.ndarray]:
    """Return copies of the arrays that tasks change in their model, by their names."""
    names = [f"{kind}_{part}" for kind in ("body", "geom", "site") for part in MOVED]
    return {name: getattr(model, name).copy() for name in names if hasattr(model, name)}


def robot_positions(model: Any) -> np.ndarray:
    """Return where in `qpos` the joints are that actuators drive, `(joint,)`.

    Of a robot that tendons drive, such as muscles, those of all hinges and slides.
    """
    by_joint = model.actuator_trntype == mujoco.mjtTrn.mjTRN_JOINT
    driven = np.unique(model.actuator_trnid[by_joint, 0])
    if not len(driven):
        scalar = (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE)
        driven = np.flatnonzero(np.isin(model.jnt_type, scalar))
    positions: np.ndarray = model.jnt_qposadr[driven]
    return positions


def objects_in_place(inner: Any, joints: Sequence[str]) -> int:
    """Return how many joints of a kitchen are as near to their goals as RoboHive asks."""
    error, near = np.abs(inner.obs_dict["goal_err"]), inner.obj["dof_proximity"]
    numbers = [inner.obj[joint]["goal_adr"] for joint in joints]
    return sum(bool(np.ravel(error)[n] < near[n]) for n in numbers)
