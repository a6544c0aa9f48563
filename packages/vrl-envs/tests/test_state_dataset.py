"""Collected and replayed episodes of state tasks: pure functions of settings and index."""

import numpy as np
import pytest

import vrl_envs.plugin
from tiny_behaviours import save_actor
from vrl_core.config import from_data
from vrl_core.errors import VRLError
from vrl_core.registry import Registry
from vrl_core.testing import check_dataset
from vrl_envs.behaviours.state_replay import StateReplay, write_state_replay
from vrl_envs.gym_mujoco.config import GymMuJoCoDataset
from vrl_envs.hiv.config import HIVDataset


def replay(observation=17, action=6):
    """Two episodes, of 3 and 2 steps; the second terminates."""
    rng = np.random.default_rng(0)
    return StateReplay(
        observations=rng.normal(size=(7, observation)).astype(np.float32),
        actions=rng.uniform(-1, 1, (5, action)).astype(np.float32),
        rewards=np.arange(5, dtype=np.float32),
        velocities=np.array([[1, 0], [2, 0], [9, 0], [4, 0], [0, 0]], np.float32),
        lengths=np.array([3, 2]),
        terminated=np.array([False, True]),
    )


@pytest.mark.parametrize(
    "config",
    [
        GymMuJoCoDataset(task="hopper", episodes=3),
        GymMuJoCoDataset(task="ant_angle", episodes=1),
        HIVDataset(episodes=2, days=6),
    ],
)
def test_conformance(config):
    check_dataset(config, episodes=2, spawn=False)


def test_episodes_are_aligned_and_seeded():
    dataset = HIVDataset(episodes=2, days=5, reward_scale=1e-4).build()
    episode = dataset[1]
    environment = dataset.config.environment().build()
    environment.reset(seed=0)
    for step, action in enumerate(episode.actions):
        observation, reward, *_ = environment.step(action)
        np.testing.assert_array_equal(observation, episode.observations["state"][step + 1])
        assert np.float32(reward) == episode.rewards[step]
    assert episode.truncations.tolist() == [False] * 4 + [True]
    assert (dataset[0].actions != episode.actions).any()
    other = HIVDataset(episodes=2, days=5, seed=1).build()[1]
    assert (other.actions != episode.actions).any()


def test_descriptions_lead_back_to_the_environment():
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    for config in (
        GymMuJoCoDataset(task="ant_angle_45", version="v5"),
        HIVDataset(doses="switched", reward_scale=0.5),
    ):
        spec = config.build().spec
        assert from_data("environments", dict(spec.environment), registry) == config.environment()
        assert spec.observations["state"].dtype == "float32"
    assert GymMuJoCoDataset().build().spec.versions["mujoco"] == "3.3.0"


def test_policies_act_and_jumping_data_is_of_runners(tmp_path):
    for seed, quality in enumerate(("medium", "expert")):
        save_actor(tmp_path / "policies/halfcheetah_capped" / f"{quality}.safetensors", 17, 6, seed)
    config = GymMuJoCoDataset(
        task="halfcheetah_jump", quality="medexp", episodes=2, behaviours=str(tmp_path)
    )
    dataset = config.build()
    assert [dataset[index].info["behaviour"] for index in (0, 1)] == ["medium", "expert"]
    save_actor(tmp_path / "policies/hopper/medium.safetensors", 17, 6)
    with pytest.raises(VRLError, match="takes 17 state numbers"):
        GymMuJoCoDataset(task="hopper", quality="medium", behaviours=str(tmp_path)).build()


def test_mixed_is_the_replay_with_the_tasks_rewards(tmp_path):
    recorded = replay()
    path = tmp_path / "replays/halfcheetah_capped.safetensors"
    write_state_replay(path, recorded, {"task": "halfcheetah_capped"})
    capped = GymMuJoCoDataset(
        task="halfcheetah_capped", quality="mixed", behaviours=str(tmp_path)
    ).build()
    jump = GymMuJoCoDataset(
        task="halfcheetah_jump", quality="mixed", behaviours=str(tmp_path)
    ).build()
    assert len(jump) == 2
    first, second = jump[0], jump[1]
    np.testing.assert_array_equal(second.observations["state"], recorded.observations[4:])
    np.testing.assert_array_equal(second.actions, recorded.actions[3:])
    assert (second.terminations.tolist(), second.truncations.tolist()) == (
        [False, True],
        [False, False],
    )
    assert first.truncations.tolist() == [False, False, True]
    control = 0.1 * np.square(recorded.actions[:3]).sum(-1)
    height = 15 * recorded.observations[1:4, 0]
    np.testing.assert_allclose(first.rewards, [1, 2, 3] - control + height, rtol=1e-5)
    np.testing.assert_allclose(capped[0].rewards, [1, 2, 3] - control, rtol=1e-5)


