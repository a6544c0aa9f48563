"""Distractions: what they change, what they leave, that draws repeat and do not leak."""

from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest

import vrl_envs.plugin
from vrl_core.agreement import check_identity
from vrl_core.config import from_data, to_data
from vrl_core.errors import VRLError
from vrl_core.registry import Registry
from vrl_core.testing import check_environment
from vrl_envs.dmc.backgrounds import (
    procedural_texture,
    resized,
    texture_names,
    video_frames,
    video_picture,
)
from vrl_envs.dmc.camera_shift import camera_place, draw_pose
from vrl_envs.dmc.config import DMC, DMCDataset
from vrl_envs.dmc.distractions import fixed_seed, near_colours
from vrl_envs.dmc.environment import DMCEnvironment

REGISTRY = Registry(installed=False, modules=(vrl_envs.plugin,))


def environment(**settings) -> DMCEnvironment:
    return DMCEnvironment(DMC(**{"size": 16, "rendering": "fast", **settings}))


def first_frame(seed: int = 0, **settings) -> np.ndarray:
    env = environment(**settings)
    image, _ = env.reset(seed=seed)
    env.close()
    return image


def test_the_training_distraction_has_the_published_seed():
    assert fixed_seed("low") == int.from_bytes(b"easy_0", "little") % 2**31 == 2037604709
    assert [fixed_seed(name) for name in ("moderate", "high")] == [1768187245, 1685217640]


@pytest.mark.parametrize("task", ["walker_walk", "cheetah_run", "reacher_easy"])
def test_distractions_are_seen_and_change_no_state_or_reward(task):
    plain, shifted = (
        environment(task=task, observation="both", distraction=name) for name in ("none", "high")
    )
    seen, _ = plain.reset(seed=1)
    other, _ = shifted.reset(seed=1)
    for _ in range(3):
        assert np.abs(seen["image"].astype(int) - other["image"]).mean() > 10
        np.testing.assert_array_equal(seen["state"], other["state"])
        action = np.full(plain.action_size, 0.5)
        (seen, reward, *_), (other, same, *_) = plain.step(action), shifted.step(action)
        assert reward == same
    plain.close()
    shifted.close()


def test_a_fixed_distraction_is_one_and_fresh_ones_follow_the_seed():
    fixed = environment(distraction="moderate")
    again = environment(distraction="medium")  # the published folders' name
    np.testing.assert_array_equal(fixed.reset(seed=4)[0], again.reset(seed=4)[0])
    assert fixed.background == again.background
    fresh = environment(distraction="moderate", distraction_draw="fresh")
    first, _ = fresh.reset(seed=4)
    assert (fresh.reset(seed=5)[0] != first).any()
    unseeded, _ = fresh.reset()
    np.testing.assert_array_equal(fresh.reset(seed=4)[0], first)
    assert (unseeded != first).any()
    anew = first_frame(4, distraction="moderate", distraction_draw="fresh")
    np.testing.assert_array_equal(anew, first)
    for env in (fixed, again, fresh):
        env.close()


def test_environments_side_by_side_keep_their_own_scenes():
    plain = environment()
    before, _ = plain.reset(seed=0)
    shifts = [
        environment(distraction="high", distraction_draw="fresh"),
        environment(distraction="high", distraction_draw="fresh"),
        environment(distraction="low"),
    ]
    frames = [env.reset(seed=seed)[0] for seed, env in enumerate(shifts)]
    np.testing.assert_array_equal(plain.reset(seed=0)[0], before)
    for env, frame in zip(shifts, frames, strict=True):
        env.forget_frames()
        np.testing.assert_array_equal(env.render(), frame)
    for env in (plain, *shifts):
        env.close()


def test_parts_change_what_they_say():
    plain = first_frame()
    settings = {"distraction": "high"}
    # The walker's sky fills the upper rows, its ground and most of its body the lower ones.
    colour = first_frame(**settings, distraction_parts="colour")
    np.testing.assert_array_equal(colour[:2], plain[:2])
    assert (colour[8:] != plain[8:]).any()
    background = first_frame(**settings, distraction_parts="background")
    assert (background[:2] != plain[:2]).all(-1).mean() > 0.5
    np.testing.assert_array_equal(background[12:], plain[12:])
    both = first_frame(**settings, distraction_parts="colour+background")
    np.testing.assert_array_equal(both[12:], colour[12:])
    np.testing.assert_array_equal(both[:2], background[:2])


