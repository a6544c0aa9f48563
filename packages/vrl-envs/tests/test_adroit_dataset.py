"""The dataset `adroit`: experts read from plain arrays, noise, and episodes pure in their index."""

import json
import os
import pickle  # noqa: TID251 - writes what the package must refuse
import shutil
import subprocess
import sys
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import vrl_envs.plugin
from tiny_adroit import expert_arrays, write_expert
from vrl_core.config import from_data
from vrl_core.errors import VRLError
from vrl_core.ingest import write_store
from vrl_core.registry import Registry
from vrl_core.soft_actor_critic import SoftActorCriticConfig
from vrl_core.testing import check_dataset
from vrl_envs.adroit.behaviours import behaviour_paths, read_expert
from vrl_envs.adroit.config import Adroit, AdroitDataset
from vrl_envs.adroit.demonstrators import demonstrator
from vrl_envs.adroit.environment import AdroitEnvironment
from vrl_envs.adroit.pickles import CONVERSION
from vrl_envs.adroit.tasks import ADROIT_TASKS
from vrl_envs.behaviours.online import OnlineRun, keep_policy
from vrl_envs.behaviours.policy import BehaviourPolicy
from vrl_envs.behaviours.presets import adroit_preset
from vrl_envs.behaviours.state_replay import read_state_replay
from vrl_envs.collection import episode_streams
from vrl_envs.dapg_policy import DAPGPolicy
from vrl_envs.releases import ROBOTICS

BALL_QUALITIES = ("expert", "medium", "mixed")
REAL = Path(os.environ.get("VRL_TEST_DATA", "")) / "adroit_experts"


@pytest.fixture
def experts(tmp_path):
    write_expert(tmp_path, "adroit_pen")
    return str(tmp_path)


def states(**settings) -> AdroitDataset:
    return AdroitDataset(**{"observation": "state", "horizon": 6, "episodes": 4, **settings})


def test_an_expert_is_a_tanh_network_between_shifts_and_scales(tmp_path):
    arrays = expert_arrays("adroit_door")
    policy = read_expert("adroit_door", str(write_expert(tmp_path, "adroit_door").parent))
    state = np.linspace(-1, 1, 39)
    value = (state - arrays["in_shift"]) / (arrays["in_scale"] + 1e-8)
    for number in range(2):
        value = np.tanh(arrays[f"weight_{number}"] @ value + arrays[f"bias_{number}"])
    value = arrays["weight_2"] @ value + arrays["bias_2"]
    expected = value * arrays["out_scale"] + arrays["out_shift"]
    np.testing.assert_allclose(policy.action(state), expected, rtol=1e-12)


def test_empty_and_missing_scales_change_nothing(tmp_path):
    arrays = expert_arrays("adroit_pen", scaled=False)
    np.savez(tmp_path / "empty.npz", **arrays)
    plain = {name: value for name, value in arrays.items() if value.size}
    np.savez(tmp_path / "missing.npz", **plain)
    state = np.linspace(-1, 1, 45)
    hidden = np.tanh(arrays["weight_0"] @ state + arrays["bias_0"])
    hidden = np.tanh(arrays["weight_1"] @ hidden + arrays["bias_1"])
    expected = arrays["weight_2"] @ hidden + arrays["bias_2"]
    for name in ("empty", "missing"):
        found = DAPGPolicy.read(tmp_path / f"{name}.npz").action(state)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_an_experts_actions_are_its_policys_and_lead_to_the_next_observation(experts):
    episode = states(quality="expert", behaviours=experts).build()[1]
    policy = read_expert("adroit_pen", experts)
    env = AdroitEnvironment(Adroit(observation="state", horizon=6))
    observation, _ = env.reset(seed=episode.info["seed"])
    for step, action in enumerate(episode.actions):
        np.testing.assert_array_equal(episode.observations["state"][step], observation)
        wanted = np.clip(policy.action(env.state()), -1, 1).astype(np.float32)
        np.testing.assert_array_equal(action, wanted)
        observation, reward, *_ = env.step(action)
        assert episode.rewards[step] == np.float32(reward)
    np.testing.assert_array_equal(episode.observations["state"][-1], observation)
    assert episode.truncations.tolist() == [False] * 5 + [True]


def test_medium_has_noise_and_medium_expert_is_half_of_each(experts):
    dataset = states(quality="medexp", behaviours=experts).build()
    episodes = [dataset[index] for index in range(4)]
    facts = [(episode.info["behaviour"], episode.info["noise"]) for episode in episodes]
    assert facts == [("medium", 0.5)] * 2 + [("expert", 0.0)] * 2
    alone = states(quality="expert", behaviours=experts).build()
    np.testing.assert_array_equal(alone[3].actions, episodes[3].actions)
    quiet = states(quality="medium", behaviours=experts, medium_noise=0.0).build()
    np.testing.assert_array_equal(quiet[3].actions, episodes[3].actions)
    loud = states(quality="medium", behaviours=experts).build()
    apart = (loud[0].actions - quiet[0].actions)[0]
    assert 0.1 < apart.std() < 1


