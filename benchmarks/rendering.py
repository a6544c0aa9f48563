"""Frames a second of one process: simulating, drawing, and both, at each render quality.

    python benchmarks/rendering.py --task walker_walk --task cheetah_run --size 64

Rates are per second of processor time, so other work on the machine hardly changes them; the
software rasteriser runs in the calling thread. `dm_control` is `physics.render` with its defaults.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from vrl_envs.dmc.config import DMC
from vrl_envs.dmc.environment import DMCEnvironment
from vrl_envs.settings import Rendering

SECONDS = 3.0
QUALITIES: tuple[Rendering, ...] = ("reference", "fast")


def rate(action: Callable[[], object], seconds: float) -> float:
    """Return how often an action runs in a second of processor time, after one warm-up call."""
    action()
    count, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        action()
        count += 1
    return count / (time.process_time() - start)


def stepper(environment: DMCEnvironment) -> Callable[[], None]:
    """Return a function that takes one random agent step, and starts again at an episode's end."""
    rng = np.random.default_rng(0)
    environment.reset(seed=0)

    def step() -> None:
        action = rng.uniform(-1, 1, environment.action_size)
        *_, terminated, truncated, _ = environment.step(action)
        if terminated or truncated:
            environment.reset()

    return step


def redrawer(environment: DMCEnvironment) -> Callable[[], object]:
    """Return a function that draws the current state."""
    position = environment._physics.data.qpos.copy()[None]
    return lambda: environment.render_positions(position)


def measure(task: str, size: int, seconds: float) -> dict[str, float]:
    """Return rates by name for one task."""
    blind = DMCEnvironment(DMC(task=task, observation="state"))
    rates = {"agent steps, nothing drawn": rate(stepper(blind), seconds)}
    physics = blind._physics
    rates["frames, dm_control"] = rate(lambda: physics.render(size, size, camera_id=0), seconds)
    blind.close()
    for quality in QUALITIES:
        environment = DMCEnvironment(DMC(task=task, size=size, rendering=quality))
        rates[f"agent steps with a frame, {quality}"] = rate(stepper(environment), seconds)
        rates[f"frames, {quality}"] = rate(redrawer(environment), seconds)
        environment.close()
    return rates


def main() -> None:
    """Measure and print one table for each task."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--task", action="append", help="may be repeated")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    arguments = parser.parse_args()
    for task in arguments.task or ["walker_walk", "cheetah_run", "humanoid_walk"]:
        print(f"{task}, {arguments.size} px")
        for name, value in measure(task, arguments.size, arguments.seconds).items():
            print(f"  {name:40s} {value:9,.0f}/s")


if __name__ == "__main__":
    main()
