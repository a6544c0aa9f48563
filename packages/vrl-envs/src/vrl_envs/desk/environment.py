"""The simulated desk as a Gymnasium environment: a stand-in for LOMPO's robot (Section 5.2).

The paper tells of a Panda arm before a cluttered desk, a random pose above it, a drawer that is
open by a random amount, and one overhead camera. Sizes, friction, clutter, the control of the
hand and the frequency are this project's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vrl_core.observations import MAIN_CAMERA
from vrl_envs.control import checked_action
from vrl_envs.desk.arm import HOME, Arm
from vrl_envs.desk.config import MODEL, Desk
from vrl_envs.simulated import SimulatedEnvironment, View

# After rendering, which chooses the way of drawing before MuJoCo is imported.
import mujoco  # isort: skip

if TYPE_CHECKING:
    from vrl_core.reward_classifier import RewardClassifier

STEP = 0.03
"""Metres that the hand is sent by an action of 1 in one direction."""
SUBSTEPS = 20
"""Simulator steps of 5 ms in an action: ten actions a second."""
WORKSPACE = np.array([[0.29, 0.7], [-0.28, 0.28], [0.12, 0.45]])
"""Where the fingertips may be sent, metres: least and largest x, y and z."""
FIRST_TIPS = np.array([[0.45, 0.68], [-0.2, 0.2], [0.35, 0.44]])
"""Where they are at first: above the desk."""
FIRST_OPENINGS = (0.08, 0.18)
"""Metres by which the drawer is open at first."""
CLOSED = 0.01
"""Metres of opening up to which the drawer counts as closed."""
CLUTTER = ("mug", "book", "ball")
CLUTTER_PLACES = np.array([[0.06, 0.34], [-0.34, 0.34]])
CLUTTER_DISTANCE = 0.13
"""Metres between the centres of two things at first, at least."""
COLOURS = np.array(
    [
        [0.78, 0.16, 0.16],
        [0.16, 0.42, 0.75],
        [0.18, 0.55, 0.28],
        [0.92, 0.76, 0.16],
        [0.5, 0.25, 0.6],
        [0.2, 0.65, 0.68],
    ]
)


class DeskEnvironment(SimulatedEnvironment):
    """An arm that closes a drawer, seen as an image, a state vector, or both.

    Actions `(3,)` in [-1, 1] move the hand along x, y and z by up to `STEP` metres each, resolved
    by damped least squares; the hand points down and its fingers stay closed. Images are
    `(size, size, 3)` uint8; states are float32: joint angles (7) and tip (3), which are all of the
    state beside an image, joint velocities (7), the drawer's opening and its speed, and the
    clutter's places (6). `info` has `success`, whether the drawer is closed, and `opening` in
    metres. Episodes are truncated after `horizon` steps and never terminate. `reset(seed=s)`
    starts the same episode whatever came before.
    """

    config: Desk

    def __init__(self, config: Desk) -> None:
        """Load model and classifier.

        Raises `VRLError` when nothing can draw, or the classifier cannot be read or judges other
        images.
        """
        self.config = config
        self._model = mujoco.MjModel.from_xml_path(str(MODEL))
        self._data = mujoco.MjData(self._model)
        self.arm = Arm(self._model)
        self._drawer = self._model.joint("drawer")
        self._clutter = np.array(
            [self._model.joint(f"{name} {axis}").qposadr[0] for name in CLUTTER for axis in "xy"]
        )
        self._classifier = self._load_classifier()
        seconds = SUBSTEPS * self._model.opt.timestep
        super().__init__(size=config.size, actions=3, seconds=seconds, horizon=config.horizon)
        if self._classifier is not None:
            self._renderer(MAIN_CAMERA)  # which its rewards need

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; a seed fixes its first state."""
        super().reset(seed=seed, options=options)
        rng = np.random.default_rng(self._drawn_seed())
        mujoco.mj_resetData(self._model, self._data)
        positions = self._data.qpos
        positions[self._drawer.qposadr[0]] = rng.uniform(*FIRST_OPENINGS)
        positions[self._clutter] = clutter_places(rng).reshape(-1)
        self._colour_clutter(rng)
        angles = self.arm.reach(HOME, rng.uniform(*FIRST_TIPS.T), iterations=40)
        positions[self.arm.positions] = self._data.ctrl[:] = angles
        mujoco.mj_forward(self._model, self._data)
        return self._begin(), {"success": self.closed(), "opening": self.opening()}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Send the hand from where it is by `STEP` times the action `(3,)`, and simulate 0.1 s.

        Raises `VRLError` for an action of another size or with numbers that are not finite.
        """
        wanted = np.clip(checked_action(action, 3, "the desk"), -1.0, 1.0)
        target = np.clip(self.tip() + STEP * wanted, *WORKSPACE.T)
        angles = self._data.qpos[self.arm.positions]
        self._data.ctrl[:] = self.arm.reach(angles, target, iterations=2)
        mujoco.mj_step(self._model, self._data, SUBSTEPS)
        # What is seen and told is of the state after the last step, not before it.
        mujoco.mj_forward(self._model, self._data)
        self._count_step()
        info = {"success": self.closed(), "opening": self.opening()}
        return self.observe(), self._reward(), False, self._out_of_time(), info

    def state(self) -> np.ndarray:
        """Return the whole state `(25,)` float64, whatever the observation is."""
        data, arm = self._data, self.arm
        drawer = (data.qpos[self._drawer.qposadr[0]], data.qvel[self._drawer.dofadr[0]])
        return np.concatenate(
            (
                self.proprioception(),
                data.qvel[arm.velocities],
                drawer,
                data.qpos[self._clutter],
            )
        )

    def proprioception(self) -> np.ndarray:
        """Return joint angles and the tip's position, `(10,)`."""
        return np.concatenate((self._data.qpos[self.arm.positions], self.tip()))

    def tip(self) -> np.ndarray:
        """Return the position `(3,)` of the fingertips, metres."""
        return self.arm.tip(self._data)

    def handle(self) -> np.ndarray:
        """Return the position `(3,)` of the middle of the drawer's handle, metres."""
        position: np.ndarray = self._data.site("handle").xpos.copy()
        return position

    def opening(self) -> float:
        """Return by how many metres the drawer is open."""
        return float(self._data.qpos[self._drawer.qposadr[0]])

    def closed(self) -> bool:
        """Whether the drawer counts as closed."""
        return self.opening() <= CLOSED

    def _reward(self) -> float:
        if self._classifier is None:
            return float(self.closed())
        return float(self._classifier.probabilities(self.render()[None])[0])

    def _load_classifier(self) -> RewardClassifier | None:
        config = self.config
        if config.classifier is None:
            return None
        from vrl_core.reward_classifier import RewardClassifier

        classifier = RewardClassifier.read(config.classifier)
        classifier.card.require_images(
            (config.size, config.size, 3), camera=config.camera, rendering=config.rendering
        )
        return classifier

    def _colour_clutter(self, rng: np.random.Generator) -> None:
        for name, colour in zip(CLUTTER, rng.permutation(COLOURS), strict=False):
            self._model.geom(name).rgba[:3] = colour

    def _simulation(self) -> tuple[Any, Any]:
        return self._model, self._data

    def _view(self, _camera: str) -> View:
        return View(scene=self.config.task, camera=self.config.camera)


def clutter_places(rng: np.random.Generator) -> np.ndarray:
    """Draw where things lie on the desk, `(things, 2)` metres, none in another."""
    places: list[np.ndarray] = []
    while len(places) < len(CLUTTER):
        place = rng.uniform(*CLUTTER_PLACES.T)
        if all(np.linalg.norm(place - other) > CLUTTER_DISTANCE for other in places):
            places.append(place)
    return np.stack(places)
