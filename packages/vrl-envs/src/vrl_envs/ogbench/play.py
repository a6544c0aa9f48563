"""Recordings of OGBench's scripted oracles, one random target after another, as its data is made.

`play` follows plans with noise in them (`PlanOracle`); `noisy` looks at every state anew
(`MarkovOracle`), with Gaussian noise on its actions and some random ones. The numbers are those of
OGBench's data (Park et al. 2025, Appendix; its generation script).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vrl_envs.collection import stack_fields, uniform_action
from vrl_envs.ogbench.environment import OGBenchEnvironment, drawn_from
from vrl_envs.ogbench.tasks import environment_of

# After the environment, which chooses the way of drawing before MuJoCo is imported.
from ogbench.manipspace.oracles.markov.button_markov import ButtonMarkovOracle  # isort: skip
from ogbench.manipspace.oracles.markov.cube_markov import CubeMarkovOracle  # isort: skip
from ogbench.manipspace.oracles.markov.drawer_markov import DrawerMarkovOracle  # isort: skip
from ogbench.manipspace.oracles.markov.window_markov import WindowMarkovOracle  # isort: skip
from ogbench.manipspace.oracles.plan.button_plan import ButtonPlanOracle  # isort: skip
from ogbench.manipspace.oracles.plan.cube_plan import CubePlanOracle  # isort: skip
from ogbench.manipspace.oracles.plan.drawer_plan import DrawerPlanOracle  # isort: skip
from ogbench.manipspace.oracles.plan.window_plan import WindowPlanOracle  # isort: skip

NOISE = 0.1
"""Noise of a plan, and the largest standard deviation of noise on an action's hand motion."""
NOISE_SMOOTHING = 0.5
LEAST_NORM = 0.4
"""Least size of the motion that a closed-loop oracle asks for."""
NOISE_SHARES = np.array([1, 1, 1, 3, 10])
"""Noise on each number of an action relative to that on the hand's motion."""
STACKING = {"cube_single": (0, 0), "cube_double": (0, 0.25), "cube_triple": (0.05, 0.35)}
STACKING |= {"cube_quadruple": (0.1, 0.5), "cube_octuple": (0, 0.35)}
"""Range of the probability, drawn for each episode, that a cube's target is on top of another."""
MOST_RIGHT, MOST_LEFT, IN_DRAWER = 0.29, -0.3, (0.06, 0.08)
"""Metres: where a cube of `scene` is out of sight, and the heights at which it is in the drawer."""
_CUBE = slice(14, 17)
"""Place of the first cube among the joint positions."""


@dataclass(frozen=True)
class Recording:
    """T steps without a task: T+1 observations, T actions and the states they were taken in."""

    observations: dict[str, np.ndarray]
    actions: np.ndarray
    positions: np.ndarray
    """Joint positions `(T, joints)`."""
    buttons: np.ndarray | None
    """States of the buttons `(T, buttons)`, where there are any."""
    seed: int
    """What the environment was reset with."""


def record(
    environment: OGBenchEnvironment, quality: str, seed: int, noise: np.random.Generator
) -> Recording:
    """Let the oracles of a quality act from the state of a seed for the environment's horizon."""
    # OGBench's oracles draw from NumPy's global generator.
    with drawn_from(np.random.RandomState(int(noise.integers(2**32)))):
        return _record(environment, quality, seed, noise)


def _record(
    environment: OGBenchEnvironment, quality: str, seed: int, noise: np.random.Generator
) -> Recording:
    task = environment.config.task
    agents = oracles(task, quality, environment.inner)
    low, high = STACKING.get(environment_of(task), (0.5, 0.5))
    stacking, deviation = noise.uniform(low, high), noise.uniform(0, NOISE)
    observation, _ = environment.reset(seed=seed)
    observations, actions, positions, buttons = [observation], [], [], []
    info, agent, truncated = environment.told, None, False
    while not truncated:
        if agent is None or agent.done:
            if agent is not None:
                _, info = environment.inner.set_new_target(p_stack=stacking)
            agent = agents[str(info["privileged/target_task"])]
            agent.reset(None, info)
        if quality == "noisy" and noise.random() < random_share(task):
            action = uniform_action(noise, 5)
        else:
            wanted = np.asarray(agent.select_action(None, info), np.float64)
            spread = deviation * NOISE_SHARES * noise.standard_normal(5)
            action = np.clip(wanted + (spread if quality == "noisy" else 0), -1, 1)
        observation, _, _, truncated, _ = environment.step(action)
        info = environment.told
        observations.append(observation)
        actions.append(np.asarray(action, np.float32))
        positions.append(info["prev_qpos"])
        buttons.append(info.get("prev_button_states", ()))
    return Recording(
        observations=stack_fields(observations),
        actions=np.stack(actions),
        positions=np.stack(positions),
        buttons=np.stack(buttons) if len(buttons[0]) else None,
        seed=seed,
    )


def random_share(task: str) -> float:
    """Return the share of random actions in `noisy` data."""
    return 0.2 if task.startswith("puzzle") else 0.1


def oracles(task: str, quality: str, inner: Any) -> dict[str, Any]:
    """Return OGBench's oracle of every kind of target in a task's environment."""
    puzzle = {"gripper_always_closed": True} if task.startswith("puzzle") else {}
    if quality == "play":
        plan: dict[str, Any] = {"env": inner, "noise": NOISE, "noise_smoothing": NOISE_SMOOTHING}
        found: dict[str, Any] = {
            "cube": CubePlanOracle(**plan),
            "button": ButtonPlanOracle(**plan, **puzzle),
            "drawer": DrawerPlanOracle(**plan),
            "window": WindowPlanOracle(**plan),
        }
        return found
    closed: dict[str, Any] = {"env": inner, "min_norm": LEAST_NORM}
    return {
        "cube": CubeMarkovOracle(**closed),
        "button": ButtonMarkovOracle(**closed, **puzzle),
        "drawer": DrawerMarkovOracle(**closed),
        "window": WindowMarkovOracle(**closed),
    }


def is_healthy(task: str, recording: Recording) -> bool:
    """Return whether OGBench would keep a recording: in `scene` the cube must stay in sight."""
    if not task.startswith("scene"):
        return True
    _, aside, height = recording.positions[:, _CUBE].T
    in_drawer = (height >= IN_DRAWER[0]) & (height <= IN_DRAWER[1])
    lost = (aside >= MOST_RIGHT) | ((aside <= MOST_LEFT) & ~in_drawer)
    return not bool(lost.any())
