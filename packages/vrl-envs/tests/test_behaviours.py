"""Behaviours: the policy's mathematics, replay files, cards, and shipping them from a run."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors

from tiny_behaviours import save_actor, save_behaviours
from vrl_core.errors import VRLError
from vrl_envs.behaviours.action_replay import holds_actions_alone, read_action_replay
from vrl_envs.behaviours.card import BehaviourCard, Returns, read_card
from vrl_envs.behaviours.policy import BehaviourPolicy, PolicyHistory
from vrl_envs.behaviours.presets import PRESETS, preset
from vrl_envs.behaviours.replay_file import pack, read_replay, write_replay
from vrl_envs.behaviours.shipped import SHIPPED, available, policy_path
from vrl_envs.behaviours.shipping import ship, ship_replay
from vrl_envs.behaviours.train import TrainBehaviour, train


class FixedNoise:
    """Stands in for a generator: the normal numbers it was given."""

    def __init__(self, values):
        self.values = np.asarray(values)

    def standard_normal(self, size):
        assert size == len(self.values)
        return self.values


def test_policy_by_hand(tmp_path):
    path = tmp_path / "policy.safetensors"
    weights = {
        "network.0.weight": np.array([[1.0, 0.0], [0.0, -1.0]], np.float32),
        "network.0.bias": np.array([0.0, 1.0], np.float32),
        "network.2.weight": np.array([[0.5, 0.25], [0.0, 0.0]], np.float32),
        "network.2.bias": np.array([0.0, 0.0], np.float32),
    }
    save_file(weights, path)
    policy = BehaviourPolicy.read(path)
    mean, std = policy.distribution(np.array([2.0, 3.0]))
    # hidden: relu(2) = 2, relu(1 - 3) = 0; mean 0.5 * 2; raw 0 gives log std -5 + 3.5
    assert mean == pytest.approx([1.0])
    assert std == pytest.approx([np.exp(-1.5)])
    action = policy.sample(np.array([2.0, 3.0]), FixedNoise([2.0]))
    assert action == pytest.approx([np.tanh(1 + 2 * np.exp(-1.5))], abs=1e-7)
    assert (policy.observation_size, policy.hidden_sizes, policy.action_size) == (2, (2,), 1)


def test_policy_equals_torchs(tmp_path):
    actor = save_actor(tmp_path / "policy.safetensors", 24, 6)
    policy = BehaviourPolicy.read(tmp_path / "policy.safetensors")
    states = np.random.default_rng(0).normal(size=(20, 24)).astype(np.float32)
    with torch.no_grad():
        expected = [part.numpy() for part in actor.distribution(torch.from_numpy(states))]
    for row, state in enumerate(states):
        for found, wanted in zip(policy.distribution(state), expected, strict=True):
            np.testing.assert_allclose(found, wanted[row], atol=1e-6)


def test_files_that_are_no_policy_are_explained(tmp_path):
    path = tmp_path / "policy.safetensors"
    save_file({"encoder.weight": np.zeros((2, 2), np.float32)}, path)
    with pytest.raises(VRLError, match="no behaviour policy: it holds encoder"):
        BehaviourPolicy.read(path)
    path.write_bytes(b"torn")
    with pytest.raises(VRLError, match="cannot be read"):
        BehaviourPolicy.read(path)


def test_replay_keeps_what_its_precision_promises(tmp_path):
    rng = np.random.default_rng(1)
    positions = np.concatenate(
        [rng.uniform(0, 3000, (2, 11, 3)), rng.uniform(-2, 2, (2, 11, 6))], -1
    ).astype(np.float32)
    actions = rng.uniform(-1, 1, (2, 10, 6)).astype(np.float16).astype(np.float32)
    rewards = rng.uniform(size=(2, 10)).astype(np.float32)
    write_replay(tmp_path / "replay.safetensors", pack(positions, actions, rewards))
    replay = read_replay(tmp_path / "replay.safetensors")
    np.testing.assert_array_equal(replay.actions, actions)
    np.testing.assert_array_equal(replay.rewards, rewards)
    for episode in range(2):
        found = replay.positions(episode)
        np.testing.assert_array_equal(found[:, :3], positions[episode, :, :3])
        np.testing.assert_allclose(found[:, 3:], positions[episode, :, 3:], atol=1e-3)


def test_replay_refuses_what_it_cannot_hold():
    positions, actions, rewards = np.zeros((1, 5, 9)), np.zeros((1, 4, 6)), np.zeros((1, 4))
    with pytest.raises(VRLError, match="one more position"):
        pack(positions[:, :4], actions, rewards)
    positions[0, 2, 5] = 1e6  # larger than any half
    with pytest.raises(VRLError, match="joints are not finite"), np.errstate(over="ignore"):
        pack(positions, actions, rewards)


def test_card_survives_a_file(tmp_path):
    card = BehaviourCard(
        task="walker_walk",
        quality="expert",
        action_size=6,
        hidden_sizes=(256, 256),
        observation_size=24,
        returns=Returns.of([900.0, 1000.0]),
        training_steps=10,
        training={"seed": 1},
        command="train",
        date="2026-01-01",
        versions={"mujoco": "3.3.0"},
    )
    card.write(tmp_path / "card.json")
    assert read_card(tmp_path / "card.json") == card
    assert (card.returns.mean, card.returns.std, card.returns.episodes) == (950, 50, 2)


def run_folder(folder):
    """A training run of two episodes, as `BehaviourRun` leaves it."""
    (folder / "policies").mkdir(parents=True)
    (folder / "training.json").write_text(json.dumps(asdict(PRESETS["walker_walk", "mixed"])))
    save_actor(folder / "policies" / "step_00001000.safetensors", 24, 6)
    rng = np.random.default_rng(0)
    arrays = {
        "positions": rng.normal(size=(2, 501, 9)),
        "actions": rng.uniform(-1, 1, (2, 500, 6)),
        "rewards": np.stack([np.zeros(500), np.ones(500)]),
    }
    tensors = {f"replay.{k}": torch.tensor(v, dtype=torch.float32) for k, v in arrays.items()}
    save_tensors(tensors, folder / "resume.safetensors")
    return folder


def test_shipping_writes_policy_replay_and_cards(tmp_path):
    run, destination = run_folder(tmp_path / "run"), tmp_path / "shipped"
    card = ship(run, 1000, "walker_walk", "medium", 1, destination=destination)
    assert card.command == "python -m vrl_envs.behaviours.train --task walker_walk --preset mixed"
    assert card.hidden_sizes == (16, 8)
    assert read_card(destination / "policies/walker_walk/medium.json") == card
    replay_card = ship_replay(run, 1, first=1, destination=destination)
    assert replay_card.returns.mean == 500
    assert available(destination) == {"walker_walk": ("medium", "mixed")}


def test_shipping_explains_what_is_missing(tmp_path):
    run = run_folder(tmp_path / "run")
    with pytest.raises(VRLError, match="nearest is 1000"):
        ship(run, 2000, "walker_walk", "medium", destination=tmp_path)
    with pytest.raises(VRLError, match="trained on walker_walk, not cheetah_run"):
        ship(run, 1000, "cheetah_run", "medium", destination=tmp_path)
    with pytest.raises(VRLError, match="the run has 2"):
        ship_replay(run, 3, destination=tmp_path)


def test_missing_behaviours_name_those_that_exist(tmp_path):
    save_behaviours(tmp_path)
    assert available(tmp_path) == {"walker_walk": ("expert", "medium", "medium_expert", "mixed")}
    with pytest.raises(VRLError, match=r"nearest task is 'walker_walk'.*expert, medium"):
        policy_path("walker_run", "expert", tmp_path)


def test_presets_of_other_tasks_are_walkers():
    assert preset("hopper_hop", "expert").task == "hopper_hop"
    assert preset("hopper_hop", "expert").steps == PRESETS["walker_walk", "expert"].steps
    with pytest.raises(VRLError, match="Did you mean 'expert'"):
        preset("walker_walk", "exprt")


def test_training_command_uses_the_preset_and_what_was_said(tmp_path):
    train(TrainBehaviour(output=tmp_path, task="walker_walk", steps=500, seed=9))
    training = json.loads((tmp_path / "training.json").read_text())
    expected = replace(PRESETS["walker_walk", "expert"], steps=500, seed=9)
    assert training == json.loads(json.dumps(asdict(expected)))
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1
    with pytest.raises(VRLError, match="Did you mean 'cheetah_run'"):
        train(TrainBehaviour(output=tmp_path, task="cheetah_rnu"))


def test_shipped_behaviours_are_small_and_have_fitting_cards():
    files = [path for path in SHIPPED.rglob("*") if path.suffix in (".safetensors", ".json")]
    assert sum(path.stat().st_size for path in files) < 42e6
    assert available() == {
        "adroit_door": ("expert", "medium", "medium_expert", "mixed"),
        "adroit_hammer": ("expert", "medium", "medium_expert", "mixed"),
        "adroit_pen": ("expert", "medium", "medium_expert", "mixed"),
        "cartpole_swingup": ("medium", "mixed"),
        "cheetah_run": ("expert", "medium", "medium_expert", "mixed"),
        "halfcheetah": ("expert", "medium", "medium_expert", "mixed"),
        "halfcheetah_capped": ("mixed",),
        "hiv": ("expert", "medium", "medium_expert", "mixed"),
        "hopper": ("medium", "mixed"),
        "humanoid_walk": ("expert", "medium", "medium_expert", "mixed"),
        "screw_fixed": ("expert", "medium", "medium_expert", "mixed"),
        "screw_random": ("expert", "medium", "medium_expert", "mixed"),
        "screw_random_dynamics": ("expert", "medium", "medium_expert", "mixed"),
        "walker_walk": ("expert", "medium", "medium_expert", "mixed"),
    }
    for path in SHIPPED.glob("policies/*/*.safetensors"):
        kind = PolicyHistory if path.stem == "mixed" else BehaviourPolicy
        card, policy = read_card(path.with_suffix(".json")), kind.read(path)
        assert (card.task, card.quality) == (path.parent.name, path.stem)
        assert (card.observation_size, card.action_size) == (
            policy.observation_size,
            policy.action_size,
        )
    for path in SHIPPED.glob("replays/*.safetensors"):
        card = read_card(path.with_suffix(".json"))
        if holds_actions_alone(path):
            replay = read_action_replay(path)
            whole = card.training_steps / card.extra.get("one_of", 1)
            assert card.returns.episodes == len(replay)
            assert len(replay.actions) == pytest.approx(whole, rel=0.1)
        else:
            returns = read_replay(path).rewards.sum(1, dtype=np.float64)
            assert card.returns == Returns.of(returns)