def test_colours_stay_near_their_own():
    own = np.array([[0.1, 0.5, 0.95]] * 500)
    drawn = near_colours(own, 0.2, np.random.RandomState(0))
    low, high = drawn.min(0), drawn.max(0)
    assert low == pytest.approx([0.0, 0.3, 0.75], abs=0.01)
    assert high == pytest.approx([0.3, 0.7, 1.0], abs=0.01)


@pytest.mark.parametrize("task", ["walker_walk", "cheetah_run", "cartpole_swingup"])
def test_a_camera_drawn_without_scale_is_the_suites_own(task):
    env = environment(task=task, observation="state")
    env.reset(seed=0)
    model, data = env._physics.model.ptr, env._physics.data.ptr
    position, orientation = data.cam_xpos[0].copy(), data.cam_xmat[0].copy()
    pose = draw_pose(camera_place(task, model, 0), 0.0, np.random.RandomState(0))
    with pose.applied(data):
        np.testing.assert_allclose(data.cam_xpos[0], position, atol=1e-12)
        if task != "cartpole_swingup":  # its camera looks a little past the pole
            np.testing.assert_allclose(data.cam_xmat[0], orientation, atol=1e-6)
    np.testing.assert_array_equal(data.cam_xmat[0], orientation)


@pytest.mark.parametrize("task", ["walker_walk", "reacher_easy"])
def test_cameras_stay_in_range_and_look_at_their_target(task):
    env = environment(task=task, observation="state")
    place = camera_place(task, env._physics.model.ptr, 0)
    own = np.linalg.norm(place.position)
    for seed in range(50):
        pose = draw_pose(place, 0.3, np.random.RandomState(seed))
        assert 0.85 * own <= np.linalg.norm(pose.position) <= 1.45 * own
        matrix = pose.orientation.reshape(3, 3)
        np.testing.assert_allclose(matrix.T @ matrix, np.eye(3), atol=1e-12)
        away = place.target - pose.position
        np.testing.assert_allclose(-matrix[:, 2], away / np.linalg.norm(away), atol=1e-12)
        assert task == "reacher_easy" or (pose.position[2] >= 0 and pose.position[1] < 0)


def test_harder_distractions_draw_from_more_textures():
    pools = [texture_names(name) for name in ("low", "moderate", "high")]
    assert [len(pool) for pool in pools] == [4, 8, 60]
    assert pools[2][:4] == pools[0]
    first, second = procedural_texture(0, 40), procedural_texture(1, 40)
    assert first.shape == (40, 40, 3)
    assert first.dtype == np.uint8
    assert first.std() > 20
    assert np.abs(first.astype(int) - second).mean() > 20


