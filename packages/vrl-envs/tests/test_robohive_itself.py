"""The environment and the dataset `robohive` with RoboHive itself and its models.

`hatch run robohive:test` runs them. Skipped where RoboHive is not installed or `VRL_TEST_DATA`
names no folder with `simhive` (and, for the experts, `adroit_experts`).
"""

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from vrl_core.errors import VRLError
from vrl_envs.robohive.config import RoboHive, RoboHiveDataset
from vrl_envs.robohive.package import load_robohive
from vrl_envs.robohive.tasks import IDS, KITCHEN_GOALS, check_task

DATA = Path(os.environ.get("VRL_TEST_DATA", "/nowhere"))
EXPERTS = DATA / "adroit_experts"
pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("robohive") is None,
        reason="RoboHive is not installed here: hatch run robohive:test",
    ),
    pytest.mark.skipif(
        not (DATA / "simhive").is_dir(),
        reason="VRL_TEST_DATA names no folder with RoboHive's models (simhive)",
    ),
]


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    """An empty cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VRL_HOME", str(tmp_path_factory.mktemp("home")))
        yield


def config(task, **settings):
    return RoboHive(task=task, assets=DATA / "simhive", rendering="fast", **settings)


def episode(env, seed, steps=8):
    shown = [env.reset(seed=seed)[0]]
    rng = np.random.default_rng(0)
    for _ in range(steps):
        shown.append(env.step(rng.uniform(-1, 1, env.action_space.shape))[0])
    return b"".join(each[name].tobytes() for each in shown for name in sorted(each))


def refusal(task):
    try:
        check_task(task)
    except VRLError as error:
        return str(error)
    return ""


def test_static_ids_are_robohives_and_all_its_others_are_accepted_or_explained():
    load_robohive(DATA / "simhive")
    registered = [name for name, spec in gymnasium.registry.items() if "robohive" in str(spec)]
    assert set(IDS) < set(registered)
    refused = {name: said for name in registered if (said := refusal(name))}
    assert all("pretrained network" in said for said in refused.values())
    networks = {re.split(r"_v|-v", name)[1] for name in refused}
    assert networks == {"r3m18", "r3m34", "r3m50", "rrl18", "rrl34", "rrl50", "vc1s"}


@pytest.mark.parametrize("task", ["baoding-v1", "door-v1", "FK1_MicroOpenRandom-v4"])
def test_a_seed_fixes_states_and_frames_in_any_process(task, capfd):
    env = config(task, observation="both", size=32).build()
    first = episode(env, 3)
    other = episode(env, 4, steps=20)
    frame = 32 * 32 * 3
    assert (other[:frame] != first[:frame]) == (task != "baoding-v1")  # which always begins alike
    assert episode(env, 3) == first
    env.close()
    assert capfd.readouterr().out == ""
    program = (
        "import hashlib, sys; sys.path.append(sys.argv[1]); import test_robohive_itself as t; "
        "env = t.config(sys.argv[2], observation='both', size=32).build(); "
        "print(hashlib.sha256(t.episode(env, 3)).hexdigest())"
    )
    words = [sys.executable, "-c", program, str(Path(__file__).parent), task]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert said.split() == [hashlib.sha256(first).hexdigest()]


def test_kitchen_objects_are_robohives():
    env = config("kitchen_partial", observation="state").build()
    env.reset(seed=0)
    assert env.step(np.zeros(9))[1] == 0.0
    inner = env.inner
    assert set().union(*KITCHEN_GOALS.values()) < set(inner.obj)
    for count, (joint, goal) in enumerate(env.config.wanted().items(), 1):
        env.data.qpos[inner.obj[joint]["dof_adr"]] = goal
        env.data.qvel[:] = 0
        inner.sim.forward()
        assert env.step(np.zeros(9))[1] == count
    with pytest.raises(VRLError, match=r"no camera .*'top_cm'.*Did you mean 'top_cam'"):
        config("kitchen_partial", cameras="top_cm").build()


@pytest.mark.skipif(not EXPERTS.is_dir(), reason="needs VRL_TEST_DATA/adroit_experts")
@pytest.mark.parametrize(
    ("task", "episodes", "successes"),
    [("pen-v1", 10, 8), ("door-v1", 2, 2), ("hammer-v1", 2, 2), ("relocate-v1", 2, 2)],
)
def test_dapgs_experts_succeed(task, episodes, successes):
    data = RoboHiveDataset(
        task=task,
        quality="expert",
        episodes=episodes,
        observation="state",
        behaviours=str(EXPERTS),
        assets=DATA / "simhive",
    ).build()
    assert sum(data[n].info["success"] for n in range(episodes)) >= successes
