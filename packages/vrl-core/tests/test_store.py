import copy
import dataclasses
import errno
import json
import os
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest

import vrl_core.store_writer as store_writer
from vrl_core.episodes import DataSpec, Episode, FieldSpec
from vrl_core.errors import VRLError
from vrl_core.store import Store
from vrl_core.store_check import check_staging, check_store
from vrl_core.store_config import StoreDataset
from vrl_core.store_writer import StoreWriter

SPEC = DataSpec(
    task="count_up",
    observations={"image": FieldSpec((2, 2, 3), "uint8"), "state": FieldSpec((2,), "float32")},
    action_size=1,
    environment={"name": "counting", "nested": {"sizes": [1, 2]}},
    behaviour="good",
    seed=3,
    versions={"simulator": "1.0"},
)


def episode(index: int, steps: int) -> Episode:
    count = np.arange(steps + 1, dtype=np.float32)
    image = np.full((steps + 1, 2, 2, 3), 10 * index, np.uint8) + count[:, None, None, None]
    return Episode(
        observations={"image": image.astype(np.uint8), "state": np.stack([count, -count], 1)},
        actions=count[:-1, None] / 10,
        rewards=count[:-1] + 1,
        terminations=np.arange(steps) == (steps - 1 if index % 2 else steps),
        truncations=np.arange(steps) == (steps if index % 2 else steps - 1),
        info={"seed": index},
    )


EPISODES = [episode(0, 3), episode(1, 2), episode(2, 4)]


def write(folder: Path, episodes=EPISODES, spec=SPEC, **options) -> Store:
    origin = {"dataset": "Test", "seed": 3}
    with StoreWriter(folder, spec, episodes=len(episodes), origin=origin, **options) as writer:
        for item in episodes[writer.written :]:
            writer.append(item)
        return writer.finish()


def write_some(folder: Path, number: int, total: int = 3, origin=None) -> None:
    origin = origin or {"dataset": "Test", "seed": 3}
    with StoreWriter(folder, SPEC, episodes=total, origin=origin) as writer:
        for item in EPISODES[writer.written : number]:
            writer.append(item)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return write(tmp_path / "store")


def test_rows_lie_as_the_contract_says(store: Store):
    assert store.lengths.tolist() == [3, 2, 4]
    assert store.offsets.tolist() == [0, 4, 7]
    assert {name: field.shape for name, field in store.fields.items()} == {
        "observation.image": (12, 2, 2, 3),
        "observation.state": (12, 2),
        "action": (12, 1),
        "reward": (12,),
        "termination": (12,),
        "truncation": (12,),
    }
    assert store.fields["reward"].tolist() == [1, 2, 3, 0, 1, 2, 0, 1, 2, 3, 4, 0]
    assert store.fields["observation.image"][:, 0, 0, 0].tolist() == [
        *[0, 1, 2, 3],
        *[10, 11, 12],
        *[20, 21, 22, 23, 24],
    ]
    assert np.flatnonzero(store.fields["termination"]).tolist() == [5]
    assert np.flatnonzero(store.fields["truncation"]).tolist() == [2, 10]
    assert store.returns.tolist() == [6, 3, 10]


def test_episodes_come_back_unchanged(store: Store):
    for reopened in (Store.open(store.path, verify=True), copy.copy(store)):
        assert reopened.spec == SPEC
        for original, item in zip(EPISODES, reopened, strict=True):
            for name, value in original.observations.items():
                np.testing.assert_array_equal(item.observations[name], value)
                assert item.observations[name].dtype == value.dtype
            for name in ("actions", "rewards", "terminations", "truncations"):
                np.testing.assert_array_equal(getattr(item, name), getattr(original, name))
            assert item.info == original.info
    assert store[-1].undiscounted_return == 10
    with pytest.raises(IndexError):
        store[3]


def test_a_store_is_mapped_and_cannot_be_changed(store: Store):
    assert all(isinstance(field, np.memmap) for field in store.fields.values())
    with pytest.raises(ValueError, match="read-only"):
        store[0].rewards[0] = 5


def test_files_are_plain_npy(store: Store):
    image = np.load(store.path / "observation.image.npy", allow_pickle=False, mmap_mode="r")
    np.testing.assert_array_equal(image, store.fields["observation.image"])
    manifest = json.loads((store.path / "manifest.json").read_text())
    assert manifest["format"] == 1
    assert manifest["episodes"][1]["return"] == 3
    rewards = np.array([1, 2, 0], "<f4").tobytes()
    assert manifest["episodes"][1]["checksums"]["reward"] == zlib.crc32(rewards)
    assert sorted(path.name for path in store.path.iterdir()) == [
        "action.npy",
        "manifest.json",
        "observation.image.npy",
        "observation.state.npy",
        "reward.npy",
        "termination.npy",
        "truncation.npy",
    ]


def test_a_configuration_names_a_store(store: Store):
    assert len(StoreDataset(path=str(store.path)).build()) == 3


