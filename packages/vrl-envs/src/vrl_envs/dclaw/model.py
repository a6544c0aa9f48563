"""The simulated claw: where its joints are in the model, how it moves, and its random dynamics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vrl_core.errors import VRLError
from vrl_core.preparation import home
from vrl_envs.dclaw.assets import readable_model
from vrl_envs.drawing.graphics import settle_backend

settle_backend()

# MuJoCo reads the choice when it is imported.
import mujoco  # noqa: E402

JOINTS = ("FFJ10", "FFJ11", "FFJ12", "MFJ20", "MFJ21", "MFJ22", "THJ30", "THJ31", "THJ32")
"""The claw's joints: three fingers, each from base to tip."""
VALVE = "valve_OBJRx"
GHOST = "_dclaw"
"""A second claw that the model hides, holds still and lets touch nothing. Without it the simulation
is 1.4 times as fast and the same to rounding."""
SUBSTEPS = 40
STEP_SECONDS = 0.1
"""Simulated time of an action: 40 substeps of 2.5 ms."""
ACTION_SCALE = np.array([0.48, np.pi / 3, np.pi / 2] * 3)
"""Joint positions, in radians, that an action of 1 asks for."""
FASTEST = 2 * np.pi / 3
"""Radians a second that a joint may need on average to get to where an action wants it."""
RESET_POSE = np.array([0.0, -np.pi / 3, np.pi / 3] * 3)


class ClawSimulation:
    """MuJoCo's model and state of claw, valve and mark."""

    def __init__(self, assets: Path | None) -> None:
        """Load the model. Raises `VRLError` when it is not there or is no D'Claw."""
        self.model = load_model(assets)
        self.data: Any = mujoco.MjData(self.model)
        joints = [self.model.joint(name) for name in (*JOINTS, VALVE)]
        self.positions = np.array([joint.qposadr[0] for joint in joints])
        """Where the claw's joints, then the valve, are among the positions."""
        self.velocities = np.array([joint.dofadr[0] for joint in joints])
        """The same among the velocities."""
        self._controls = np.array([self.model.actuator(name).id for name in JOINTS])
        self._mark = self.model.body("target").id

    def reset(self, valve: float) -> None:
        """Put the claw into its reset pose at rest, the valve at an angle, and no past behind."""
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[self.positions] = (*RESET_POSE, valve)
        mujoco.mj_forward(self.model, self.data)

    def turn_mark(self, angle: float) -> None:
        """Show a wanted angle, in radians."""
        self.model.body_quat[self._mark] = (np.cos(angle / 2), 0.0, 0.0, np.sin(angle / 2))

    def move(self, action: np.ndarray) -> None:
        """Carry out an action `(9,)` in [-1, 1] for 0.1 s."""
        present = self.data.qpos[self.positions[:-1]]
        self.data.ctrl[self._controls] = limited_target(action, present)
        mujoco.mj_step(self.model, self.data, SUBSTEPS)

    def refresh(self) -> None:
        """Move bodies to where the joints are now; MuJoCo leaves them where the substep began."""
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)


def limited_target(action: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Return the joint positions `(9,)` rad that an action asks for from `present` ones.

    They are no further away than the fastest allowed motion comes within the step.
    """
    reach = FASTEST * STEP_SECONDS
    target: np.ndarray = np.clip(action * ACTION_SCALE, present - reach, present + reach)
    return target


def load_model(assets: Path | None) -> Any:
    """Load the model of a folder or of VRL's cache; raises `VRLError` when it is no D'Claw."""
    place = assets or "VRL's cache"
    try:
        with readable_model(assets) as path:
            spec = mujoco.MjSpec.from_file(str(path))
            if spec.body(GHOST) is not None:
                spec.detach_body(spec.body(GHOST))
            model = spec.compile()
    except ValueError as error:
        raise VRLError(
            f"MuJoCo cannot read the D'Claw model in {place}: {error}. "
            + ("Unpack it again" if assets else f"Remove {home() / 'dclaw'} to have it fetched")
            + ", or name a folder that has it with assets."
        ) from error
    try:
        for name in (*JOINTS, VALVE):
            model.joint(name)
        for name in JOINTS:
            model.actuator(name)
        for name in ("target", "mount", "valve"):
            model.body(name)
        model.geom("mount")
    except KeyError as error:
        raise VRLError(f"The model in {place} is no D'Claw of ROBEL: {error.args[0]}") from error
    return model


class RandomDynamics:
    """Draws joints, servos, friction, the mount's place and colours anew (ROBEL, Screw)."""

    def __init__(self, simulation: ClawSimulation) -> None:
        self._simulation, model = simulation, simulation.model
        self._mount = model.body("mount").id
        self._place = model.body_pos[self._mount].copy()
        valve = model.body("valve")
        first = int(valve.geomadr[0])
        self._coloured = [model.geom("mount").id, *range(first, first + int(valve.geomnum[0]))]

    def draw(self, random: np.random.Generator) -> None:
        """Change the model; nothing of what was drawn before remains."""
        model, joints = self._simulation.model, self._simulation.velocities
        model.dof_damping[joints] = random.uniform(0.005, 0.1, len(joints))
        model.dof_frictionloss[joints] = random.uniform(0.001, 0.005, len(joints))
        stiffness = random.uniform(1.0, 3.0)
        model.actuator_gainprm[:, 0] = stiffness
        model.actuator_biasprm[:, 1] = -stiffness
        # Sliding, spinning and rolling.
        model.geom_friction[:] = random.uniform((0.8, 0.003, 0.00005), (1.2, 0.007, 0.00015))
        model.body_pos[self._mount] = self._place + random.uniform(-0.01, 0.01, 3)
        model.geom_rgba[self._coloured, :3] = random.uniform(0.2, 0.9, (len(self._coloured), 3))
