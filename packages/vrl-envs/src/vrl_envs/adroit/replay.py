"""Human demonstrations of the Adroit hand, replayed in the simulator and drawn.

Either the first recorded state is set and the actions play on from there (`actions`), or every
recorded state is set before its action (`states`), so that no error grows. Observations, images,
rewards and successes are the simulator's in both: `actions[t]` leads from `observations[t]` to
`observations[t+1]` under its physics, within one step of the recording in the second case. What
was recorded is what they are compared with.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from vrl_core.episodes import Episode
from vrl_core.errors import VRLError
from vrl_envs.adroit.config import AdroitDataset
from vrl_envs.adroit.dataset import spec_of
from vrl_envs.adroit.demonstrations import Demonstration, SimulatorState, open_demonstrations
from vrl_envs.adroit.environment import AdroitEnvironment
from vrl_envs.adroit.tasks import DOOR_PALM
from vrl_envs.collection import check_index, stack_fields

TRIAL = 0.1
"""Metres that the door's arm is lifted by to see how its palm follows."""


class AdroitDemonstrations:
    """Recorded demonstrations, each replayed when it is asked for."""

    def __init__(self, config: AdroitDataset) -> None:
        """Open the file and load the task.

        Raises `VRLError` when it is missing, damaged, of another task, or has too few episodes or
        states for what was asked.
        """
        if config.demonstrations is None:
            raise VRLError("Name a file of demonstrations.")
        self.config = config
        self.file = open_demonstrations(config.demonstrations, config.task)
        if (config.episodes or 0) > self.file.count:
            raise VRLError(
                f"{config.episodes} episodes were asked for; {self.file.path} has "
                f"{self.file.count} demonstrations."
            )
        if config.replay == "states" and not self.file.every_state:
            raise VRLError(
                f"{self.file.path} has the first state of each demonstration alone, so its actions "
                "must be replayed: leave out --replay states."
            )
        self.every_state = self.file.every_state and config.replay != "actions"
        self.environment = AdroitEnvironment(config.environment())
        collected = spec_of(config, self.environment)
        self.spec = replace(collected, seed=None, licence="unknown")  # people acted

    def __len__(self) -> int:
        return self.config.episodes or self.file.count

    def __getitem__(self, index: int, /) -> Episode:
        """Replay demonstration `index`. Raises `VRLError` when the replay leaves the recording."""
        check_index(index, len(self))
        recorded = self.file.read(index)
        episode, states = self._replay(recorded)
        compared = distances(self.environment.task.positions, states, recorded.observations)
        mean, largest = float(compared.mean()), float(compared.max())
        if not mean <= self.config.tolerance:
            raise self._diverged(index, mean, largest)
        outside = np.abs(recorded.actions) > 1
        facts = {
            "behaviour": "human",
            "file": self.file.path.name,
            "demonstration": index,
            "replay": "states" if self.every_state else "actions",
            "deviation": mean,
            "largest_deviation": largest,
            "recorded_return": float(recorded.rewards.sum()),
            "clipped_actions": float(outside.any(1).mean()),
        }
        return replace(episode, info=facts | dict(episode.info))

    def close(self) -> None:
        """Free the simulator and its renderer."""
        self.environment.close()

    def _replay(self, recorded: Demonstration) -> tuple[Episode, np.ndarray]:
        """Return the episode, and the whole observations `(T+1, state)` that actions led to."""
        environment = self.environment
        actions = np.clip(recorded.actions, -1, 1).astype(np.float32)
        observations, states = [self._begin(recorded)], [environment.state()]
        rewards, goals, terminated = [], 0, False
        for step, action in enumerate(actions):
            reward, goal, terminated = environment.advance(action)
            states.append(environment.state())
            rewards.append(reward)
            goals += goal
            over = terminated or step + 1 == len(actions)
            goes_on = self.every_state and not over
            following = self._set(recorded.states[step + 1]) if goes_on else environment.observe()
            observations.append(following)
            if over:
                break
        last = np.arange(len(rewards)) == len(rewards) - 1
        episode = Episode(
            observations=stack_fields(observations),
            actions=actions[: len(rewards)],
            rewards=np.array(rewards, np.float32),
            terminations=last & terminated,
            truncations=last & (not terminated),
            info={"success": goals > environment.task.success_steps},
        )
        return episode, np.stack(states)

    def _begin(self, recorded: Demonstration) -> Any:
        first = recorded.states[0]
        if self.config.task == "adroit_door" and not self.file.every_state:
            first = self._lifted(first, recorded.observations[0][DOOR_PALM])
        return self._set(first)

    def _set(self, state: SimulatorState) -> Any:
        return self.environment.place(state.qpos, state.qvel, state.layout)

    def _lifted(self, state: SimulatorState, palm: np.ndarray) -> SimulatorState:
        """Return a door's state with its arm lifted until the palm is where it was seen.

        The lift is the joint that no observation of the door shows; the palm moves with it along a
        line.
        """
        at = []
        for lift in (0.0, TRIAL):
            qpos = state.qpos.copy()
            qpos[0] = lift
            self._set(replace(state, qpos=qpos))
            at.append(self.environment.state()[DOOR_PALM])
        direction = (at[1] - at[0]) / TRIAL
        qpos = state.qpos.copy()
        qpos[0] = direction @ (palm - at[0]) / (direction @ direction)
        return replace(state, qpos=qpos)

    def _diverged(self, index: int, mean: float, largest: float) -> VRLError:
        ways = [f"Allow it with --tolerance {mean + 0.001:.3f}"]
        if self.file.every_state and not self.every_state:
            ways.append("set every recorded state with --replay states")
        others = "take fewer --episodes if it is among the last"
        return VRLError(
            f"Demonstration {index} of {self.file.path} does not replay: observations are "
            f"{mean:.3f} radians and metres from the recorded ones in the mean, {largest:.2f} at "
            f"most; the tolerance is {self.config.tolerance:g}. {', or '.join(ways)}, or {others}."
        )


def distances(positions: tuple[slice, ...], states: np.ndarray, recorded: np.ndarray) -> np.ndarray:
    """Return how far angles and positions are from the recorded ones, `(steps, numbers)`."""
    steps = min(len(states), len(recorded))
    apart = [np.abs(states[:steps, each] - recorded[:steps, each]) for each in positions]
    return np.concatenate(apart, axis=1)