def test_noise_of_mixed_falls_from_twice_the_mediums_to_none(experts):
    dataset = states(quality="medium_replay", behaviours=experts, episodes=5).build()
    assert [dataset[index].info["noise"] for index in range(5)] == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert dataset.spec.behaviour == "mixed"
    last = states(quality="expert", behaviours=experts, episodes=5).build()[4]
    np.testing.assert_array_equal(dataset[4].actions, last.actions)


def test_of_the_ball_a_script_acts_with_noise_that_its_quality_has():
    ball = {"task": "adroit_relocate", "horizon": 6}
    expert, medium, mixed = (states(quality=each, **ball).build() for each in BALL_QUALITIES)
    env = Adroit(task="adroit_relocate", observation="state", horizon=6).build()
    teacher = demonstrator(env)
    for index in (1, 0, 1):  # any order
        env.reset(seed=expert[index].info["seed"])
        teacher.begin()
        for action in expert[index].actions:
            np.testing.assert_array_equal(action, teacher.action())
            env.step(action)
    assert [each[0].info["noise"] for each in (expert, medium)] == [0, 0.13]
    assert [mixed[index].info["noise"] for index in range(4)] == pytest.approx(
        [0.26, 0.52 / 3, 0.26 / 3, 0]
    )
    assert (medium[0].actions != expert[0].actions).any()
    assert states(quality="expert", noise=0.1, **ball).build()[0].info["noise"] == 0.1
    config = states(quality="expert", **ball)
    assert [path.name for path in behaviour_paths(config)] == ["demonstrators.py"]
    check_dataset(config, episodes=2, spawn=False)


def test_random_actions_are_uniform_and_need_no_policy():
    episode = states(horizon=40).build()[0]
    assert episode.actions.shape == (40, 24)
    assert episode.actions.std() == pytest.approx(1 / np.sqrt(3), abs=0.04)
    assert episode.info["success"] is False


def test_an_episode_depends_on_configuration_and_index_alone(experts):
    settings = {"episodes": 2, "horizon": 3}
    mixed = states(quality="mixed", **settings, behaviours=experts)
    check_dataset(mixed, episodes=2, spawn=False)
    pictures = {**settings, "observation": "both", "size": 16}
    check_dataset(states(quality="random", **pictures), episodes=2, spawn=False)


def test_store_leads_back_to_the_environment(tmp_path, experts):
    config = AdroitDataset(
        quality="expert", episodes=1, size=8, horizon=5, behaviours=experts, camera="fixed"
    )
    store = write_store(config, tmp_path / "store", workers=1)
    spec, episode = store.spec, store[0]
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    assert from_data("environments", dict(spec.environment), registry) == config.environment()
    assert (spec.task, spec.behaviour, spec.render_quality) == ("adroit_pen", "expert", "fast")
    assert spec.versions["gymnasium-robotics"] == "1.4.2"
    assert episode.observations["image"].shape == (6, 8, 8, 3)
    assert episode.observations["state"].shape == (6, 24)
    assert len(np.unique(episode.observations["image"], axis=0)) > 2


def test_default_numbers_of_episodes():
    assert len(AdroitDataset(observation="state").build()) == 200


def test_fingerprint_knows_the_expert_and_the_simulator(tmp_path, experts):
    config = states(quality="expert", behaviours=experts)
    fingerprint = config.fingerprint()
    assert fingerprint["versions"] == ROBOTICS.supported
    assert fingerprint != states(quality="expert", behaviours=experts, noise=0.1).fingerprint()
    write_expert(tmp_path, "adroit_pen", scaled=False)
    assert config.fingerprint() != fingerprint


def test_bad_settings_are_explained():
    for settings, message in [
        ({"quality": "exprt"}, "Did you mean 'expert'"),
        ({"quality": "mixed", "episodes": 1}, "episodes is 1; it must be at least 2"),
        ({"quality": "medium_expert", "episodes": 1}, "episodes is 1; it must be at least 2"),
        ({"quality": "expert", "noise": -1.0}, "noise is -1"),
        ({"quality": "medium", "medium_noise": -1.0}, "medium_noise is -1"),
        ({"quality": "mixed", "mixed_noise": -0.1}, "mixed_noise is -0.1"),
        ({"task": "adroit_dor"}, "Did you mean 'adroit_door'"),
    ]:
        with pytest.raises(VRLError, match=message):
            AdroitDataset(**settings)


