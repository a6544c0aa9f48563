"""D4RL's Kitchen demonstrations drawn as images, from files written here in their format."""

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
    with pytest.raises(VRLError, match="not of Kitchen: its states have 60 numbers and its actio"):
        drawn(path).build()
