"""D4RL's files: alignment, timeouts, what terminations led to, damage, and names."""

import h5py
import numpy as np
import pytest

import vrl_envs.plugin
from tiny_d4rl import ROWS, write_tables
from vrl_core.commands.data_sources import _recognised
from vrl_core.config import from_data
from vrl_core.errors import DamagedDataError, VRLError
from vrl_core.ingest import write_store
from vrl_core.registry import Registry
from vrl_core.testing import check_dataset
from vrl_envs.readers.d4rl_config import D4RL
from vrl_envs.readers.d4rl_dataset import episode_bounds
from vrl_envs.readers.d4rl_names import names_of
from vrl_envs.readers.damage import IncompleteDataWarning
from vrl_envs.scores import d4rl_references


@pytest.fixture
def path(tmp_path):
    return tmp_path / "halfcheetah_medium-v2.hdf5"


def seen(episode):
    return episode.observations["state"][:, 0].tolist()


@pytest.mark.parametrize("column", [False, True])
def test_files_with_next_observations_are_whole(path, column):
    dataset = D4RL(path=str(write_tables(path, following=True, column=column))).build()
    assert len(dataset) == 3
    first, second, third = (dataset[index] for index in range(3))
    assert seen(first) == [0, 1, 2, 3, 4, 4.5]
    assert first.rewards.tolist() == [0, 10, 20, 30, 40]
    np.testing.assert_allclose(first.actions[:, 0], [0, 0.1, 0.2, 0.3, 0.4], rtol=1e-6)
    assert (first.terminations.any(), first.truncations.tolist()) == (False, [False] * 4 + [True])
    assert seen(second) == [5, 6, 7, 7.5]
    assert (second.terminations.tolist(), second.truncations.any()) == ([False, False, True], False)
    assert seen(third) == [8, 8.5]
    assert third.truncations.tolist() == [True]


def test_without_next_observations_a_timeouts_row_is_the_last_state(path):
    with pytest.warns(IncompleteDataWarning) as warned:
        dataset = D4RL(path=str(write_tables(path))).build()
    assert "1 terminations led to are not in the file" in str(warned[1].message)
    assert "1 episodes of a single row" in str(warned[0].message)
    assert len(dataset) == 2
    assert seen(dataset[0]) == [0, 1, 2, 3, 4]
    assert dataset[0].rewards.tolist() == [0, 10, 20, 30]
    assert dataset[0].truncations.tolist() == [False] * 3 + [True]
    # never row 8, the first of the next episode, which D4RL's own loader puts there
    assert seen(dataset[1]) == [5, 6, 7, 7]
    assert dataset[1].terminations.tolist() == [False, False, True]


@pytest.mark.filterwarnings("ignore::vrl_envs.readers.damage.IncompleteDataWarning")
def test_terminations_of_unknown_outcome_can_be_dropped(path):
    config = D4RL(path=str(write_tables(path)), terminal_observation="drop")
    episode = config.build()[1]
    assert seen(episode) == [5, 6, 7]
    assert (episode.terminations.any(), episode.truncations.tolist()) == (False, [False, True])
    assert episode.rewards.tolist() == [50, 60]
    check_dataset(config, episodes=2, spawn=False)


def test_files_from_before_timeouts_are_cut_at_the_time_limit(path):
    terminals = np.zeros(3500, bool)
    terminals[[1200, 1300]] = True
    found = episode_bounds({"terminals": terminals}, path, 1000)
    assert list(zip(found.starts, found.stops, found.terminated, strict=True)) == [
        (0, 1000, False),
        (1000, 1201, True),
        (1201, 1301, True),
        (1301, 2301, False),
        (2301, 3301, False),
        (3301, 3500, False),
    ]


def test_names_tell_task_and_quality(path):
    for name, wanted in {
        "halfcheetah_medium-v2": ("halfcheetah", "medium"),
        "hopper_medium_replay-v2": ("hopper", "mixed"),
        "walker_mixed": ("walker2d", "mixed"),
        "walker2d-medium-expert-v1": ("walker2d", "medium_expert"),
        "ant_full_replay-v2": ("ant", "full_replay"),
        "kitchen_microwave-v0": (None, None),
        "mini_kitchen_microwave_kettle_light_slider-v0": ("kitchen", "complete"),
        "kitchen_microwave_kettle_light_slider-v0": ("kitchen", "partial"),
        "kitchen_microwave_kettle_bottomburner_light-v0": ("kitchen", "mixed"),
        "kitchen-complete-v0": ("kitchen", "complete"),
        "pen-v0_demos_clipped": ("pen", "human"),
        "door-demos-v0-bc-combined": ("door", "cloned"),
        "hammer-v0_expert_clipped": ("hammer", "expert"),
        "relocate-human-v1": ("relocate", "human"),
        "open-door": (None, None),
    }.items():
        assert names_of(path.with_name(name + ".hdf5")) == wanted


