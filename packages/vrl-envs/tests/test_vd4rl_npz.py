import numpy as np
import pytest

from tiny_vd4rl import STEPS, rows, write_npz
from vrl_core.errors import VRLError
from vrl_envs.readers.vd4rl_npz import NpzEpisodes


def read(paths, *, proprioception=False):
    return NpzEpisodes(paths, proprioception=proprioception)


def assert_aligned(episode, *, number=0, steps=STEPS):
    """Step t starts at frame t with the action and reward that the file keeps in row t+1."""
    frames = episode.observations["image"]
    np.testing.assert_array_equal(frames[:, 0, 0, 0], np.arange(steps + 1))
    assert (frames[..., 1] == number).all()
    expected = np.arange(1, steps + 1)
    np.testing.assert_array_equal(episode.actions[:, 0], (expected / 100).astype(np.float32))
    np.testing.assert_array_equal(episode.rewards, 10 * number + expected)
    assert (frames.dtype, episode.actions.dtype, episode.rewards.dtype) == (
        np.uint8,
        np.float32,
        np.float32,
    )


def test_the_action_that_led_to_a_frame_becomes_the_one_taken_before_it(tmp_path):
    reader = read(write_npz(tmp_path, episodes=3))
    assert (len(reader), reader.transitions, reader.action_size) == (3, 3 * STEPS, 6)
    for number in (2, 0, 1):
        assert_aligned(reader[number], number=number)


def test_the_time_limit_truncates_and_does_not_terminate(tmp_path):
    episode = read(write_npz(tmp_path))[0]
    assert episode.truncations.tolist() == [False, False, False, True]
    assert not episode.terminations.any()


def test_a_terminal_state_terminates_instead(tmp_path):
    terminal = np.array([False, False, False, False, True])
    episode = read(write_npz(tmp_path, is_terminal=terminal))[0]
    assert episode.terminations.tolist() == [False, False, False, True]
    assert not episode.truncations.any()


def test_a_terminal_state_in_the_middle_is_refused(tmp_path):
    terminal = np.array([False, False, True, False, False])
    reader = read(write_npz(tmp_path, is_terminal=terminal))
    with pytest.raises(VRLError, match=r"goes on after a terminal state \(row 2\)"):
        reader[0]


@pytest.mark.parametrize(("last_discount", "terminated"), [(1.0, False), (0.0, True)])
def test_without_is_terminal_the_discount_tells(tmp_path, last_discount, terminated):
    discount = np.array([1.0, 1, 1, 1, last_discount])
    episode = read(write_npz(tmp_path, is_terminal=None, discount=discount))[0]
    assert (episode.terminations[-1], episode.truncations[-1]) == (terminated, not terminated)


def test_image_action_and_reward_suffice(tmp_path):
    absent = dict.fromkeys(("discount", "is_first", "is_last", "is_terminal"))
    assert_aligned(read(write_npz(tmp_path, **absent))[0])


def test_flags_that_are_longer_than_the_data_are_cut(tmp_path):
    """As in humanoid_walk/medium_replay: 500 rows of data, 501 of flags."""
    short = rows(STEPS - 1)
    data = {name: short[name] for name in ("image", "action", "reward", "discount")}
    reader = read(write_npz(tmp_path, **data))
    episode = reader[0]
    assert_aligned(episode, steps=STEPS - 1)
    assert episode.truncations.tolist() == [False, False, True]
    assert len(reader.notes) == 1
    assert "cut the flags of 1 files" in reader.notes[0]


@pytest.mark.parametrize("name", ["action", "is_last"])
def test_columns_that_are_shorter_than_the_images_are_refused(tmp_path, name):
    (path,) = write_npz(tmp_path, **{name: rows()[name][:-1]})
    with pytest.raises(VRLError, match=f"(?s){path.name}.*{name} 4") as error:
        read([path])
    assert "image 5" in str(error.value)


@pytest.mark.parametrize("name", ["a-b-7.npz", "episode.npz", "a-b-501.npz"])
def test_the_length_in_a_name_is_not_trusted(tmp_path, name):
    (path,) = write_npz(tmp_path)
    assert_aligned(read([path.rename(tmp_path / name)])[0])


