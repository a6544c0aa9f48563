"""LeRobot's datasets: alignment, files of several episodes, cameras, scaling, ends, bad ones."""

import json
import shutil
import subprocess
import sys
import wave

import av
import av.error
import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest

import vrl_envs.plugin
from tiny_lerobot import (
    FPS,
    LENGTHS,
    SIZE,
    TASKS,
    TOP,
    WRIST,
    write_info,
    write_v2,
    write_v3,
    write_video,
)
from vrl_core.commands.data_sources import _recognised
from vrl_core.episodes import FieldSpec
from vrl_core.errors import DamagedDataError, VRLError
from vrl_core.ingest import write_store
from vrl_core.registry import Registry
from vrl_core.testing import check_dataset
from vrl_envs.readers.damage import IncompleteDataWarning
from vrl_envs.readers.lerobot_config import LeRobot
from vrl_envs.readers.lerobot_frames import video_frames

TEXT = {"dtype": "string", "shape": [1], "names": None}
WRITERS = {"v3.0": write_v3, "v2.1": write_v2}


def colours(episode, field):
    return episode.observations[field][:, 5, 5].tolist()


@pytest.mark.parametrize("version", WRITERS)
@pytest.mark.parametrize("kind", ["video", "image"])
def test_every_episode_has_its_own_rows_and_frames(tmp_path, version, kind):
    folder = WRITERS[version](tmp_path / "push", kind=kind)
    dataset = LeRobot(path=str(folder)).build()
    for number in (2, 0, 1):  # any order
        episode = dataset[number]
        # Episode 1 ends in success: its last step is kept, and the last state repeated.
        rows = [*range(LENGTHS[number]), *([LENGTHS[number] - 1] if number == 1 else [])]
        steps = len(rows) - 1
        assert episode.observations["state"].tolist() == [[10 * number + t, -t] for t in rows]
        assert episode.observations["gripper-force"][:, 0].tolist() == [t / 2 for t in rows]
        assert colours(episode, "image") == [[20 * t, 60 * number, 10] for t in rows]
        assert colours(episode, "image_wrist") == [[20 * t, 60 * number, 200] for t in rows]
        np.testing.assert_allclose(
            episode.rewards, [number + t / 10 for t in range(steps)], rtol=1e-6
        )
        # Least and largest become -1 and 1; what never changes becomes 0.
        scaled = [[t / 2 - 1, 1 - t / 2, 0] for t in range(steps)]
        np.testing.assert_allclose(episode.actions, scaled, atol=1e-6)
        last = [False] * (steps - 1) + [True]
        assert episode.terminations.tolist() == (last if number == 1 else [False] * steps)
        assert episode.truncations.tolist() == ([False] * steps if number == 1 else last)
        assert episode.info["instruction"] == TASKS[number % 2]
        assert episode.info["action_high"] == [4, 0, 5]


def test_the_description_and_the_contract(tmp_path):
    config = LeRobot(path=str(write_v3(tmp_path / "push")), quality="medexp")
    spec = config.build().spec
    assert spec.observations == {
        "image": FieldSpec((SIZE, SIZE, 3), "uint8"),  # not the 99 that info.json says
        "image_wrist": FieldSpec((SIZE, SIZE, 3), "uint8"),
        "state": FieldSpec((2,), "float32"),
        "gripper-force": FieldSpec((1,), "float32"),
    }
    assert (spec.task, spec.behaviour, spec.action_size) == ("push", "medium_expert", 3)
    assert (spec.source, spec.versions) == (f"LeRobot, camera {TOP}", {"lerobot": "v3.0"})
    check_dataset(config, spawn=False)


def test_cameras_are_chosen_and_stretched(tmp_path):
    path = str(write_v3(tmp_path / "push"))
    dataset = LeRobot(path=path, camera="wrist", size=8, proprioception=False).build()
    assert dataset.spec.observations == {
        "image": FieldSpec((8, 8, 3), "uint8"),
        "image_top": FieldSpec((8, 8, 3), "uint8"),
    }
    assert colours(dataset[0], "image")[1] == [20, 0, 200]
    main = LeRobot(path=path, cameras="main").build()
    assert set(main.spec.observations) == {"image", "state", "gripper-force"}
    with pytest.raises(VRLError, match="Did you mean 'wrist'"):
        LeRobot(path=path, camera="writs").build()


def test_depth_maps_are_left_out(tmp_path):
    depth = {"dtype": "video", "shape": [8, 8, 1], "info": {"video.is_depth_map": True}}
    path = str(write_v3(tmp_path / "push", **{"observation.images.depth": depth}))
    with pytest.warns(IncompleteDataWarning, match="not observation.images.depth"):
        dataset = LeRobot(path=path).build()
    assert "image_depth" not in dataset.spec.observations