def test_the_environment_is_found_and_the_format_recognised(path):
    write_tables(path, following=True)
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    spec = D4RL(path=str(path)).build().spec
    environment = from_data("environments", dict(spec.environment), registry)
    assert (environment.task, environment.version) == ("halfcheetah", "v4")
    assert (spec.behaviour, spec.source) == ("medium", "D4RL")
    assert _recognised(path, registry) == "d4rl"
    renamed = D4RL(path=str(path), task="hopper", quality="mine").build().spec
    assert (renamed.environment, renamed.behaviour) == (None, "mine")
    other = path.with_name("text.hdf5")
    other.write_text("no HDF5")
    assert not D4RL.recognises(other)
    assert not D4RL.recognises(path.parent)


def test_bad_files_are_explained(path):
    with pytest.raises(VRLError, match="There is no file"):
        D4RL(path=str(path)).build()
    path.write_text("no HDF5")
    with pytest.raises(VRLError, match="cannot be read"):
        D4RL(path=str(path)).build()
    write_tables(path, actions=None)
    with pytest.raises(VRLError, match="has no actions"):
        D4RL(path=str(path)).build()
    write_tables(path, rewards=np.zeros(5))
    with pytest.raises(VRLError, match="different lengths"):
        D4RL(path=str(path)).build()
    write_tables(path, following=True, actions=np.full((ROWS, 6), 3.0))
    with pytest.raises(VRLError, match=r"actions of size 3.*--dataset\.clip-actions"):
        D4RL(path=str(path)).build()[0]
    assert (D4RL(path=str(path), clip_actions=True).build()[0].actions == 1).all()
    unnamed = write_tables(path.with_name("mine.hdf5"), following=True)
    with pytest.raises(VRLError, match="does not tell the task"):
        D4RL(path=str(unnamed)).build()
    with pytest.raises(VRLError, match="terminal_observation"):
        D4RL(path=str(path), terminal_observation="keep")


def kitchen(width=60):
    """Observations whose number j in row t is 1000 t + j."""
    return 1000.0 * np.arange(ROWS)[:, None] + np.arange(width, dtype=np.float64)


@pytest.mark.filterwarnings("ignore::vrl_envs.readers.damage.IncompleteDataWarning")
def test_kitchens_observations_may_be_split_into_their_parts(tmp_path):
    path = tmp_path / "kitchen_microwave_kettle_bottomburner_light-v0.hdf5"
    rewards = np.array([0, 0, 1, 0, 0, 0, 1, 1, 0], np.float64)[:, None]
    actions = np.full((ROWS, 9), 0.5)
    write_tables(
        path,
        observations=kitchen(),
        actions=actions,
        rewards=rewards,
        terminals=(7,),
        column=True,
    )
    whole = D4RL(path=str(path)).build()
    parts = D4RL(path=str(path), observations="parts").build()
    assert (whole.spec.task, whole.spec.behaviour) == ("kitchen", "mixed")
    assert whole.spec.source == "D4RL, subtasks microwave, kettle, bottom burner, light switch"
    assert whole.spec.environment is None
    assert whole[0].observations["state"].shape == (5, 60)
    assert whole[0].rewards.tolist() == [0, 0, 1, 0]
    assert whole[1].rewards.tolist() == [0, 1, 1]
    episode = parts[1]
    assert {name: part[0, 0] for name, part in episode.observations.items()} == {
        "robot": 5000,
        "objects": 5009,
        "goal": 5030,
    }
    assert [part.shape[1] for part in episode.observations.values()] == [9, 21, 30]
    check_dataset(D4RL(path=str(path), observations="parts"), episodes=2, spawn=False)
    with pytest.raises(VRLError, match="Observations of pen with 60 numbers have no parts"):
        D4RL(path=str(path), task="pen", observations="parts").build()


