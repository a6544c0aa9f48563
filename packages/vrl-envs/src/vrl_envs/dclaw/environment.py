"""D'Claw Screw as a Gymnasium environment."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vrl_envs.control import checked_action
from vrl_envs.dclaw.config import DClaw
from vrl_envs.dclaw.model import (
    ACTION_SCALE,
    FASTEST,
    JOINTS,
    RESET_POSE,
    STEP_SECONDS,
    ClawSimulation,
    RandomDynamics,
)
from vrl_envs.drawing.rendering import FreeCamera
from vrl_envs.simulated import SimulatedEnvironment, View

STATE_SIZE = 21
FREE_CAMERAS = {
    "oblique": FreeCamera(target=(0.0, 0.0, 0.12), distance=0.6, azimuth=60.0, elevation=-20.0)
}
"""Views that are in no model."""
FIXED_RATE = 0.5
LARGEST_RATE = 0.75
"""Radians a second at which the wanted angle turns."""
SOLVED = 0.2
"""Largest error of the valve's angle, in radians, that is a success."""
POSITION_NOISE = 0.05 * np.append(2 * ACTION_SCALE, 2 * np.pi)
VELOCITY_NOISE = 0.05 * 2 * FASTEST
"""Widths of the uniform noise on what is read of joints: a twentieth of their ranges."""


class DClawEnvironment(SimulatedEnvironment):
    """The claw turns a valve after a mark; actions `(9,)` in [-1, 1] are wanted joint positions.

    Images are `(size, size, 3)` uint8; states are float32: beside an image the claw's positions
    `(9,)`, in radians, else ROBEL's 21 numbers: those, cosine and sine of the valve's angle, the
    last action (9), and the wanted angle minus the valve's, in [-pi, pi). `info` has `success` and
    `points`. Episodes are truncated after `horizon` steps and never terminate. `reset(seed=s)`
    starts the same episode whatever came before.
    """

    config: DClaw

    def __init__(self, config: DClaw) -> None:
        """Load the model. Raises `VRLError` when it is not there or nothing can draw."""
        self.config = config
        self.simulation = ClawSimulation(config.assets)
        randomised = config.task == "screw_random_dynamics"
        self._dynamics = RandomDynamics(self.simulation) if randomised else None
        self._state = np.zeros(STATE_SIZE, np.float32)
        self.wanted, self.rate = 0.0, 0.0
        super().__init__(
            size=config.size, actions=len(JOINTS), seconds=STEP_SECONDS, horizon=config.horizon
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; a seed fixes it, the noise of its observations included."""
        super().reset(seed=seed, options=options)
        self.wanted, self.rate = 0.0, FIXED_RATE
        if self.config.task != "screw_fixed":
            self.wanted = float(self.np_random.uniform(-math.pi, math.pi))
            self.rate = float(self.np_random.uniform(-LARGEST_RATE, LARGEST_RATE))
            if self.config.direction != "either":
                self.rate = abs(self.rate) * (1 if self.config.direction == "forward" else -1)
        if self._dynamics is not None:
            self._dynamics.draw(self.np_random)
        self.simulation.turn_mark(self.wanted)
        self.simulation.reset(valve=self.wanted)
        positions, _ = self._readings()
        self._note(positions, np.zeros(len(JOINTS)), self._error(positions))
        return self._begin(), {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Move the mark on, then the claw for 0.1 s.

        Raises `VRLError` for an action of another size or with numbers that are not finite.
        """
        action = np.clip(checked_action(action, len(JOINTS), "D'Claw"), -1.0, 1.0)
        self.wanted += self.rate * STEP_SECONDS
        self.simulation.turn_mark(self.wanted)
        self.simulation.move(action)
        self._count_step()
        positions, velocities = self._readings()
        error = self._error(positions)
        self._note(positions, action, error)
        reward = screw_reward(error, positions[:-1], velocities[:-1])
        info = {"success": abs(error) < SOLVED, "points": 1.0 - abs(error) / math.pi}
        return self.observe(), reward, False, self._out_of_time(), info

    def state(self) -> np.ndarray:
        """Return ROBEL's whole observation `(21,)` float32, whatever is observed."""
        return self._state.copy()

    def proprioception(self) -> np.ndarray:
        """Return the claw's positions `(9,)`, radians."""
        return self._state[: len(JOINTS)]

    def _readings(self) -> tuple[np.ndarray, np.ndarray]:
        """Return positions and velocities of the claw's joints and the valve, `(10,)` each."""
        simulation = self.simulation
        positions = simulation.data.qpos[simulation.positions]
        velocities = simulation.data.qvel[simulation.velocities]
        if self._dynamics is not None:
            noise = self.np_random.uniform(-0.5, 0.5, (2, len(positions)))
            positions = positions + POSITION_NOISE * noise[0]
            velocities = velocities + VELOCITY_NOISE * noise[1]
        return positions, velocities

    def _error(self, positions: np.ndarray) -> float:
        return (self.wanted - float(positions[-1]) + math.pi) % (2 * math.pi) - math.pi

    def _note(self, positions: np.ndarray, action: np.ndarray, error: float) -> None:
        claw, valve = len(JOINTS), float(positions[-1])
        self._state[:claw] = positions[:-1]
        self._state[claw : claw + 2] = math.cos(valve), math.sin(valve)
        self._state[claw + 2 : -1] = action
        self._state[-1] = error

    def _simulation(self) -> tuple[Any, Any]:
        return self.simulation.model, self.simulation.data

    def _view(self, _camera: str) -> View:
        camera = FREE_CAMERAS.get(self.config.camera, self.config.camera)
        # Renderers keep meshes, and only those of one folder are known to be the same.
        return View(scene="dclaw", camera=camera, group=str(self.config.assets))

    def _draw(self, field: str) -> np.ndarray:
        self.simulation.refresh()
        return super()._draw(field)


def screw_reward(error: float, positions: np.ndarray, velocities: np.ndarray) -> float:
    """Return ROBEL's reward of a step (Screw and Turn).

    `error` is the wanted angle minus the valve's, in radians; `positions` and `velocities` `(9,)`
    are the claw's. Minus 5 |error|, minus the distance from the reset pose, minus the norm of the
    velocities of 0.5 rad/s and more, plus 10 within 0.25 rad and 50 more within 0.1.
    """
    away = positions - RESET_POSE
    fast = velocities[np.abs(velocities) >= 0.5]
    size = abs(error)
    reward = -5.0 * size - math.sqrt(away @ away) - math.sqrt(fast @ fast)
    return reward + 10.0 * (size < 0.25) + 50.0 * (size < 0.10)
