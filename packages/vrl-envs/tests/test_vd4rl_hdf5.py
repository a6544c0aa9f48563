import h5py
import numpy as np
import pytest

from tiny_vd4rl import table, write_hdf5
from vrl_core.errors import VRLError
from vrl_envs.readers import hdf5_blocks
from vrl_envs.readers.vd4rl_files import natural_order
from vrl_envs.readers.vd4rl_hdf5 import Hdf5Episodes


def read(*paths, proprioception=False):
    return Hdf5Episodes(sorted(paths, key=natural_order), proprioception=proprioception)


def assert_aligned(episode, *, number=0, steps=4):
    frames = episode.observations["image"]
    np.testing.assert_array_equal(frames[:, 0, 0, 0], np.arange(steps + 1))
    assert (frames[..., 1] == number).all()
    assert (frames[..., 2] == 7).all()
    expected = np.arange(1, steps + 1)
    np.testing.assert_array_equal(episode.actions[:, 0], (expected / 100).astype(np.float32))
    np.testing.assert_array_equal(episode.rewards, 10 * number + expected)
    assert episode.truncations.tolist() == [False] * (steps - 1) + [True]
    assert not episode.terminations.any()


def cut(columns, first, stop):
    return {name: value[first:stop] for name, value in columns.items()}


def test_episodes_are_found_aligned_and_turned_to_height_width_channel(tmp_path):
    reader = read(write_hdf5(tmp_path / "data.hdf5", table([4, 3, 5])))
    assert (len(reader), reader.transitions, reader.action_size) == (3, 12, 6)
    assert reader.observations["image"].shape == (4, 4, 3)
    for number, steps in ((1, 3), (2, 5), (0, 4)):
        assert_aligned(reader[number], number=number, steps=steps)
    assert not reader.notes


def test_step_types_may_be_floats_and_columns_of_shape_n_by_1(tmp_path):
    """The reference's npz-to-hdf5 script writes floats, and enlarges 64 px images."""
    columns = table([4, 4])
    columns["step_type"] = columns["step_type"].astype(np.float64)[:, None]
    columns["reward"] = columns["reward"][:, None]
    columns["discount"] = columns["discount"][:, None]
    reader = read(write_hdf5(tmp_path / "data.hdf5", columns))
    assert reader.upsampled
    for number in range(2):
        assert_aligned(reader[number], number=number)


def test_integer_step_types_mean_rendered_images(tmp_path):
    assert not read(write_hdf5(tmp_path / "data.hdf5", table([4]))).upsampled


def test_shards_are_read_by_number_not_by_letters(tmp_path):
    """Sorted as text, shard 10 would come before shard 2."""
    paths = [
        write_hdf5(
            tmp_path / f"shard_{shard}_reward_{90.5 - shard}.hdf5",
            table([4, 4], first_episode=2 * shard),
        )
        for shard in range(11)
    ]
    reader = read(*paths)
    assert len(reader) == 22
    for number in range(22):
        assert_aligned(reader[number], number=number)
    assert not reader.notes


def test_an_episode_that_a_shard_cuts_is_joined(tmp_path):
    columns = table([4, 4, 4])
    reader = read(
        write_hdf5(tmp_path / "0.hdf5", cut(columns, 0, 7)),
        write_hdf5(tmp_path / "1.hdf5", cut(columns, 7, 9)),
        write_hdf5(tmp_path / "2.hdf5", cut(columns, 9, 15)),
    )
    assert len(reader) == 3
    for number in (2, 1, 0):
        assert_aligned(reader[number], number=number)
    assert not reader.notes