def test_fewer_episodes_of_a_replay_are_spread_over_it(tmp_path):
    note = {"reward_scale": 1.0, "days": 3}
    write_state_replay(tmp_path / "replays/hiv.safetensors", replay(6, 2), note)
    one = HIVDataset(quality="mixed", behaviours=str(tmp_path), days=3, episodes=1).build()
    assert one[0].info["replay_episode"] == 1  # not the first, of the agent that knew nothing


def test_fingerprints_follow_the_behaviours_and_the_scale_they_tell(tmp_path):
    file = tmp_path / "replays/hiv.safetensors"
    config = HIVDataset(quality="mixed", behaviours=str(tmp_path), days=3)
    write_state_replay(file, replay(6, 2), {"reward_scale": 1.0, "days": 3})
    before = config.fingerprint()
    assert before["reward_scale"] == 1.0
    assert before["versions"]["scipy"]
    write_state_replay(file, replay(6, 2), {"reward_scale": 0.5, "days": 3})
    assert config.fingerprint() != before


def test_mixed_hiv_scales_its_rewards(tmp_path):
    recorded = {"reward_scale": 0.5, "observation": "log10", "doses": "continuous", "days": 3}
    write_state_replay(tmp_path / "replays/hiv.safetensors", replay(6, 2), recorded)
    settings = {"quality": "mixed", "behaviours": str(tmp_path), "days": 3}
    dataset = HIVDataset(**settings, reward_scale=1.0).build()
    assert dataset[0].rewards.tolist() == [0, 2, 4]
    own = HIVDataset(**settings).build()
    assert own[0].rewards.tolist() == [0, 1, 2]
    assert own.spec.environment["reward_scale"] == 0.5
    with pytest.raises(VRLError, match="recorded with observation 'log10', not 'counts'"):
        HIVDataset(**settings, observation="counts").build()
    with pytest.raises(VRLError, match="Ask for at most 2"):
        HIVDataset(**settings, episodes=3).build()


def test_policies_of_hiv_act_at_the_scale_they_learnt_with(tmp_path):
    for seed, quality in enumerate(("medium", "expert")):
        save_actor(tmp_path / "policies/hiv" / f"{quality}.safetensors", 6, 2, seed)
    settings = {"days": 3, "episodes": 2, "behaviours": str(tmp_path)}
    with pytest.raises(VRLError, match=r"no replay beside it. Give the scale: --reward-scale 1"):
        HIVDataset(quality="expert", **settings).build()
    recorded = {"reward_scale": 0.5, "days": 3}
    write_state_replay(tmp_path / "replays/hiv.safetensors", replay(6, 2), recorded)
    found = [
        HIVDataset(quality="medexp", reward_scale=scale, **settings).build()[0].rewards
        for scale in (None, 1.0)
    ]
    np.testing.assert_allclose(2 * found[0], found[1], rtol=1e-5)
    assert HIVDataset(days=3).build().spec.environment["reward_scale"] == 1.0


@pytest.mark.parametrize(
    ("note", "said"),
    [({}, "does not say in what environment"), ({"days": 3}, "does not say the reward_scale")],
)
def test_a_replay_that_does_not_say_how_it_was_rewarded(note, said, tmp_path):
    write_state_replay(tmp_path / "replays/hiv.safetensors", replay(6, 2), note)
    for scale in (None, 1.0):
        config = HIVDataset(quality="mixed", behaviours=str(tmp_path), reward_scale=scale)
        with pytest.raises(VRLError, match=said):
            config.build()


def test_a_missing_behaviour_is_answered_with_its_own_command(tmp_path):
    for quality, said in (
        ("mixed", r"--task hopper --preset mixed --output FOLDER`; collect"),
        ("expert", r"--task hopper --preset expert --output FOLDER`; collect"),
        ("medium", r"--preset mixed --output FOLDER --keep STEP medium`"),
    ):
        with pytest.raises(VRLError, match=said):
            GymMuJoCoDataset(task="hopper", quality=quality, behaviours=str(tmp_path)).build()


def test_bad_settings_are_explained(tmp_path):
    with pytest.raises(VRLError, match="Did you mean 'expert'"):
        GymMuJoCoDataset(quality="exprt")
    with pytest.raises(VRLError, match="There are none"):
        GymMuJoCoDataset(quality="expert", behaviours=str(tmp_path)).build()
    with pytest.raises(VRLError, match="'switched', the same four"):
        HIVDataset(doses="discrete")
    path = tmp_path / "replays/hopper.safetensors"
    damaged = replay(11, 3)
    shortened = StateReplay(**(vars(damaged) | {"rewards": damaged.rewards[:-1]}))
    write_state_replay(path, shortened, {"task": "hopper"})
    with pytest.raises(VRLError, match="its rewards have 4 rows"):
        GymMuJoCoDataset(task="hopper", quality="mixed", behaviours=str(tmp_path)).build()
    path.write_bytes(b"torn")
    with pytest.raises(VRLError, match="cannot be read"):
        GymMuJoCoDataset(task="hopper", quality="mixed", behaviours=str(tmp_path)).build()