def test_episodes_of_one_instruction(tmp_path):
    path = str(write_v3(tmp_path / "push"))
    dataset = LeRobot(path=path, instruction=TASKS[1]).build()
    assert [dataset[index].info["episode"] for index in range(len(dataset))] == [1]
    with pytest.raises(VRLError, match="Did you mean 'lift the block'"):
        LeRobot(path=path, instruction="lift a block").build()


def test_ends_that_lead_nowhere_may_be_dropped(tmp_path):
    path = str(write_v3(tmp_path / "push"))
    episode = LeRobot(path=path, terminal_observation="drop").build()[1]
    assert len(episode) == 2
    assert (episode.terminations.any(), episode.truncations.tolist()) == (False, [False, True])


def test_without_success_done_is_the_end_unless_truncated(tmp_path):
    flag = {"dtype": "bool", "shape": [1], "names": None}
    done = LeRobot(path=str(write_v3(tmp_path / "a", **{"next.success": None}))).build()[0]
    assert (len(done), done.terminations[-1]) == (4, True)
    folder = write_v3(tmp_path / "b", **{"next.success": None, "next.truncated": flag})
    for path in (folder / "data").rglob("*.parquet"):
        table = parquet.read_table(path)
        parquet.write_table(table.append_column("next.truncated", table["next.done"]), path)
    cut = LeRobot(path=str(folder)).build()[0]
    assert (len(cut), cut.terminations.any(), cut.truncations[-1]) == (3, False, True)


def test_done_alone_is_what_one_says_it_is(tmp_path):
    path = str(write_v3(tmp_path / "push", **{"next.success": None}))
    with pytest.warns(IncompleteDataWarning, match=r"taken for terminations.*--dataset\.done"):
        assert LeRobot(path=path).build()[0].terminations[-1]
    with pytest.warns(IncompleteDataWarning, match="taken for ends by a time limit"):
        episode = LeRobot(path=path, done="truncated").build()[0]
    assert (len(episode), episode.terminations.any(), episode.truncations[-1]) == (3, False, True)


def test_every_observed_number_is_read_and_no_name_stands_for_two(tmp_path):
    number = {"dtype": "float32", "shape": [], "names": None}
    matrix = {"dtype": "float32", "shape": [2, 3], "names": None}
    more = {"observation.effort": number, "observation.inertia": matrix}
    folder = write_v3(tmp_path / "push", **more, **{"observation.note": TEXT})
    for path in (folder / "data").rglob("*.parquet"):
        table = parquet.read_table(path)
        rows = np.arange(len(table), dtype=np.float32)
        matrices = (rows[:, None, None] + np.arange(6).reshape(2, 3)).tolist()
        table = table.append_column("observation.effort", pyarrow.array(rows))
        parquet.write_table(table.append_column("observation.inertia", [matrices]), path)
    with pytest.warns(IncompleteDataWarning, match=r"not observation\.note"):
        seen = LeRobot(path=str(folder)).build()[0].observations
    assert seen["effort"].tolist() == [[0], [1], [2], [3]]
    assert seen["inertia"][1].tolist() == [1, 2, 3, 4, 5, 6]
    same = {"observation.state.left": number, "observation.state_left": number}
    with pytest.raises(VRLError, match=r"'observation\.state\.left' and .* field 'state_left'"):
        LeRobot(path=str(write_v3(tmp_path / "same", **same))).build()


@pytest.mark.parametrize("write", [write_v2, write_v3])
def test_files_behind_links_are_read_and_paths_that_lead_out_are_not(tmp_path, write):
    """As the hub's cache keeps them: every file is a link to one in another folder."""
    folder, blobs = write(tmp_path / "push"), tmp_path / "blobs"
    blobs.mkdir()
    for number, path in enumerate([each for each in folder.rglob("*") if each.is_file()]):
        path.rename(blobs / str(number))
        path.symlink_to(blobs / str(number))
    assert len(LeRobot(path=str(folder)).build()[2]) == 4
    info = folder / "meta/info.json"
    for template in ("../push/data/x.parquet", "/data/x.parquet"):
        changed = json.loads(info.read_text()) | {"data_path": template}
        info.write_text(json.dumps(changed))
        with pytest.raises(VRLError, match="which leads out of the folder"):
            LeRobot(path=str(folder)).build()[0]