def test_the_ends_of_two_different_episodes_are_not_joined(tmp_path):
    """Shard 1 is missing: the rows before its gap and behind it belong to different episodes."""
    columns = table([4, 4, 4])
    reader = read(
        write_hdf5(tmp_path / "0.hdf5", cut(columns, 0, 8)),
        write_hdf5(tmp_path / "2.hdf5", cut(columns, 9, 15)),
    )
    assert [len(reader[number]) for number in range(3)] == [4, 2, 4]
    assert_aligned(reader[1], number=1, steps=2)
    assert_aligned(reader[2], number=2)
    assert any("left out the first 1 rows of 2.hdf5" in note for note in reader.notes)
    assert any("no files with the numbers 1" in note for note in reader.notes)


def test_rows_before_the_first_episode_are_left_out(tmp_path):
    columns = table([4, 4])
    reader = read(
        write_hdf5(tmp_path / "0.hdf5", cut(columns, 2, 4)),
        write_hdf5(tmp_path / "1.hdf5", cut(columns, 4, 10)),
    )
    assert len(reader) == 1
    assert_aligned(reader[0], number=1)


def test_an_incomplete_last_episode_is_kept_and_noted(tmp_path):
    reader = read(write_hdf5(tmp_path / "data.hdf5", cut(table([4, 4]), 0, 8)))
    assert_aligned(reader[1], number=1, steps=2)
    assert reader.notes == ["the last episode of data.hdf5 is incomplete"]


def test_an_episode_cut_short_in_the_middle_is_kept_and_noted(tmp_path):
    columns = table([4, 4, 4])
    rows = np.r_[0:8, 10:15]  # the second episode lacks its last two rows
    reader = read(write_hdf5(tmp_path / "data.hdf5", {k: v[rows] for k, v in columns.items()}))
    assert [len(reader[number]) for number in range(3)] == [4, 2, 4]
    assert reader.notes == [
        "1 episodes of data.hdf5 are cut short: there is no last row before the first one in row 8"
    ]


def test_an_episode_that_the_next_shard_does_not_go_on_with_is_noted(tmp_path):
    columns = table([4, 4])
    reader = read(
        write_hdf5(tmp_path / "0.hdf5", cut(columns, 0, 3)),
        write_hdf5(tmp_path / "1.hdf5", cut(columns, 5, 10)),
    )
    assert [len(reader[number]) for number in range(2)] == [2, 4]
    assert reader.notes == ["the last episode of 0.hdf5 is incomplete"]


def test_a_lone_first_row_is_no_episode(tmp_path):
    assert len(read(write_hdf5(tmp_path / "data.hdf5", cut(table([4, 4]), 0, 6)))) == 1


def test_a_zero_discount_at_the_end_terminates(tmp_path):
    columns = table([4])
    columns["discount"][-1] = 0
    episode = read(write_hdf5(tmp_path / "data.hdf5", columns))[0]
    assert episode.terminations.tolist() == [False, False, False, True]
    assert not episode.truncations.any()


def test_the_discount_may_be_missing(tmp_path):
    columns = table([4])
    del columns["discount"]
    assert_aligned(read(write_hdf5(tmp_path / "data.hdf5", columns))[0])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"step_type": None}, "lacks step_type; it holds action, discount, observation, reward"),
        ({"step_type": np.array([0, 1, 3, 1, 2])}, "step_type 3 in row 2"),
        ({"step_type": np.array([0, 1, 2, 1, 2])}, "goes on after the end of an episode: row 2"),
        ({"reward": np.zeros(4)}, "reward 4"),
        ({"reward": np.zeros((5, 2))}, r"reward of shape \(5, 2\)"),
        ({"observation": np.zeros((5, 9, 4, 4), np.uint8)}, "single frames"),
        ({"observation": np.zeros((5, 3, 4, 4), np.float32)}, "float32"),
    ],
)
def test_tables_of_another_kind_are_refused(tmp_path, change, said):
    columns = {k: v for k, v in (table([4]) | change).items() if v is not None}
    path = write_hdf5(tmp_path / "data.hdf5", columns)
    with pytest.raises(VRLError, match=said) as error:
        read(path)
    assert str(path) in str(error.value)


