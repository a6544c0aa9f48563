"""The dataset `dclaw`: who acts, episodes pure in their index, and what leads back from a store."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

import vrl_envs.plugin
from tiny_behaviours import save_actor
from tiny_dclaw import write_model
from vrl_core.config import from_data
from vrl_core.errors import VRLError
from vrl_core.ingest import write_store
from vrl_core.registry import Registry
from vrl_core.testing import check_dataset
from vrl_envs.behaviours.online import OnlineRun
from vrl_envs.behaviours.policy import BehaviourPolicy
from vrl_envs.behaviours.presets import online_preset
from vrl_envs.behaviours.state_shipping import ship_state_replay
from vrl_envs.dclaw.config import DClawDataset


@pytest.fixture(scope="module")
def assets(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("robel"))


@pytest.fixture(scope="module")
def behaviours(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("behaviours")
    for task in ("screw_random", "screw_random_dynamics"):
        for seed, quality in enumerate(("medium", "expert")):
            save_actor(folder / "policies" / task / f"{quality}.safetensors", 21, 9, seed)
    return str(folder)


def small(assets, behaviours=None, **settings):
    return DClawDataset(
        **{
            "task": "screw_random",
            "size": 8,
            "horizon": 4,
            "episodes": 2,
            "assets": assets,
            "behaviours": behaviours,
            **settings,
        }
    )


def test_an_episode_depends_on_configuration_and_index_alone(assets, behaviours):
    settings = {"task": "screw_random_dynamics", "quality": "medium_expert"}
    check_dataset(small(assets, behaviours, **settings), episodes=2)


def test_behaviours_see_the_whole_state_whatever_is_recorded(assets, behaviours):
    states = small(assets, behaviours, quality="expert", observation="state").build()[0]
    both = small(assets, behaviours, quality="expert").build()[0]
    np.testing.assert_array_equal(both.actions, states.actions)
    np.testing.assert_array_equal(both.rewards, states.rewards)
    assert both.observations["image"].shape == (5, 8, 8, 3)
    np.testing.assert_array_equal(both.observations["state"], states.observations["state"][:, :9])
    policy = BehaviourPolicy.read(Path(behaviours, "policies/screw_random/expert.safetensors"))
    mean, std = policy.distribution(states.observations["state"][2])
    drawn = np.arctanh(states.actions[2].astype(float))
    assert (np.abs(drawn - mean) < 6 * std + 1e-3).all()
    assert (both.info["behaviour"], both.truncations.tolist()) == ("expert", [False] * 3 + [True])


def test_two_behaviours_act_in_half_the_episodes_each(assets, behaviours):
    settings = {"observation": "state", "episodes": 4}
    halves = small(assets, behaviours, quality="medexp", **settings).build()
    assert [halves[index].info["behaviour"] for index in range(4)] == ["medium"] * 2 + [
        "expert"
    ] * 2
    expert = small(assets, behaviours, quality="expert", **settings).build()
    np.testing.assert_array_equal(expert[3].actions, halves[3].actions)
    uniform = small(assets, quality="random", observation="state", horizon=80).build()[0]
    assert uniform.actions.std() == pytest.approx(1 / np.sqrt(3), abs=0.04)
    assert uniform.info["success"] is True  # the valve starts on the mark


def test_shipped_behaviours_turn_robels_own_valve():
    folder = Path(os.environ.get("VRL_TEST_DATA", "")) / "dclaw"
    if not (folder / "robel-scenes").is_dir():
        pytest.skip("ROBEL's own model is not here: VRL_TEST_DATA names no folder with dclaw")
    settings = {"observation": "state", "assets": folder}
    halves = DClawDataset(quality="medium_expert", episodes=2, **settings).build()
    medium, expert = (episode.undiscounted_return for episode in halves)
    assert -500 < medium < 2500 < expert
    mixed = DClawDataset(quality="mixed", **settings).build()
    first, last = mixed[0].undiscounted_return, mixed[len(mixed) - 1].undiscounted_return
    assert first < -500 < 500 < last  # from uniform actions to medium


def test_default_numbers_of_episodes(assets, behaviours):
    settings = {"episodes": None, "observation": "state"}
    for quality, length in (("expert", 200), ("medexp", 400)):
        assert len(small(assets, behaviours, quality=quality, **settings).build()) == length


def test_a_store_leads_back_to_the_environment_and_names_no_folder(assets, tmp_path):
    config = small(assets, quality="random")
    store = write_store(config, tmp_path / "store", workers=1)
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    found = from_data("environments", dict(store.spec.environment), registry)
    assert (found.task, found.size, found.horizon, found.assets) == ("screw_random", 8, 4, None)
    assert (store.spec.behaviour, store.spec.render_quality) == ("random", "fast")
    assert len(np.unique(store[0].observations["image"], axis=0)) > 1


def test_a_behaviour_of_another_size_is_refused(assets, behaviours, tmp_path):
    actor = Path(behaviours, "policies/screw_random/expert.safetensors")
    target = tmp_path / "policies" / "screw_random" / "expert.safetensors"
    save_actor(target, 20, 9)
    with pytest.raises(VRLError, match=r"takes 20 state numbers and gives 9 .* has 21 and 9"):
        small(assets, str(tmp_path)).build()
    tensors = load_file(actor)
    save_file({"network.0.weight": tensors["network.0.weight"]}, target)
    with pytest.raises(VRLError, match="is no behaviour policy"):
        small(assets, str(tmp_path)).build()
    with pytest.raises(VRLError, match=r"No behaviour for screw_random 'medium' is in"):
        small(assets, str(tmp_path), quality="medium").build()


def test_bad_settings_are_explained():
    with pytest.raises(VRLError, match="Did you mean 'expert'"):
        DClawDataset(quality="exprt")
    with pytest.raises(VRLError, match="episodes is 1; it must be at least 2"):
        DClawDataset(quality="medium_expert", episodes=1)
    with pytest.raises(VRLError, match="Did you mean 'screw_random'"):
        DClawDataset(task="screw_randm")
    with pytest.raises(VRLError, match="seed is -1"):
        DClawDataset(seed=-1)


def test_fingerprint_knows_behaviours_and_the_named_model(assets, behaviours):
    config = small(assets, behaviours, quality="expert")
    before = config.fingerprint()
    assert before["versions"]["mujoco"] == "3.3.0"
    main = assets / "dclaw/assets/dclaw3xh_valve3_v0.xml"
    text = main.read_text()
    main.write_text(text + " ")
    assert config.fingerprint() != before
    main.write_text(text)
    assert config.fingerprint() == before


def test_behaviours_are_trained_on_scaled_rewards_and_act_in_data(monkeypatch, tmp_path):
    monkeypatch.setenv("VRL_HOME", str(tmp_path))
    write_model(tmp_path / "dclaw")  # where a fetched model would be
    preset = online_preset("screw_random", "mixed")
    config = replace(
        preset,
        environment=replace(preset.environment, horizon=5),
        steps=10,
        random_steps=5,
        batch_size=4,
        evaluate_every=10,
        evaluation_episodes=1,
        agent=replace(preset.agent, hidden_sizes=(8,)),
    )
    run = OnlineRun(config, tmp_path / "run")
    first, second = run.run()
    assert (second["steps"], run.updates) == (10, 5)
    recorded = np.concatenate([episode.rewards for episode in run.replay.episodes])
    np.testing.assert_allclose(run.replay.rewards[:10], 0.1 * recorded, rtol=1e-6)
    assert first["return"] == pytest.approx(recorded[:5].sum(), rel=1e-6)
    again = OnlineRun(config, tmp_path / "run").replay
    np.testing.assert_array_equal(again.rewards, run.replay.rewards)
    settings = {"horizon": 5, "episodes": 1, "observation": "state", "quality": "expert"}
    folder = str(tmp_path / "run")
    episode = DClawDataset(task="screw_random", behaviours=folder, **settings).build()[0]
    assert np.isfinite(episode.rewards).all()
    ship_state_replay(tmp_path / "run", destination=tmp_path / "shipped")
    for folder in ("run", "shipped"):
        settings = {"size": 8, "horizon": 5, "quality": "medium_replay"}
        settings |= {"behaviours": str(tmp_path / folder)}
        mixed = DClawDataset(task="screw_random", **settings).build()
        assert len(mixed) == 2
        for episode, played in zip(mixed, run.replay.episodes, strict=True):
            np.testing.assert_array_equal(episode.actions, played.actions)
            np.testing.assert_array_equal(episode.rewards, played.rewards)
            claw = played.observations[:, :9]
            np.testing.assert_array_equal(episode.observations["state"], claw)
            assert episode.observations["image"].shape == (6, 8, 8, 3)
    (tmp_path / "run" / "training.json").unlink()
    with pytest.raises(VRLError, match=r"cannot be simulated again: .*training\.json"):
        DClawDataset(
            task="screw_random", **settings | {"behaviours": str(tmp_path / "run")}
        ).build()
    with pytest.raises(VRLError, match="Ask for at most 2"):
        DClawDataset(task="screw_random", episodes=3, **settings).build()