def write_videos(folder: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for frame in (1, 0):
            image = np.full((3, 4, 3), 20 * number + 100 * frame, np.uint8)
            imageio.imwrite(folder / name / f"0000{frame}.png", image)


def test_videos_give_their_first_frames(tmp_path):
    write_videos(tmp_path, ["d", "c", "b", "a", "e"])
    assert list(video_frames("low", tmp_path)) == ["a", "b", "c", "d"]
    assert video_frames("high", tmp_path)["e"] == tmp_path / "e" / "00000.png"
    settings = {"distraction_background": "videos", "video_folder": tmp_path}
    env = environment(distraction="easy", distraction_parts="background", **settings)
    image, _ = env.reset(seed=0)
    grey = {"d": 0, "c": 20, "b": 40, "a": 60}[env.background]
    np.testing.assert_array_equal(image[:2], np.full((2, 16, 3), grey))
    with pytest.raises(VRLError, match="has 5 videos; the distraction moderate takes 8"):
        environment(distraction="moderate", **settings)
    env.close()


def damaged_frames(folder: Path) -> dict[str, Path]:
    """Write frames of every kind of damage."""
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    whole = {}
    for suffix in (".jpg", ".png"):
        imageio.imwrite(folder / f"whole{suffix}", noise)
        whole[suffix] = (folder / f"whole{suffix}").read_bytes()
    flipped = bytearray(whole[".png"])
    flipped[17] ^= 0xFF  # in the header
    contents = {
        "half.jpg": whole[".jpg"][: len(whole[".jpg"]) // 2],
        "start.jpg": whole[".jpg"][:20],
        "half.png": whole[".png"][: len(whole[".png"]) // 2],
        "flipped.png": bytes(flipped),
        "words.jpg": b"not a picture",
        "empty.jpg": b"",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in contents}


def test_a_damaged_frame_is_named(tmp_path):
    for path in damaged_frames(tmp_path).values():
        with pytest.raises(VRLError, match=rf"The frame {path} cannot be read: .*damaged"):
            video_picture(path, 8)


def test_grey_frames_and_films_are_pictures(tmp_path):
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    imageio.imwrite(tmp_path / "grey.png", grey)
    np.testing.assert_array_equal(video_picture(tmp_path / "grey.png", 8), np.dstack([grey] * 3))
    imageio.imwrite(tmp_path / "film.gif", np.stack([grey, grey]))
    (tmp_path / "film.gif").rename(tmp_path / "film.jpg")
    assert video_picture(tmp_path / "film.jpg", 4).shape == (4, 4, 3)


def test_davis_is_known_by_its_folders(tmp_path, monkeypatch):
    write_videos(tmp_path / "DAVIS/JPEGImages/480p", ["a", "b", "c", "d", "e", "f"])
    (tmp_path / "DAVIS/ImageSets/2017").mkdir(parents=True)
    (tmp_path / "DAVIS/ImageSets/2017/train.txt").write_text("b\nc\ne\nf\n")
    monkeypatch.setenv("VRL_HOME", str(tmp_path))
    assert list(video_frames("high", None)) == ["b", "c", "e", "f"]
    monkeypatch.setenv("VRL_HOME", str(tmp_path / "elsewhere"))
    with pytest.raises(VRLError, match=r"has 0 videos.*distraction_background procedural"):
        video_frames("high", None)


def test_pictures_are_resized_between_pixel_centres():
    image = np.array([[[0, 0, 0], [100, 100, 100]]], np.uint8)
    assert resized(image, 4)[:, :, 0].tolist() == [[0, 25, 75, 100]] * 4
    np.testing.assert_array_equal(resized(procedural_texture(0, 8), 8), procedural_texture(0, 8))


def test_equal_environments_have_equal_settings(tmp_path):
    assert DMC(distraction="hard", distraction_parts="camera+background") == DMC(
        distraction="high", distraction_parts="background+camera"
    )
    assert DMC(distraction_draw="fresh") == DMC()
    config = DMC(distraction="low", distraction_background="videos", video_folder=tmp_path)
    assert from_data("environments", to_data(config, REGISTRY), REGISTRY) == config


def test_evaluation_elsewhere_is_noticed():
    spec = DMCDataset(distraction="low", quality="random", size=16).build().spec
    trained = DMC(size=16, rendering="fast", distraction="low")
    assert from_data("environments", dict(spec.environment), REGISTRY) == trained
    check_identity(spec, trained, REGISTRY)
    fresh = DMC(rendering="fast", distraction="low", distraction_draw="fresh")
    with pytest.raises(
        VRLError, match=r"distraction draw 'fixed', the environment 'fresh'.*--allow"
    ):
        check_identity(spec, fresh, REGISTRY)
    with pytest.raises(VRLError, match="distraction 'low', the environment 'none'"):
        check_identity(spec, DMC(rendering="fast"), REGISTRY)


def test_conformance():
    check_environment(
        DMC(size=16, rendering="fast", distraction="low", distraction_draw="fresh"), steps=3
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"distraction": "mid"}, "Known: .*moderate"),
        ({"distraction": "low", "distraction_parts": "color"}, "Did you mean 'colour'"),
        ({"distraction": "low", "distraction_draw": "new"}, "Known: fixed, fresh"),
        ({"distraction": "low", "observation": "state"}, "seen in images alone"),
        ({"distraction": "low", "task": "humanoid_walk"}, "humanoid_walk has no distractions"),
        ({"distraction": "low", "task": "quadruped_run"}, "gives ranges for humanoid and quad"),
    ],
)
def test_bad_settings_are_explained(settings, message):
    with pytest.raises(VRLError, match=message):
        DMC(**settings)


def test_cameras_that_no_distraction_moves_are_refused():
    with pytest.raises(VRLError, match=r"Camera -1 of walker_walk.*background"):
        environment(distraction="low", camera=-1)
    environment(distraction="low", camera=-1, distraction_parts="colour").close()
    with pytest.raises(VRLError, match="no camera 7"):
        environment(distraction="low", camera=7)


def test_settings_of_a_distraction_that_is_not_collected_are_refused():
    with pytest.raises(VRLError, match="distraction_parts says how to distract"):
        DMCDataset(distraction_parts="camera")
    with pytest.raises(VRLError, match="a share of distracted episodes, but distraction is none"):
        DMCDataset(shifted_share=0.5)
    with pytest.raises(VRLError, match="must lie in 0 to 1"):
        DMCDataset(distraction="low", shifted_share=25)