def test_a_truncated_file_is_named(tmp_path):
    good = write_hdf5(tmp_path / "0.hdf5", table([4]))
    bad = write_hdf5(tmp_path / "1.hdf5", table([4]))
    bad.write_bytes(bad.read_bytes()[:-200])
    with pytest.raises(VRLError, match=r"1\.hdf5 cannot be read"):
        read(good, bad)


def test_a_damaged_chunk_is_named_when_its_episode_is_read(tmp_path):
    columns = table([4, 4])
    path = write_hdf5(tmp_path / "data.hdf5", columns, chunks=(5, 3, 4, 4))
    with h5py.File(path, "r") as file:
        place = file["observation"].id.get_chunk_info(1)
    content = bytearray(path.read_bytes())
    content[place.byte_offset : place.byte_offset + place.size] = bytes(place.size)
    path.write_bytes(content)
    reader = read(path)
    assert_aligned(reader[0])
    with pytest.raises(VRLError, match=r"data\.hdf5 cannot be read"):
        reader[1]


def test_proprioception_becomes_observations_when_asked_for(tmp_path):
    columns = table([4]) | {"height": np.arange(5.0), "note": np.zeros(2)}
    path = write_hdf5(tmp_path / "data.hdf5", columns)
    assert set(read(path)[0].observations) == {"image"}
    reader = read(path, proprioception=True)
    assert set(reader.observations) == {"image", "height"}
    np.testing.assert_array_equal(reader[0].observations["height"], np.arange(5))


def test_reading_in_order_decompresses_every_chunk_once(tmp_path, monkeypatch):
    """Chunks of 7 rows lie across episodes of 5: each row must be read from the file only once."""
    path = write_hdf5(tmp_path / "data.hdf5", table([4] * 9), chunks=(7, 1, 2, 4))
    read_rows = []
    fetch = h5py.Dataset.__getitem__

    def counted(dataset, key, **options):
        value = fetch(dataset, key, **options)
        if dataset.name == "/observation":
            read_rows.append(len(value))
        return value

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    reader = read(path)
    for number in range(9):
        assert_aligned(reader[number], number=number)
    assert read_rows == [7, 7, 7, 7, 7, 7, 3]
    assert reader.episodes_per_read == 2


def test_uncompressed_tables_are_read_row_by_row(tmp_path):
    path = tmp_path / "data.hdf5"
    with h5py.File(path, "w") as file:
        for name, value in table([4, 4]).items():
            file[name] = value
    reader = read(path)
    assert reader.episodes_per_read == 1
    assert_aligned(reader[1], number=1)


@pytest.mark.parametrize("room", [None, 100])
def test_a_chunk_too_large_for_a_block_beside_it_is_kept_once(tmp_path, monkeypatch, room):
    """Then HDF5 has it, and pieces are copied out of it; rows are the same."""
    rows = np.arange(60, dtype=np.uint8).reshape(20, 3)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_dataset("rows", data=rows, chunks=(20, 3), compression="gzip")
    if room:
        monkeypatch.setattr(hdf5_blocks, "ROOM", room)
        monkeypatch.setattr(hdf5_blocks, "PIECE_BYTES", 12)
    with h5py.File(tmp_path / "a.hdf5") as file:
        blocks = hdf5_blocks.Blocks(file, "rows")
        assert (blocks.chunk_bytes, blocks.block_bytes) == (60, 12 if room else 60)
        for first, stop in ((0, 3), (3, 11), (10, 20), (1, 2)):
            np.testing.assert_array_equal(blocks.read(first, stop), rows[first:stop])


def test_actions_beyond_the_box_are_clipped_on_request(tmp_path):
    columns = table([4])
    columns["action"] = columns["action"] + 2
    path = write_hdf5(tmp_path / "data.hdf5", columns)
    with pytest.raises(VRLError, match=rf"{path.name} has actions of size 2.*--dataset.clip-act"):
        read(path)[0]
    clipped = Hdf5Episodes([path], proprioception=False, clip_actions=True)
    assert (clipped[0].actions == 1).all()
