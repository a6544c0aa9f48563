"""The dataset `ogbench`: its oracles, rewards of a task, and episodes pure in their index."""

import numpy as np
import pytest

import vrl_envs.plugin
from vrl_core.config import from_data
from vrl_core.errors import VRLError
from vrl_core.ingest import write_store
from vrl_core.registry import Registry
from vrl_core.testing import check_dataset
from vrl_envs.ogbench.config import OGBenchDataset

pytest.importorskip("ogbench", reason="OGBench is not installed")
from vrl_envs.ogbench.play import Recording, is_healthy, random_share  # isort: skip


def states(task="cube_single_task1", **settings):
    return OGBenchDataset(
        **{"task": task, "observation": "state", "horizon": 12, "episodes": 2, **settings}
    )


@pytest.mark.parametrize(
    "config", [states("scene_task2"), states("pointmaze_medium", quality="random")]
)
def test_an_episode_depends_on_configuration_and_index_alone(config):
    check_dataset(config, episodes=2, spawn=False)


def test_the_oracle_takes_the_cube_to_its_targets():
    dataset = states(horizon=150).build()
    episode = dataset[0]
    places = episode.observations["state"][:, 19:22] / 10 + (0.425, 0, 0)  # OGBench's scaling
    lifted, moved = places[:, 2].max(), np.abs(places[-1] - places[0]).max()
    assert lifted > 0.05
    assert moved > 0.05
    goal = dataset._rewards.inner._data.mocap_pos[0]
    solved = np.linalg.norm(places[:-1] - goal, axis=1) <= 0.04
    assert not episode.terminations.any()
    np.testing.assert_array_equal(episode.rewards, solved - 1.0)
    assert (len(episode), episode.info["success"]) == (150, solved.any())
    assert episode.truncations.tolist() == [False] * 149 + [True]


def test_puzzles_press_buttons_and_rewards_count_them():
    dataset = states("puzzle_3x3_task1", quality="noisy", horizon=60).build()
    episode = dataset[0]
    lit = episode.observations["state"][:-1, 20::4][:, :9]
    target = dataset._rewards.inner._target_button_states
    np.testing.assert_array_equal(episode.rewards, (lit == target).sum(axis=1) - 9)
    assert len(np.unique(lit, axis=0)) > 1
    dataset[1]
    np.testing.assert_array_equal(dataset[0].actions, episode.actions)
    assert (random_share("puzzle_3x3_task1"), random_share("scene_task1")) == (0.2, 0.1)


def test_recordings_that_lose_the_cube_are_told():
    def recording(aside, height):
        positions = np.zeros((3, 25))
        positions[1, 15:17] = aside, height
        return Recording({}, np.zeros((3, 5)), positions, None, 0)

    assert is_healthy("scene_task1", recording(0.2, 0.02))
    assert is_healthy("scene_task1", recording(-0.31, 0.07))  # in the drawer
    assert not is_healthy("scene_task1", recording(-0.31, 0.02))
    assert not is_healthy("scene_task1", recording(0.3, 0.02))
    assert is_healthy("cube_single_task1", recording(0.3, 0.02))


def test_store_leads_back_to_the_environment(tmp_path):
    config = OGBenchDataset(
        task="cube_single_task1", episodes=1, size=8, horizon=3, observation="both"
    )
    store = write_store(config, tmp_path / "store", workers=1)
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    environment = from_data("environments", dict(store.spec.environment), registry)
    assert environment == config.environment()
    assert (environment.horizon, environment.rendering) == (200, "fast")
    assert (store.spec.behaviour, store.spec.versions["ogbench"]) == ("play", "1.2.2")
    assert store[0].observations["image"].shape == (4, 8, 8, 3)
    assert store[0].observations["state"].shape == (4, 19)
    assert len(np.unique(store[0].observations["image"], axis=0)) > 1


def test_bad_settings_are_explained():
    with pytest.raises(VRLError, match="Did you mean 'play'"):
        states(quality="plya")
    with pytest.raises(VRLError, match=r"antmaze_medium are not in the library.*vrl data convert"):
        OGBenchDataset(task="antmaze_medium_task1")
    with pytest.raises(VRLError, match="episodes is 0"):
        states(episodes=0)


def test_fingerprint_names_the_simulator():
    assert states().fingerprint()["versions"]["ogbench"] == "1.2.2"
    assert states().fingerprint() != states(horizon=13).fingerprint()
    assert states(quality="random", horizon=None).steps() == 200