def test_frames_that_the_decoder_makes_up_are_damage(tmp_path):
    """It fills in what it cannot decode, and only marks those frames."""
    path = tmp_path / "video.mp4"
    noise = np.random.default_rng(0)
    frames = [noise.integers(0, 256, (SIZE, SIZE, 3), np.uint8) for _ in range(8)]
    write_video(path, frames, codec="libx264")
    times, content = [row / FPS for row in range(8)], path.read_bytes()
    assert len(list(video_frames(path, times, fps=FPS, size=None))) == 8
    start, end = content.index(b"mdat") + 4, content.index(b"moov")
    marked = 0
    for seed in range(40):
        changed, rng = bytearray(content), np.random.default_rng(seed)
        for place in rng.integers(start, end, 4):
            changed[place] ^= int(rng.integers(1, 256))
        path.write_bytes(changed)
        try:
            with av.open(str(path)) as container:
                made_up = any(frame.is_corrupt for frame in container.decode(video=0))
        except av.error.FFmpegError:
            continue
        if made_up:
            marked += 1
            with pytest.raises(DamagedDataError, match=r"cannot be decoded|has no frame"):
                list(video_frames(path, times, fps=FPS, size=None))
    assert marked > 3


def test_a_video_without_pictures_is_damage(tmp_path):
    path = tmp_path / "video.mp4"
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(800))
    with pytest.raises(
        DamagedDataError, match=r"video\.mp4 cannot be read: it has no video stream"
    ):
        list(video_frames(path, [0.0], fps=FPS, size=None))


def test_demonstrations_without_rewards_must_be_given_some(tmp_path):
    absent = dict.fromkeys(("next.reward", "next.done", "next.success"))
    path = str(write_v2(tmp_path / "demos", **absent))
    with pytest.raises(VRLError, match=r"no rewards.*--dataset.reward success.*reward zero"):
        LeRobot(path=path).build()
    episode = LeRobot(path=path, reward="success").build()[0]
    assert episode.rewards.tolist() == [0, 0, 0, 1]
    assert episode.terminations.tolist() == [False, False, False, True]
    with pytest.raises(VRLError, match="leave one of the two away"):
        LeRobot(path=path, reward="success", terminal_observation="drop")
    episode = LeRobot(path=path, reward="zero").build()[0]
    assert episode.rewards.tolist() == [0, 0, 0]
    assert episode.truncations.tolist() == [False, False, True]


def test_actions_without_statistics_must_be_in_the_box(tmp_path):
    folder = write_v3(tmp_path / "push")
    with pytest.raises(VRLError, match="actions of size 5"):
        LeRobot(path=str(folder), actions="unit").build()[0]
    (folder / "meta/stats.json").unlink()
    with pytest.raises(VRLError, match=r"no statistics.*--dataset.actions unit"):
        LeRobot(path=str(folder)).build()
    (folder / "meta/stats.json").write_text(json.dumps({"action": {"min": [0], "max": [1]}}))
    with pytest.raises(VRLError, match=r"finite ones for 3 numbers"):
        LeRobot(path=str(folder)).build()


def test_rows_lie_in_any_grouping_and_order(tmp_path):
    """One group of all rows, as other writers make, backwards and without statistics."""
    folder = write_v3(tmp_path / "push", kind="image", groups=100)
    before = LeRobot(path=str(folder)).build()[1]
    path = folder / "data/chunk-000/file-000.parquet"
    table = parquet.read_table(path)
    parquet.write_table(table.take(list(range(len(table)))[::-1]), path, write_statistics=False)
    after = LeRobot(path=str(folder)).build()[1]
    np.testing.assert_array_equal(before.observations["image"], after.observations["image"])
    np.testing.assert_array_equal(before.actions, after.actions)


def test_lengths_that_lie_are_found(tmp_path):
    folder = write_v2(tmp_path / "push")
    lines = (folder / "meta/episodes.jsonl").read_text().replace('"length": 4', '"length": 9')
    (folder / "meta/episodes.jsonl").write_text(lines)
    with pytest.raises(DamagedDataError, match="has 4 rows of episode 0, which has 9"):
        LeRobot(path=str(folder)).build()


def test_lists_and_actions_of_another_form_are_named(tmp_path):
    folder = write_v2(tmp_path / "push", action={"dtype": "float32", "shape": [2]})
    (folder / "meta/episodes_stats.jsonl").unlink()
    with pytest.raises(DamagedDataError, match="actions of 3 numbers; the dataset's have 2"):
        LeRobot(path=str(folder), actions="unit").build()[0]
    (folder / "meta/episodes.jsonl").write_text('{"episode_index": 0}\n')
    with pytest.raises(DamagedDataError, match=r"episodes\.jsonl cannot be read: 'length'"):
        LeRobot(path=str(folder), actions="unit").build()