def test_where_episodes_were_cut_is_said_to_be_assumed(tmp_path):
    """The first version's files have no timeouts; demonstrations differ in length."""
    path = write_tables(tmp_path / "door-v0_demos_clipped.hdf5", timeouts=None, terminals=())
    with pytest.warns(IncompleteDataWarning, match="200 steps, the task's time limit, are taken"):
        dataset = D4RL(path=str(path)).build()
    assert [len(dataset[index]) for index in range(len(dataset))] == [8]
    dataset = D4RL(path=str(path), time_limit=3).build()
    assert [seen(dataset[index]) for index in range(3)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    with pytest.raises(VRLError, match="time_limit is 0"):
        D4RL(path=str(path), time_limit=0)


def test_scores_of_kitchen_and_adroit_are_known():
    assert d4rl_references("kitchen").normalise(3.0) == 75.0
    assert d4rl_references("door").normalise(2880.5693087298737) == 100.0


@pytest.mark.parametrize(
    ("task", "sizes", "horizon"), [("pen", (45, 24), 100), ("door", (39, 28), 200)]
)
def test_files_of_the_hand_name_the_environment_they_are_of(tmp_path, task, sizes, horizon):
    tables = {"observations": np.zeros((ROWS, sizes[0])), "actions": np.zeros((ROWS, sizes[1]))}
    path = write_tables(tmp_path / f"{task}-human-v1.hdf5", following=False, **tables)
    with pytest.warns(IncompleteDataWarning):
        spec = D4RL(path=str(path)).build().spec
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    environment = from_data("environments", dict(spec.environment), registry)
    assert (environment.task, environment.horizon) == (f"adroit_{task}", horizon)
    assert (environment.observation, environment.reward) == ("state", "d4rl")
    assert environment.terminate_when_dropped == (task == "pen")
    assert environment.references() == d4rl_references(task)
    other = write_tables(tmp_path / f"{task}-cloned-v1.hdf5")  # of another hand's size
    with pytest.warns(IncompleteDataWarning):
        assert D4RL(path=str(other)).build().spec.environment is None


def test_a_damaged_chunk_costs_its_episodes_alone(path, tmp_path):
    write_tables(path, following=True, observations=None)
    with h5py.File(path, "a") as file:
        table = np.repeat(np.arange(ROWS, dtype=np.float32)[:, None], 17, 1)
        file.create_dataset(
            "observations", data=table, chunks=(1, 17), compression="gzip", fletcher32=True
        )
        place = file["observations"].id.get_chunk_info(6).byte_offset
    content = bytearray(path.read_bytes())
    content[place + 8 : place + 12] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(DamagedDataError, match=f"{path.name} cannot be read"):
        D4RL(path=str(path)).build()[1]
    with pytest.warns(UserWarning, match="left out 1 of 3 episodes"):
        store = write_store(D4RL(path=str(path), skip_damaged=True), tmp_path / "s", workers=1)
    assert [seen(episode)[0] for episode in store] == [0, 8]


def test_a_process_keeps_a_block_of_chunks_and_reads_its_neighbours(path, monkeypatch):
    """Chunks of 4 rows and of 3 columns hold parts of episodes of 5, 3 and 1 rows."""
    write_tables(path, following=True, observations=None)
    with h5py.File(path, "a") as file:
        table = np.repeat(np.arange(ROWS, dtype=np.float32)[:, None], 17, 1)
        file.create_dataset("observations", data=table, chunks=(4, 3), compression="gzip")
    dataset = D4RL(path=str(path)).build()
    assert dataset.episodes_per_read == 2
    assert dataset.kept_bytes == 4 * 4 * 17 + 4 * 4 * 3
    rows, fetch = [], h5py.Dataset.__getitem__

    def counted(table, key, **options):
        if table.name == "/observations":
            rows.append((key.start, min(key.stop, ROWS)))
        return fetch(table, key, **options)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    assert [seen(dataset[index]) for index in range(3)] == [
        [0, 1, 2, 3, 4, 4.5],
        [5, 6, 7, 7.5],
        [8, 8.5],
    ]
    assert rows == [(0, 4), (4, 8), (8, 9)]


def test_a_path_in_the_users_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_tables(tmp_path / "halfcheetah_medium-v2.hdf5", following=True)
    assert len(D4RL(path="~/halfcheetah_medium-v2.hdf5").build()) == 3