def test_an_interrupted_store_is_none_and_ends_with_the_same_bytes(tmp_path: Path, store: Store):
    folder = tmp_path / "again"
    write_some(folder, 1)
    with pytest.raises(VRLError, match=r"unfinished: 1 of 3 .*again\.partial"):
        Store.open(folder)
    write_some(folder, 2)
    with pytest.raises(VRLError, match="unfinished: 2 of 3"):
        Store.open(tmp_path / "again.partial")
    write(folder)
    assert contents(folder) == contents(store.path)
    assert not (tmp_path / "again.partial").exists()


def test_rows_beyond_the_journal_are_cut_off(tmp_path: Path, store: Store):
    folder = tmp_path / "again"
    write_some(folder, 2)
    staging = tmp_path / "again.partial"
    with (staging / "reward.npy").open("ab") as file:
        file.write(b"half an episode")
    with (staging / "journal.jsonl").open("ab") as file:
        file.write(b'{"length": 4, "ret')
    write(folder)
    assert contents(folder) == contents(store.path)


def test_a_journal_without_its_first_line_starts_anew(tmp_path: Path, store: Store):
    staging = tmp_path / "again.partial"
    staging.mkdir()
    (staging / "journal.jsonl").write_text('{"format": 1, "ori')
    write(tmp_path / "again")
    assert contents(tmp_path / "again") == contents(store.path)


def test_resuming_another_configuration_is_refused_by_what_differs(tmp_path: Path):
    write_some(tmp_path / "store", 1)
    with pytest.raises(VRLError, match="another configuration: seed was 3, now 4"):
        write_some(tmp_path / "store", 2, origin={"dataset": "Test", "seed": 4})
    with pytest.raises(VRLError, match="number of episodes was 3, now 4"):
        write_some(tmp_path / "store", 2, total=4)
    newer = dataclasses.replace(SPEC, versions={"simulator": "2.0"})
    with pytest.raises(VRLError, match=r"spec.versions.simulator was '1.0', now '2.0'"):
        write(tmp_path / "store", spec=newer)
    with pytest.raises(VRLError, match="holds 1 of 3 episodes of an unfinished store"):
        write(tmp_path / "store", resume=False)


def test_nothing_is_overwritten(tmp_path: Path, store: Store):
    with pytest.raises(VRLError, match=r"a store at .* already.*--output"):
        write(store.path)
    (tmp_path / "file").write_text("precious")
    with pytest.raises(VRLError, match="exists and is not a store"):
        write(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "precious"
    with pytest.raises(VRLError, match="cannot be a folder"):
        write(tmp_path / "file" / "store")


def test_two_writers_of_one_store_are_kept_apart(tmp_path: Path):
    origin = {"dataset": "Test", "seed": 3}
    with StoreWriter(tmp_path / "store", SPEC, episodes=3, origin=origin) as writer:
        writer.append(EPISODES[0])
        with pytest.raises(VRLError, match="in use by another run"):
            write(tmp_path / "store")
    assert len(write(tmp_path / "store")) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e.rewards.__setitem__(1, np.nan), "reward of episode 0 is nan at step 1"),
        (
            lambda e: e.observations["state"].__setitem__((2, 1), np.inf),
            "state of .* inf at step 2",
        ),
        (lambda e: e.actions.__setitem__((2, 0), 1.01), r"action of episode 0 is 1.00.* at step 2"),
    ],
)
def test_unfit_numbers_are_refused_by_place(tmp_path: Path, change, message):
    bad = episode(0, 3)
    change(bad)
    with pytest.raises(VRLError, match=message):
        write(tmp_path / "store", [bad])
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": np.zeros(3)}, "reward of episode 1 is float64"),
        (
            {"rewards": np.zeros((3, 1), np.float32)},
            r"shape \(3, 1\); expected float32 of shape \(3,",
        ),
        ({"terminations": np.zeros(4, bool)}, "termination of episode 1"),
        ({"actions": np.zeros((3, 2), np.float32)}, "action of episode 1"),
        ({"observations": {}}, r"observations \[\].*\['image', 'state'\]"),
        ({"actions": np.zeros((0, 1), np.float32)}, "Episode 1 has no steps"),
        ({"info": {"what": object()}}, "info of episode 1 cannot be written as JSON"),
    ],
)
def test_episodes_that_contradict_the_description_are_refused(tmp_path: Path, changes, message):
    bad = dataclasses.replace(episode(0, 3), **changes)
    with pytest.raises(VRLError, match=message):
        write(tmp_path / "store", [EPISODES[0], bad])
    assert len(write(tmp_path / "store", EPISODES[:2])) == 2, "the good episode was kept"


def test_rounding_in_actions_is_clipped(tmp_path: Path):
    rounded = episode(0, 3)
    rounded.actions[1] = np.nextafter(np.float32(1), np.float32(2))
    assert write(tmp_path / "store", [rounded]).fields["action"].max() == 1


