"""Labels of frames: which are drawn, what a person finds, and what is refused when read back."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lamp_dataset import Lamp
from vrl_core.errors import VRLError
from vrl_core.ingest import write_store
from vrl_core.reward_labels import (
    Frame,
    balanced_labels,
    camera_field,
    draw_frames,
    read_labels,
    true_successes,
    write_labels,
)
from vrl_core.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return write_store(Lamp(), tmp_path / "store", workers=1)


def table(folder: Path, *lines: str, header: str = "episode,step,label") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "labels.csv"
    path.write_text("\n".join((header, *lines)) + "\n")
    return path


def test_rewards_tell_which_frames_are_successes(store):
    found = true_successes(store)
    assert [len(each) for each in found] == [6, 7, 8, 9, 10, 11]
    assert found[1].tolist() == [False] * 3 + [True] * 4  # frames 1 to 7; the lamp is on from 4
    assert not found[0].any()


def test_labels_by_rewards_are_balanced_and_true(store):
    labels = balanced_labels(store, 20, np.random.default_rng(0))
    assert len(labels) == 20
    assert sum(labels.values()) == 10
    for frame, success in labels.items():
        assert frame.step >= 1  # no reward tells of frame 0
        assert success == bool(true_successes(store)[frame.episode][frame.step - 1])
    assert labels == balanced_labels(store, 20, np.random.default_rng(0))
    assert labels != balanced_labels(store, 20, np.random.default_rng(1))


def test_frames_to_label_are_last_ones_and_others(store):
    frames = draw_frames(store, 12, 0.5, np.random.default_rng(0))
    assert len(set(frames)) == 12
    endings = [frame for frame in frames if frame.step == store.lengths[frame.episode]]
    assert len(endings) >= 6
    every = draw_frames(store, int(store.lengths.sum()), 0, np.random.default_rng(0))
    assert every == [Frame(e, t) for e, n in enumerate(store.lengths) for t in range(1, n + 1)]
    with pytest.raises(VRLError, match=r"has 51 frames to label, not 52"):
        draw_frames(store, 52, 0.5, np.random.default_rng(0))


def test_a_person_sees_the_frames_and_fills_in_the_table(store, tmp_path):
    frames = draw_frames(store, 8, 0.5, np.random.default_rng(0))
    folder = tmp_path / "labels"
    write_labels(folder, store, "image", frames)
    shown = Image.open(folder / "frames" / frames[0].file)
    factor = shown.width // 16
    original = store[frames[0].episode].observations["image"][frames[0].step]
    np.testing.assert_array_equal(np.asarray(shown)[::factor, ::factor], original)
    with (folder / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(int(row["episode"]), int(row["step"]), row["label"]) for row in rows] == [
        (frame.episode, frame.step, "") for frame in frames
    ]
    with pytest.raises(VRLError, match="labels 0 frames as successes and 0 as none"):
        read_labels(folder, store)
    # two in the table, two by moving pictures, the rest stays unlabelled
    text = (folder / "labels.csv").read_text().splitlines()
    text[1], text[2] = text[1] + "1", text[2] + "0"
    (folder / "labels.csv").write_text("\n".join(text))
    for index, verdict in ((2, "positive"), (3, "negative")):
        (folder / "frames" / frames[index].file).rename(folder / verdict / frames[index].file)
    expected = {frames[0]: True, frames[1]: False, frames[2]: True, frames[3]: False}
    assert read_labels(folder, store) == expected
    with pytest.raises(VRLError, match="exists already, and labels are not overwritten"):
        write_labels(folder, store, "image", frames)


def test_a_spreadsheets_table_is_read(store, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("﻿label;episode;step;note\n1;1;5;on\n0;0;0;\n;2;2;unclear\n", encoding="utf-8")
    assert read_labels(path, store) == {Frame(0, 0): False, Frame(1, 5): True}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("1,5,1", "9,1,0"), r"line 3: there is no episode 9; .* has episodes 0 to 5"),
        (("1,5,1", "1,8,0"), r"line 3: episode 1 has no step 8; its frames are 0 to 7"),
        (("1,5,1", "1,-1,0"), "has no step -1"),
        (("1,5,yes",), "the label is 'yes'. Write 1"),
        (("1,five,1",), "step 'five' must be whole numbers"),
        (("1,5,1", "1,5,0"), "step 5 of episode 1 is labelled 0 here and 1 elsewhere"),
        (("1,5,1", "1,6,1"), "labels 2 frames as successes and 0 as none; .* needs both"),
        ((), "needs both"),
    ],
)
def test_bad_labels_are_explained(store, tmp_path, lines, message):
    with pytest.raises(VRLError, match=message):
        read_labels(table(tmp_path / "labels", *lines), store)


def test_missing_tables_and_columns_are_explained(store, tmp_path):
    with pytest.raises(VRLError, match=r"There are no labels at .*vrl reward label"):
        read_labels(tmp_path / "none", store)
    path = table(tmp_path / "labels", "1,5", header="episode,frame")
    with pytest.raises(VRLError, match="lacks the column label and step"):
        read_labels(path, store)


def test_foreign_pictures_and_contradicting_moves_are_explained(store, tmp_path):
    folder = tmp_path / "labels"
    labels = {Frame(1, 5): True, Frame(1, 1): False}
    write_labels(folder, store, "image", list(labels), labels)
    assert read_labels(folder, store) == dict(sorted(labels.items()))
    moved = folder / "negative" / Frame(1, 5).file
    (folder / "frames" / Frame(1, 5).file).rename(moved)
    with pytest.raises(VRLError, match=r"step 5 of episode 1 is labelled 0 here and 1 elsewhere"):
        read_labels(folder, store)
    moved.rename(folder / "negative" / "holiday.png")
    with pytest.raises(VRLError, match="none of the frames that were written"):
        read_labels(folder, store)


def test_labels_of_another_store_are_refused(store, tmp_path):
    labels = {Frame(1, 5): True, Frame(1, 1): False}
    write_labels(tmp_path / "labels", store, "image", list(labels), labels)
    other = write_store(Lamp(episodes=5), tmp_path / "other", workers=1)
    with pytest.raises(VRLError, match=r"were made for another store .of 'lamp'. than"):
        read_labels(tmp_path / "labels", other)
    (tmp_path / "labels" / "labels.json").write_text("{")
    with pytest.raises(VRLError, match="cannot be read"):
        read_labels(tmp_path / "labels", store)


def test_rewards_that_tell_no_successes_are_refused(store, tmp_path):
    dense = write_store(Lamp(reward=0.3), tmp_path / "dense", workers=1)
    with pytest.raises(VRLError, match=r"lie between 0 and 0\.3 and are not all 0 or 1"):
        true_successes(dense)
    rng = np.random.default_rng(0)
    with pytest.raises(VRLError, match="frames that are successes, and half of 102 are needed"):
        balanced_labels(store, 102, rng)
    dark = write_store(Lamp(episodes=1), tmp_path / "dark", workers=1)
    with pytest.raises(VRLError, match="no frame is a success"):
        balanced_labels(dark, 2, rng)


def test_cameras_are_found_or_named(store, tmp_path, counting_store):
    assert camera_field(store) == "image"
    wrist = write_store(Lamp(episodes=1, camera="wrist"), tmp_path / "wrist", workers=1)
    assert camera_field(wrist) == "wrist"
    with pytest.raises(VRLError, match=r"no camera named 'wirst'\. Did you mean 'wrist'"):
        camera_field(wrist, "wirst")
