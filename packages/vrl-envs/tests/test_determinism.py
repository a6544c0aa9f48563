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
from vrl_envs.releases import installed

REGISTRY = Registry(installed=False, modules=(vrl_envs.plugin,))
PACKAGES = {
    "metaworld": "metaworld",
    "adroit": "gymnasium-robotics",
    "kitchen": "gymnasium-robotics",
    "ogbench": "ogbench",
    "robohive": "robohive",
}
"""Simulators that need not be installed."""
MODELS = {"dclaw": "dclaw", "robohive": "simhive"}
"""Where the test data has models that no package has."""
DATA = os.environ.get("VRL_TEST_DATA")
CHEAPEST = {"size": 16, "rendering": "fast", "observation": "both"}
SEED, OTHER_SEED, STEPS = 3, 4, 4


def settings(environment):
    """What the environment shows, by name: small, drawn fast, with states beside the images."""
    shown = shown_settings(REGISTRY, [environment])
    return {each.name: cheap(environment, each.config) for each in shown}


def cheap(environment, config):
    if environment in MODELS and (DATA or environment == "dclaw"):
        # D'Claw's would be fetched, which tests do not.
        config = replace(config, assets=Path(DATA or "absent") / MODELS[environment])
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
    """Digests of the episodes of seeds, one after the other, or why there are none."""
    try:
        environment = config.build()
    except VRLError as error:
        return str(error)
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
    built = {name: found for name, found in here.items() if not isinstance(found, str)}
    elsewhere = {name: found[::-1] for name, found in json.loads(said).items() if name in built}
    assert [name for name, found in built.items() if found[0] != found[2]] == []
    assert {name: found[:2] for name, found in built.items()} == elsewhere
    tell_what_is_left_out(environment, here.keys() - built.keys(), here)


def tell_what_is_left_out(environment, names, found):
    """Skip the test, with the reasons, for tasks that were not built; fail if all ought to be."""
    reasons = "; ".join(sorted({found[name] for name in names}))
    if len(names) == len(found) and is_here(environment):
        pytest.fail(f"{environment} is installed, and none of its tasks can be built: {reasons}")
    if names:
        pytest.skip(f"{environment} without {', '.join(sorted(names))}: {reasons}")


def is_here(environment):
    """Whether a simulator is installed and its models are in the test data, if it needs any."""
    there = environment not in PACKAGES or installed(PACKAGES[environment]) is not None
    return there and (environment not in MODELS or DATA is not None)


def test_an_installed_simulator_that_builds_nothing_fails_and_a_missing_task_is_told(monkeypatch):
    with pytest.raises(pytest.fail.Exception, match=r"desk is installed.*: no reason"):
        tell_what_is_left_out("desk", {"a"}, {"a": "no reason"})
    with pytest.raises(pytest.skip.Exception, match=r"desk without a: no model"):
        tell_what_is_left_out("desk", {"a"}, {"a": "no model", "b": ["digest"]})
    monkeypatch.setitem(PACKAGES, "desk", "a-package-that-nobody-has")
    with pytest.raises(pytest.skip.Exception, match=r"desk without a"):
        tell_what_is_left_out("desk", {"a"}, {"a": "not installed"})
    tell_what_is_left_out("desk", set(), {"a": ["digest"]})


if __name__ == "__main__":
    chosen = reversed(settings(sys.argv[1]).items())
    print(json.dumps({name: digests(config, (OTHER_SEED, SEED)) for name, config in chosen}))