def test_missing_experts_are_explained(tmp_path, experts):
    folder = tmp_path / "run"
    (folder / "policies").mkdir(parents=True)
    with pytest.raises(VRLError, match=r"(?s)No behaviour for adroit_relocate.*hand_dapg.*FOLDER"):
        states(task="adroit_relocate", quality="medium", behaviours=str(folder)).build()
    with pytest.raises(VRLError, match=r"no expert .*adroit_door\.npz; the folder holds adroit_pe"):
        states(task="adroit_door", quality="expert", behaviours=experts).build()
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(VRLError, match="the folder holds nothing"):
        states(quality="expert", behaviours=str(empty)).build()


def test_experts_of_other_tasks_or_shapes_are_refused(tmp_path):
    arrays = expert_arrays("adroit_pen")
    wrong = [
        (expert_arrays("adroit_door"), r"takes 39 state numbers and gives 28.*has 45 and 24"),
        ({**arrays, "weight_1": np.zeros((5, 9))}, r"weight_1 of shape \(5, 9\).*where 5 numbers"),
        ({**arrays, "in_shift": np.zeros(3)}, r"in_shift of shape \(3,\); expected \(45,\)"),
        ({**arrays, "bias_0": np.full(5, np.nan)}, "weight_0 or bias_0 that are none"),
        ({"weights": np.zeros(3)}, "it holds weights; weight_0, bias_0"),
        ({"weight_0": np.array([{}])}, "cannot be read as plain arrays"),
    ]
    for found, message in wrong:
        np.savez(tmp_path / "adroit_pen.npz", **found)
        with pytest.raises(VRLError, match=message):
            states(quality="expert", behaviours=str(tmp_path)).build()
    (tmp_path / "adroit_pen.npz").write_bytes(b"no archive")
    with pytest.raises(VRLError, match="cannot be read"):
        states(quality="expert", behaviours=str(tmp_path)).build()


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Train an agent for some steps; its folder is one of behaviours."""
    folder = tmp_path_factory.mktemp("run")
    settings = replace(
        adroit_preset("adroit_pen"),
        steps=60,
        random_steps=20,
        batch_size=4,
        evaluate_every=30,
        evaluation_episodes=1,
        environment=Adroit(observation="state", horizon=30, terminate_when_dropped=True),
        agent=SoftActorCriticConfig(hidden_sizes=(8,)),
    )
    list(OnlineRun(settings, folder).run())
    step = min((folder / "steps").glob("*.safetensors"))
    keep_policy(step, folder, "adroit_pen", "medium")
    return folder


def test_own_agents_act_or_are_replayed(run):
    own = {"behaviours": str(run), "horizon": 30, "terminate_when_dropped": True}
    dataset = states(quality="medium_expert", **own).build()
    assert [dataset[index].info["behaviour"] for index in range(4)] == ["medium"] * 2 + [
        "expert"
    ] * 2
    policy = BehaviourPolicy.read(run / "policies" / "adroit_pen" / "expert.safetensors")
    seed, random = episode_streams(0, 3)
    env = Adroit(observation="state", horizon=30, terminate_when_dropped=True).build()
    env.reset(seed=seed)
    episode = dataset[3]
    np.testing.assert_array_equal(episode.actions[0], policy.sample(env.state(), random))
    assert "noise" not in episode.info

    recorded, _ = read_state_replay(run / "replays" / "adroit_pen.safetensors")
    replayed = states(quality="mixed", **own | {"episodes": None}).build()
    assert len(replayed) == len(recorded)
    for index in range(len(recorded)):
        rows = recorded.rows(index)
        np.testing.assert_array_equal(replayed[index].rewards, recorded.rewards[rows])
        assert replayed[index].terminations[-1] == recorded.terminated[index]


def test_a_replays_episodes_end_where_the_learners_did_though_nothing_ends_them(run):
    whole = states(quality="mixed", episodes=None, behaviours=str(run), horizon=30).build()
    recorded, _ = read_state_replay(run / "replays" / "adroit_pen.safetensors")
    assert [len(whole[index].actions) for index in range(len(whole))] == recorded.lengths.tolist()
    assert whole[0].truncations[-1]
    assert not whole[0].terminations[-1]


@pytest.mark.parametrize(
    ("name", "value", "recorded"), [("action_repeat", 2, 1), ("horizon", 31, 30)]
)
def test_recorded_actions_are_for_the_pace_they_were_recorded_at(run, name, value, recorded):
    settings = {"behaviours": str(run), "horizon": 30, "episodes": None, name: value}
    with pytest.raises(VRLError, match=f"recorded with {name} {recorded}, not {value}"):
        states(quality="mixed", **settings).build()


def test_noise_is_for_experts_that_have_none_of_their_own(run):
    for name, quality in (
        ("noise", "expert"),
        ("medium_noise", "medium"),
        ("mixed_noise", "mixed"),
    ):
        with pytest.raises(VRLError, match=f"{name} is for DAPG's experts.*stochastic themselves"):
            states(quality=quality, behaviours=str(run), **{name: 0.2}).build()


def test_agents_of_another_task_are_refused(run):
    policies = run / "policies"
    (policies / "adroit_door").mkdir(exist_ok=True)
    shutil.copy(policies / "adroit_pen" / "expert.safetensors", policies / "adroit_door")
    with pytest.raises(VRLError, match=r"takes 45 state numbers and gives 24.*has 39 and 28"):
        states(task="adroit_door", quality="expert", behaviours=str(run)).build()


FAKE_POLICY = """
import json, sys, types, pickle, torch
module = types.ModuleType("mjrl"); sys.modules["mjrl"] = module
class FCNetwork(torch.nn.Module):
    pass
