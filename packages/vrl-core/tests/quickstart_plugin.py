"""A plugin small enough to run the whole quickstart in seconds: press a lever to one half."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vrl_core import (
    AlgorithmConfig,
    DatasetConfig,
    EnvironmentConfig,
    ReferenceReturns,
    VRLError,
    hookimpl,
)

STEPS = 6
BEST = 0.5


@dataclass(frozen=True, kw_only=True)
class LeverConfig(EnvironmentConfig):
    """A lever whose best position is one half."""

    size: int = 4

    def build(self) -> Any:
        import gymnasium
        import numpy as np

        shape = (self.size, self.size, 3)

        class Lever(gymnasium.Env):
            observation_space = gymnasium.spaces.Box(0, 255, shape, np.uint8)
            action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

            def reset(self, *, seed=None, options=None):
                super().reset(seed=seed)
                self.step_number = 0
                return self.image(), {}

            def step(self, action):
                self.step_number += 1
                reward = 1 - abs(float(action[0]) - BEST)
                return self.image(), reward, False, self.step_number >= STEPS, {}

            def image(self):
                return np.full(shape, self.step_number, np.uint8)

        return Lever()

    def references(self) -> ReferenceReturns:
        return ReferenceReturns(random=2.0, expert=float(STEPS))


@dataclass(frozen=True, kw_only=True)
class PresserConfig(DatasetConfig):
    """Somebody who presses the lever nearly right."""

    tasks = ("lever",)
    qualities = ("expert",)

    task: str = "lever"
    quality: str = "expert"
    size: int = 4
    episodes: int = 4
    seed: int = 0

    def build(self) -> Any:
        return Presser(self)


class Presser:
    def __init__(self, config: PresserConfig):
        self.config = config

    @property
    def spec(self) -> Any:
        from vrl_core.episodes import DataSpec, FieldSpec

        if self.config.task != "lever":
            raise VRLError(f"There is no task {self.config.task!r}.")
        return DataSpec(
            task="lever",
            observations={"image": FieldSpec((self.config.size, self.config.size, 3), "uint8")},
            action_size=1,
            environment={"name": "lever", "size": self.config.size},
            behaviour=self.config.quality,
        )

    def __len__(self) -> int:
        return self.config.episodes

    def __getitem__(self, index: int, /) -> Any:
        import numpy as np

        from vrl_core.episodes import Episode

        if not 0 <= index < len(self):
            raise IndexError(index)
        size = self.config.size
        random = np.random.default_rng((self.config.seed, index))
        actions = np.float32(BEST + random.uniform(-0.1, 0.1, (STEPS, 1)))
        steps = np.arange(STEPS + 1, dtype=np.uint8)[:, None, None, None]
        return Episode(
            observations={"image": np.tile(steps, (1, size, size, 3))},
            actions=actions,
            rewards=np.float32(1 - abs(actions[:, 0] - BEST)),
            terminations=np.zeros(STEPS, bool),
            truncations=np.arange(STEPS) == STEPS - 1,
        )


@dataclass(frozen=True, kw_only=True)
class ImitateConfig(AlgorithmConfig):
    """Learn the mean action."""

    rate: float = 0.5

    @classmethod
    def presets(cls) -> Mapping[str, ImitateConfig]:
        return {"paper": cls(), "small": cls()}

    def build(self, spec: Any, device: Any) -> Any:
        return Imitate(self)


class Imitate:
    def __init__(self, config: ImitateConfig):
        import torch

        from vrl_core.protocols import Phase, Transitions

        self.config = config
        self.action = torch.zeros(1)
        self.phases = (Phase("imitate", 20, Transitions(batch_size=4), self.update),)

    def update(self, batch: Any) -> Any:
        error = batch.action.mean(0) - self.action
        self.action = self.action + self.config.rate * error
        return {"loss": error.square().mean()}

    def policy(self) -> Any:
        return self

    def start(self, environments: int) -> None:
        return None

    def act(self, observations: Any, state: None) -> tuple[Any, None]:
        count = len(observations["image"])
        return self.action.expand(count, 1).numpy().copy(), None

    def state_dict(self) -> dict[str, Any]:
        return {"action": self.action}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.action = state["action"]


@hookimpl
def vrl_environments():
    return {"lever": LeverConfig}


@hookimpl
def vrl_datasets():
    return {"presser": PresserConfig}


@hookimpl
def vrl_algorithms():
    return {"imitate": ImitateConfig}
