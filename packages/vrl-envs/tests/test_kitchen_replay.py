"""Kitchen demonstrations drawn as images, from files written here in D4RL's and Minari's format."""

import json

import h5py
import numpy as np
import pytest

from vrl_core.errors import VRLError
from vrl_core.testing import check_dataset
from vrl_envs.kitchen.config import KitchenDataset
from vrl_envs.kitchen.environment import load_kitchen
from vrl_envs.readers.damage import IncompleteDataWarning

ROWS = 5
MICROWAVE, SWITCH = 22, [17, 18]


@pytest.fixture(scope="module")
def resting():
    """Joint positions `(30,)` of a kitchen at rest."""
    return load_kitchen(0.01).robot_env.init_qpos.copy()


@pytest.fixture
def path(tmp_path, resting):
    """Two episodes: the microwave is open from row 2 on, in the second the switch from row 4."""
    observations = np.zeros((2 * ROWS, 60), np.float32)
    observations[:, :30] = resting
    for episode in range(2):
        rows = slice(episode * ROWS + 2, (episode + 1) * ROWS)
        observations[rows, MICROWAVE] = -0.75
    observations[-1:, SWITCH] = (-0.69, -0.05)
    file = tmp_path / "kitchen_microwave_kettle_light_slider-v0.hdf5"
    terminals = np.arange(2 * ROWS) % ROWS == ROWS - 1
    with h5py.File(file, "w") as tables:
        tables["observations"] = observations
        tables["actions"] = np.arange(2 * ROWS, dtype=np.float32)[:, None].repeat(9, 1) / 20
        tables["rewards"] = np.zeros(2 * ROWS, np.float32)
        tables["terminals"] = terminals
        tables["timeouts"] = np.zeros(2 * ROWS, bool)
    return file


def drawn(path, **settings):
    return KitchenDataset(
        **{
            "quality": "demonstrations",
            "demonstrations": str(path),
            "objects": "microwave+light_switch",
            "size": 32,
            "observation": "both",
        }
        | settings
    )


@pytest.mark.filterwarnings("ignore::vrl_envs.readers.damage.IncompleteDataWarning")
def test_states_are_drawn_and_rewarded_and_actions_kept(path, resting):
    check_dataset(drawn(path), episodes=2, spawn=False)
    with pytest.warns(IncompleteDataWarning, match="last steps are dropped"):
        dataset = drawn(path).build()
    assert len(dataset) == 2
    episode = dataset[1]
    np.testing.assert_array_equal(episode.rewards, [0, 1, 1, 2])  # of the states led to
    np.testing.assert_allclose(episode.actions[:, 0], [0.25, 0.3, 0.35, 0.4])
    assert (episode.terminations.any(), episode.truncations.tolist()[-1]) == (False, True)
    assert (episode.info["success"], episode.info["completed"]) == (True, 2)
    assert dataset[0].info["success"] is False
    np.testing.assert_allclose(episode.observations["state"][0], resting[:9], rtol=1e-5)
    images = episode.observations["image"].astype(int)
    np.testing.assert_array_equal(images[0], images[1])
    assert (np.abs(images[2] - images[1]).max(axis=-1) > 20).sum() > 10  # the door
    assert dataset.spec.source.startswith("D4RL")
    assert (dataset.spec.licence, dataset.spec.behaviour) == ("CC-BY-4.0", "demonstrations")
    dataset.close()


def box(size):
    one = {"type": "Box", "dtype": "float64", "shape": [size]}
    return one | {"low": [-1.0] * size, "high": [1.0] * size}


def write_minari(folder, states):
    """Write one episode of Minari's Kitchen, with goals as beside gymnasium-robotics' states."""
    (folder / "data").mkdir(parents=True)
    spaces = {
        "observation": box(states.shape[1]),
        "desired_goal": {"type": "Dict", "subspaces": {"microwave": box(1)}},
    }
    metadata = {
        "total_episodes": 1,
        "dataset_id": "D4RL/kitchen/mixed-v2",
        "data_format": "hdf5",
        "minari_version": "0.5.4",
        "observation_space": json.dumps({"type": "Dict", "subspaces": spaces}),
        "action_space": json.dumps(box(9)),
        "env_spec": json.dumps({"id": "FrankaKitchen-v1", "kwargs": {}}),
    }
    (folder / "data/metadata.json").write_text(json.dumps(metadata))
    steps = len(states) - 1
    with h5py.File(folder / "data/main_data.hdf5", "w") as file:
        group = file.create_group("episode_0")
        group["observations/observation"] = states
        group["observations/desired_goal/microwave"] = np.full((steps + 1, 1), -0.75)
        group["actions"] = np.arange(steps)[:, None].repeat(9, 1) / 20
        group["rewards"] = np.zeros(steps)
        group["terminations"] = np.zeros(steps, bool)
        group["truncations"] = np.arange(steps) == steps - 1
    return folder


def test_minaris_states_are_the_same_pictures_and_keep_their_last_step(tmp_path, path, resting):
    states = np.full((ROWS, 59), 7.0)  # speeds, which are not drawn
    states[:, :9], states[:, 18:39] = resting[:9], resting[9:]
    states[2:, MICROWAVE + 9] = -0.75
    dataset = drawn(write_minari(tmp_path / "mixed-v2", states)).build()
    episode = dataset[0]
    np.testing.assert_array_equal(episode.rewards, [0, 1, 1, 1])
    np.testing.assert_allclose(episode.actions[:, 0], [0, 0.05, 0.1, 0.15])
    assert dataset.spec.source == "Minari D4RL/kitchen/mixed-v2, drawn by VRL"
    with pytest.warns(IncompleteDataWarning):
        of_d4rl = drawn(path).build()
    images = of_d4rl[0].observations["image"]
    np.testing.assert_array_equal(episode.observations["image"], images)
    dataset.close()
    of_d4rl.close()
    other = write_minari(tmp_path / "other", states[:, :40])
    with pytest.raises(VRLError, match=r"not of Kitchen: it has .*observation \(40,\)"):
        drawn(other).build()


@pytest.mark.filterwarnings("ignore::vrl_envs.readers.damage.IncompleteDataWarning")
def test_completions_pay_once_and_end_the_episode(path):
    dataset = drawn(path, reward="completions", objects="microwave", observation="pixels").build()
    episode = dataset[0]
    np.testing.assert_array_equal(episode.rewards, [0, 1])
    assert episode.terminations.tolist() == [False, True]
    assert episode.observations["image"].shape == (3, 32, 32, 3)
    dataset.close()


@pytest.mark.filterwarnings("ignore::vrl_envs.readers.damage.IncompleteDataWarning")
def test_wrong_files_are_explained(path):
    with pytest.raises(VRLError, match=r"3 episodes were asked for.*has 2"):
        drawn(path, episodes=3).build()
    with pytest.raises(VRLError, match="There is no file"):
        drawn(path.with_name("none.hdf5")).build()
    with h5py.File(path, "a") as tables:
        actions = tables["actions"][:, :3]
        del tables["actions"]
        tables["actions"] = actions
    with pytest.raises(VRLError, match=r"not of Kitchen: it has state \(60,\) and 3 numbers in an"):
        drawn(path).build()
