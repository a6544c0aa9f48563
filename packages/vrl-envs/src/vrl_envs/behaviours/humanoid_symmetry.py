"""What the humanoid's task does not change under: a mirror, and the way that the body looks.

One transition is as good as its mirror image, and as all its turns about the vertical axis, so a
learner that draws them at random has a gait of two equal sides in every direction from one episode
(Abdolhosseini et al. 2019, "On Learning Symmetric Locomotion", Section 3.1: duplicated tuples).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vrl_core.soft_actor_critic import StateBatch

JOINTS = 21
ACROSS = (1.0, -1.0, 1.0)
"""Signs of a vector's parts in the mirror that swaps left and right, the plane of x and z."""
TURN_ACROSS = (-1.0, 1.0, -1.0)
"""Signs of an angular velocity's parts in it."""
LINEAR_SPEEDS = ((37, 38), (40, 41))
"""Where an observation has speeds along the world's x and y: of the centre of mass, the torso."""


class HumanoidSymmetry:
    """Mirror and turn transitions of dm_control's humanoid, whose observations may have more."""

    def __init__(self, physics: Any) -> None:
        model = physics.model
        names = [model.id2name(number, "joint") for number in range(1, JOINTS + 1)]
        axes = {name: model.jnt_axis[1 + number] for number, name in enumerate(names)}
        swapped = {name: swap_sides(name) for name in names}
        signs = {
            # An axis is a pseudo-vector, as an angular velocity is; the axes need not be of the
            # same length, but they are of one line.
            name: float(np.sign(np.dot(TURN_ACROSS * axes[name], axes[swapped[name]])))
            for name in names
        }
        order = np.array([names.index(swapped[name]) for name in names])
        joint_signs = np.array([signs[name] for name in names])
        motors = [
            model.id2name(int(number), "joint") for number in physics.model.actuator_trnid[:, 0]
        ]
        self.action_order = torch.tensor([motors.index(swapped[name]) for name in motors])
        self.action_signs = torch.tensor([signs[name] for name in motors], dtype=torch.float32)
        # Joint angles; head height; hand and foot of the left, then of the right; the vertical
        # in the torso's axes; the centre of mass's speed; the torso's and the joints' speeds.
        hands = JOINTS + 1 + np.arange(12)
        self.order = torch.from_numpy(
            np.concatenate((order, [JOINTS], np.roll(hands, 6), np.arange(34, 46), 46 + order))
        )
        self.signs = torch.tensor(
            np.concatenate(
                (joint_signs, [1.0], 4 * ACROSS, ACROSS, ACROSS, ACROSS, TURN_ACROSS, joint_signs)
            ),
            dtype=torch.float32,
        )

    def mirrored(self, observation: Tensor) -> Tensor:
        """Return the mirror images of observations `(..., 67 or more)`; more is left as it is."""
        size = len(self.order)
        image = observation[..., self.order] * self.signs
        return torch.cat((image, observation[..., size:]), -1)

    def mirrored_action(self, action: Tensor) -> Tensor:
        """Return the mirror images of actions `(..., 21)`."""
        return action[..., self.action_order] * self.action_signs

    def turned(self, observation: Tensor, angle: Tensor) -> Tensor:
        """Return observations `(batch, 67 or more)` turned by `(batch,)` radians about z."""
        turned = observation.clone()
        cosine, sine = angle.cos(), angle.sin()
        for x, y in LINEAR_SPEEDS:
            turned[:, x] = cosine * observation[:, x] - sine * observation[:, y]
            turned[:, y] = sine * observation[:, x] + cosine * observation[:, y]
        return turned

    def __call__(self, batch: StateBatch, rng: np.random.Generator) -> StateBatch:
        """Mirror half of a batch's transitions and turn each by an angle of its own."""
        size = len(batch.action)
        mirror = torch.from_numpy(rng.random(size) < 0.5)[:, None]
        angle = torch.from_numpy(rng.uniform(-np.pi, np.pi, size).astype(np.float32))
        pairs = (batch.observation, batch.next_observation)
        first, second = (
            self.turned(torch.where(mirror, self.mirrored(each), each), angle) for each in pairs
        )
        action = torch.where(mirror, self.mirrored_action(batch.action), batch.action)
        return replace(batch, observation=first, action=action, next_observation=second)


def swap_sides(name: str) -> str:
    """Return the name of the other side's part; a part of the middle is its own."""
    for one, other in (("left_", "right_"), ("right_", "left_")):
        if name.startswith(one):
            return other + name.removeprefix(one)
    return name