def test_columns_that_a_table_lacks_are_named(tmp_path):
    folder = write_v2(tmp_path / "push")
    path = folder / "data/chunk-000/episode_000001.parquet"
    parquet.write_table(parquet.read_table(path).drop_columns(["observation.state"]), path)
    dataset = LeRobot(path=str(folder)).build()
    assert len(dataset[0]) == 3
    with pytest.raises(DamagedDataError, match=rf"{path.name} has no column observation\.state"):
        dataset[1]


def test_an_episode_that_is_listed_twice_is_refused(tmp_path):
    folder = write_v3(tmp_path / "push")
    listed = folder / "meta/episodes/chunk-000"
    shutil.copy(listed / "file-001.parquet", listed / "file-002.parquet")
    with pytest.raises(DamagedDataError, match="lists episode 0 twice"):
        LeRobot(path=str(folder)).build()


@pytest.mark.parametrize("damage", ["video", "short video", "table", "missing"])
def test_damaged_episodes_are_named_and_left_out_on_request(tmp_path, damage):
    """Of the files that episodes 0 and 1 share; episode 2 has its own."""
    folder = write_v3(tmp_path / "push")
    bad = folder / "data/chunk-000/file-000.parquet"
    if damage in ("video", "short video"):
        bad = folder / f"videos/{WRIST}/chunk-000/file-000.mp4"
    if damage == "missing":
        bad.unlink()
    elif damage == "short video":
        shutil.copy(folder / f"videos/{WRIST}/chunk-000/file-001.mp4", bad)
    else:
        bad.write_bytes(bad.read_bytes()[:200])
    config = LeRobot(path=str(folder))
    with pytest.raises(DamagedDataError, match=rf"{bad.name}.*skip-damaged"):
        write_store(config, tmp_path / "store", workers=1)
    left_out = 1 if damage == "short video" else 2  # five frames are enough for episode 0
    with pytest.warns(UserWarning, match=f"left out {left_out} of 3 episodes"):
        store = write_store(
            LeRobot(path=str(folder), skip_damaged=True), tmp_path / "other", workers=1
        )
    assert store[-1].info["episode"] == 2


def test_images_that_are_not_in_the_table_are_named(tmp_path):
    folder = write_v2(tmp_path / "push", kind="image")
    path = folder / "data/chunk-000/episode_000000.parquet"
    table = parquet.read_table(path)
    cells = pyarrow.array([{"bytes": None, "path": "images/0.png"}] * len(table))
    parquet.write_table(table.set_column(table.schema.get_field_index(TOP), TOP, cells), path)
    with pytest.raises(DamagedDataError, match=r"names the image images/0\.png and does not"):
        LeRobot(path=str(folder)).build()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codebase_version": "v1.6"}, r"version v1\.6; read are v2\.0, v2\.1, v3\.0"),
        ({"data_path": "data/{nothing}.parquet"}, "malformed.*the path"),
        ({"data_path": "../../{file_index}.parquet"}, "leads out of the folder"),
        ({"features": {"x": {"dtype": "float32", "shape": [1]}}}, "has no 'action'"),
        ({"features": 3}, "malformed"),
        ({"fps": 0}, "has no 'fps'"),
    ],
)
def test_metadata_that_cannot_be_used_is_explained(tmp_path, changes, message):
    folder = write_v3(tmp_path / "push")
    features = json.loads((folder / "meta/info.json").read_text())["features"]
    write_info(folder, "v3.0", features, **changes)
    with pytest.raises(VRLError, match=message):
        LeRobot(path=str(folder)).build()
    with pytest.raises(VRLError, match="no LeRobot dataset"):
        LeRobot(path=str(tmp_path)).build()


def test_the_format_is_recognised(tmp_path):
    registry = Registry(installed=False, modules=(vrl_envs.plugin,))
    assert _recognised(write_v3(tmp_path / "push"), registry) == "lerobot"
    assert not LeRobot.recognises(tmp_path)
    (tmp_path / "other/meta").mkdir(parents=True)
    (tmp_path / "other/meta/info.json").write_text("[1]")
    assert not LeRobot.recognises(tmp_path / "other")


def test_what_is_not_installed_is_named(tmp_path):
    code = (
        "import sys; sys.modules['av'] = None\n"
        "from vrl_core.errors import VRLError\n"
        "from vrl_envs.readers.lerobot_config import LeRobot\n"
        "try: LeRobot(path='x').build()\n"
        "except VRLError as error: print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "pip install 'vrl-envs[lerobot]'" in result.stdout