def test_rewards_of_shape_n_by_1_are_flattened(tmp_path):
    columns = rows()
    wide = {name: columns[name][:, None] for name in ("reward", "discount", "is_terminal")}
    assert_aligned(read(write_npz(tmp_path, **wide))[0])


def test_missing_columns_are_named(tmp_path):
    with pytest.raises(VRLError, match="lacks action; it holds discount, image"):
        read(write_npz(tmp_path, action=None, is_first=None, is_last=None, is_terminal=None))


def test_images_that_are_not_bytes_are_refused(tmp_path):
    with pytest.raises(VRLError, match="images of float32"):
        read(write_npz(tmp_path, image=rows()["image"].astype(np.float32)))


def test_several_episodes_in_a_file_are_refused(tmp_path):
    first = np.array([True, False, False, True, False])
    with pytest.raises(VRLError, match="row 3 is marked as a first one"):
        read(write_npz(tmp_path, is_first=first))[0]


@pytest.mark.parametrize("kept", [0, 30, 0.5])
def test_a_truncated_file_is_named(tmp_path, kept):
    good, bad = write_npz(tmp_path, episodes=2)
    content = bad.read_bytes()
    bad.write_bytes(content[: kept if isinstance(kept, int) else int(len(content) * kept)])
    with pytest.raises(VRLError, match=f"{bad.name} cannot be read"):
        read([good, bad])


def test_a_file_with_a_changed_byte_is_named_when_its_episode_is_read(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (5, 64, 64, 3), np.uint8)
    good, bad = write_npz(tmp_path, episodes=2, image=noise)
    content = bytearray(bad.read_bytes())
    content[30_000] ^= 0xFF  # inside the compressed images
    bad.write_bytes(content)
    reader = read([good, bad])
    assert len(reader[0]) == STEPS
    with pytest.raises(VRLError, match=f"{bad.name} cannot be read"):
        reader[1]


def test_pickled_objects_are_not_loaded(tmp_path):
    (path,) = write_npz(tmp_path, reward=np.array([{}] * 5, dtype=object))
    with pytest.raises(VRLError, match=r"pickled Python objects in reward\..* none is loaded"):
        read([path])


def test_a_file_without_a_step_is_left_out_and_noted(tmp_path):
    paths = write_npz(tmp_path, episodes=2)
    np.savez_compressed(paths[0], **rows(0))
    reader = read(paths)
    assert len(reader) == 1
    assert_aligned(reader[0], number=1)
    assert "left out 1 files without a single step" in reader.notes[0]


def test_files_of_different_shapes_are_refused(tmp_path):
    first, second = write_npz(tmp_path, episodes=2)
    np.savez_compressed(second, **rows(actions=21))
    with pytest.raises(VRLError, match=r"action rows of shape \(21,\)"):
        read([first, second])


HEIGHT, ORIENTATIONS = np.arange(5.0), np.arange(70.0).reshape(5, 14)


def test_proprioception_is_left_out_unless_asked_for(tmp_path):
    paths = write_npz(tmp_path, height=HEIGHT, orientations=ORIENTATIONS)
    assert set(read(paths).observations) == {"image"}
    assert set(read(paths)[0].observations) == {"image"}


def test_proprioception_becomes_observations(tmp_path):
    paths = write_npz(tmp_path, height=HEIGHT, orientations=ORIENTATIONS)
    reader = read(paths, proprioception=True)
    shapes = {name: field.shape for name, field in reader.observations.items()}
    assert shapes == {"image": (4, 4, 3), "height": (), "orientations": (14,)}
    observations = reader[0].observations
    np.testing.assert_array_equal(observations["height"], HEIGHT.astype(np.float32))
    assert observations["orientations"].dtype == np.float32


def test_proprioception_must_be_in_every_file(tmp_path):
    first, second = write_npz(tmp_path, episodes=2, height=HEIGHT)
    np.savez_compressed(second, **rows())
    assert len(read([first, second])) == 2
    with pytest.raises(VRLError, match=r"holds the proprioceptive columns \[\]"):
        read([first, second], proprioception=True)
