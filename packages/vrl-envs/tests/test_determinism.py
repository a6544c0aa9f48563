"""Every environment starts and continues an episode of a seed the same, whatever came before.

The tasks are those that environments show (`vrl gallery`): a new one is tested by showing it.
Called as a script, it prints the digests of an environment's episodes, in another order.
"""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

import vrl_envs.plugin
from vrl_core.errors import VRLError
from vrl_core.gallery import shown_settings
from vrl_core.registry import Registry
from vrl_envs.dclaw.config import DClaw

REGISTRY = Registry(installed=False, modules=(vrl_envs.plugin,))
CHEAPEST = {"size": 16, "rendering": "fast", "observation": "both"}
SEED, OTHER_SEED, STEPS = 3, 4, 4


def settings(environment):
    """What the environment shows, by name: small, drawn fast, with states beside the images."""
    shown = shown_settings(REGISTRY, [environment])
    return {each.name: cheap(each.config) for each in shown}


def cheap(config):
    if isinstance(config, DClaw):
        # Its model is not fetched by tests.
        config = replace(config, assets=Path(os.environ.get("VRL_TEST_DATA", "absent")) / "dclaw")
    for name in {field.name for field in fields(config)} & set(CHEAPEST):
        try:
            config = replace(config, **{name: CHEAPEST[name]})
        except VRLError:
            continue  # not one of this environment's choices
    return config


def digest(environment, seed):
    """A hash of an episode's first observations, rewards, ends and last frame."""
    actions = np.random.default_rng(0)
    found = hashlib.sha256()
    observation, _ = environment.reset(seed=seed)
    for _ in range(STEPS):
        add(found, observation)
        action = actions.uniform(-1, 1, environment.action_space.shape).astype(np.float32)
        observation, *outcome, info = environment.step(action)
        found.update(repr([float(value) for value in outcome]).encode())
        found.update(repr(info.get("success")).encode())
    add(found, observation)
    if environment.metadata.get("render_modes"):
        add(found, environment.render())
    return found.hexdigest()


def add(found, observation):
    parts = observation if isinstance(observation, dict) else {"": observation}
    for name in sorted(parts):
        found.update(name.encode() + np.ascontiguousarray(parts[name]).tobytes())


def digests(config, seeds):
    """Digests of the episodes of seeds, one after the other; None where it is not installed."""
    try:
        environment = config.build()
    except VRLError:
        return None
    try:
        return [digest(environment, seed) for seed in seeds]
    finally:
        environment.close()


@pytest.mark.parametrize("environment", sorted(vrl_envs.plugin.vrl_environments()))
def test_a_seed_is_an_episode_whatever_came_before_and_in_any_process(environment):
    command = [sys.executable, __file__, environment]
    elsewhere = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    here = {
        name: digests(config, (SEED, OTHER_SEED, SEED))
        for name, config in settings(environment).items()
    }
    said, _ = elsewhere.communicate()
    assert elsewhere.returncode == 0
    built = {name: found for name, found in here.items() if found is not None}
    if not built:
        pytest.skip(f"nothing of {environment} can be built here")
    assert [name for name, found in built.items() if found[0] != found[2]] == []
    assert {name: found[:2] for name, found in built.items()} == {
        name: found[::-1] for name, found in json.loads(said).items() if found is not None
    }


if __name__ == "__main__":
    chosen = reversed(settings(sys.argv[1]).items())
    print(json.dumps({name: digests(config, (OTHER_SEED, SEED)) for name, config in chosen}))