def test_a_full_disk_keeps_what_was_written(tmp_path: Path, monkeypatch, store: Store):
    folder = tmp_path / "again"
    write_some(folder, 1)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(store_writer.os, "fsync", full)
        with pytest.raises(VRLError, match=r"disk is full.*is kept"):
            write(folder)
    with pytest.raises(VRLError, match="unfinished: 1 of 3"):
        Store.open(folder)
    write(folder)
    assert contents(folder) == contents(store.path)


def test_a_forbidden_folder_is_named(tmp_path: Path, monkeypatch):
    def forbidden(path: Path, *arguments, **options) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "mkdir", forbidden)
    with pytest.raises(VRLError, match=r"No permission to write .*store\.partial.*--output"):
        write(tmp_path / "store")


def test_a_sound_store_has_no_problems(store: Store):
    assert list(check_store(store.path)) == []
    assert list(store.verify([0, 2])) == []


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_check_names_field_and_episode_of_a_flipped_bit(store: Store):
    flip(store.path / "observation.image.npy", 256 + 12 * 5)
    assert [str(problem) for problem in check_store(store.path)] == [
        "observation.image.npy, episode 1: does not match its checksum"
    ]
    assert len(Store.open(store.path)) == 3, "cheap checks do not read the data"
    with pytest.raises(VRLError, match=r"episode 1: does not match.*vrl data check"):
        Store.open(store.path, verify=True)


def test_check_names_every_truncated_missing_and_foreign_file(store: Store):
    reward = store.path / "reward.npy"
    reward.write_bytes(reward.read_bytes()[:-6])
    (store.path / "action.npy").unlink()
    (store.path / "holiday.jpg").write_bytes(b"sea")
    (store.path / "termination.npy").open("ab").write(b"more")
    assert [str(problem) for problem in check_store(store.path)] == [
        "action.npy: is missing",
        "reward.npy: is truncated: 298 bytes instead of 304",
        "termination.npy: is too long: 272 bytes instead of 268",
        "holiday.jpg: does not belong to the store",
        "reward.npy, episode 2: 2 rows are missing",
    ]
    with pytest.raises(VRLError, match=r"damaged: action.npy is missing.*vrl data check"):
        Store.open(store.path)


def test_check_finds_another_dtype(store: Store):
    np.save(store.path / "reward.npy", np.zeros(12, np.int32))
    problems = [str(problem) for problem in check_store(store.path)]
    assert problems[0].startswith("reward.npy: is truncated")
    flip(store.path / "action.npy", 30)
    assert any("action.npy: has a wrong header" in str(p) for p in check_store(store.path))


def test_an_altered_manifest_is_noticed(store: Store):
    path = store.path / "manifest.json"
    text = path.read_text()
    path.write_text(text.replace('"behaviour": "good"', '"behaviour": "best"'))
    with pytest.raises(VRLError, match="does not match its own checksum"):
        Store.open(store.path)
    path.write_text(text[:-20])
    assert ["is not JSON" in str(problem) for problem in check_store(store.path)] == [True]
    path.write_text(text.replace('"format": 1', '"format": 2'))
    with pytest.raises(VRLError, match="format 2; this version of VRL reads format 1"):
        Store.open(store.path)


def test_nan_in_a_store_of_another_writer_is_found(tmp_path: Path, monkeypatch):
    bad = episode(0, 3)
    bad.observations["state"][2] = np.nan
    monkeypatch.setattr("vrl_core.episode_rows.np.isfinite", np.ones_like)
    with StoreWriter(tmp_path / "store", SPEC, episodes=1, origin={}) as writer:
        writer.append(bad)
        writer.finish()
    monkeypatch.undo()
    assert [str(problem) for problem in check_store(tmp_path / "store")] == [
        "observation.state.npy, episode 0: NaN or infinity at step 2"
    ]


def test_an_unfinished_store_can_be_checked(tmp_path: Path):
    write_some(tmp_path / "store", 2)
    staging = tmp_path / "store.partial"
    assert list(check_staging(staging)) == []
    flip(staging / "reward.npy", 256)
    (staging / "action.npy").unlink()
    assert [str(problem) for problem in check_staging(staging)] == [
        "action.npy: is truncated: 0 bytes, 284 expected",
        "reward.npy, episode 0: does not match its checksum",
    ]


def test_missing_and_foreign_folders_are_told_apart(tmp_path: Path):
    with pytest.raises(VRLError, match=r"no store at .*vrl data collect"):
        Store.open(tmp_path / "nothing")
    with pytest.raises(VRLError, match=r"is not a store.*vrl data convert"):
        Store.open(tmp_path)


def test_a_leftover_journal_does_no_harm(tmp_path: Path, store: Store):
    write_some(tmp_path / "other", 2)
    shutil.copy(tmp_path / "other.partial" / "journal.jsonl", store.path)
    assert len(Store.open(store.path)) == 3
    assert list(check_store(store.path)) == []
