"""An environment for tests of evaluation, in a module that worker processes can import."""

import os
import signal
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from vrl_core.hooks import EnvironmentConfig


class Counting(gymnasium.Env):
    """Episode lengths come from the seed; the reward is the action plus the number of the step."""

    metadata = {"render_fps": 20}  # noqa: RUF012 - Gymnasium's convention
    action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, config: "Counter") -> None:
        self.config = config
        image = gymnasium.spaces.Box(0, 255, (4, 6, 3), np.uint8)
        vector = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
        both = gymnasium.spaces.Dict({"image": image, "body": vector})
        self.observation_space = {"image": image, "state": vector, "both": both}[config.sees]

    def observe(self) -> Any:
        image = np.full((4, 6, 3), self.steps, np.uint8)
        vector = np.array([self.steps, self.length], np.float64)
        return {"image": image, "state": vector, "both": {"image": image, "body": vector}}[
            self.config.sees
        ]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.length = 0, int(self.np_random.integers(3, 9))
        return self.observe(), {}

    def step(self, action):
        self.steps += 1
        if self.config.dies_at == self.steps:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.config.fails_at == self.steps:
            raise ValueError("the gripper came off")
        reward = float(action[0]) + self.steps
        if self.config.nan_at == self.steps:
            reward = float("nan")
        success = {"success": self.steps == 2} if self.config.tells_success else {}
        return self.observe(), reward, False, self.steps == self.length, success

    def render(self):
        return np.full((8, 8, 3), 100 + self.steps, np.uint8)


@dataclass(frozen=True, kw_only=True)
class Counter(EnvironmentConfig):
    sees: str = "image"
    dies_at: int = 0
    fails_at: int = 0
    nan_at: int = 0
    tells_success: bool = False

    def build(self) -> gymnasium.Env:
        return Counting(self)