class MLP:
    pass
for kind in (FCNetwork, MLP):
    kind.__module__ = "mjrl"; setattr(module, kind.__name__, kind)
torch.manual_seed(0)
network, policy = FCNetwork(), MLP()
sizes = (45, 5, 5, 24)
network.fc_layers = torch.nn.ModuleList(map(torch.nn.Linear, sizes[:-1], sizes[1:]))
network.nonlinearity = torch.tanh
network.in_shift, network.in_scale = torch.full((45,), 0.5), torch.full((45,), 2.0)
network.out_shift = network.out_scale = None
policy.model, policy.log_std = network, torch.zeros(24)
pickle.dump(policy, open("pen-v0.pickle", "wb"))
print(json.dumps([p.detach().tolist() for p in network.parameters()]))
"""


def test_pickled_experts_are_refused_with_lines_that_convert_them(tmp_path):
    """The lines run on a pickle of DAPG's make, whose classes are nowhere when they are read."""
    run = {"cwd": tmp_path, "capture_output": True, "text": True, "check": True}
    made = subprocess.run([sys.executable, "-c", FAKE_POLICY], **run)
    with pytest.raises(VRLError, match="can run any code") as refused:
        states(quality="expert", behaviours=str(tmp_path)).build()
    assert CONVERSION in str(refused.value)
    command = f"python convert.py {tmp_path / 'pen-v0.pickle'} {tmp_path / 'adroit_pen.npz'}"
    assert command in str(refused.value)
    (tmp_path / "convert.py").write_text(CONVERSION)
    subprocess.run([sys.executable, *command.split()[1:]], **run)
    policy = read_expert("adroit_pen", str(tmp_path))
    expected = [np.float32(parameter) for parameter in json.loads(made.stdout)]
    found = [array for layer in policy.layers for array in layer]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (policy.in_shift == 0.5).all()
    assert (policy.in_scale == 2).all()
    assert (policy.out_scale == 1).all()


class Intruder:
    def __reduce__(self):
        return os.system, ("touch intruded",)


def test_the_lines_run_no_code_of_a_pickles(tmp_path):
    demonstration = {
        "actions": np.zeros((2, 24)),
        "observations": np.ones((2, 45)),
        "rewards": np.zeros(2),
        "init_state_dict": OrderedDict(qpos=np.arange(30.0)),
        "intruder": Intruder(),
    }
    with (tmp_path / "pen-v0_demos.pickle").open("wb") as file:
        pickle.dump([demonstration], file)
    command = [sys.executable, "-c", CONVERSION, "pen-v0_demos.pickle", "pen.npz"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert not (tmp_path / "intruded").exists()
    with np.load(tmp_path / "pen.npz") as found:
        assert {*found.files} == {"actions_00", "observations_00", "rewards_00", "init_qpos_00"}
        np.testing.assert_array_equal(found["init_qpos_00"], np.arange(30))


def test_the_page_has_the_same_lines():
    page = Path(__file__).parents[3] / "docs" / "tasks" / "adroit.md"
    if not page.is_file():
        pytest.skip("the documentation is not beside this package")
    assert CONVERSION in page.read_text()


@pytest.mark.skipif(not REAL.is_dir(), reason="VRL_TEST_DATA has no adroit_experts")
@pytest.mark.parametrize("task", sorted(ADROIT_TASKS))
def test_published_experts_have_their_known_returns(task):
    known = {
        "adroit_pen": {0: 9164, 1: 2040, 3: 9230},
        "adroit_door": {0: 3055},
        "adroit_hammer": {0: 16299},
        "adroit_relocate": {2: 4731},
    }
    policy = read_expert(task, str(REAL))
    env = AdroitEnvironment(Adroit(task=task, observation="state"))
    for seed, expected in known[task].items():
        env.reset(seed=seed)
        total, over, told = 0.0, False, {}
        while not over:
            action = np.clip(policy.action(env.state()), -1, 1).astype(np.float32)
            _, reward, _, over, told = env.step(action)
            total += reward
        assert total == pytest.approx(expected, rel=0.01)
        assert told["success"] is (expected > 2100)
