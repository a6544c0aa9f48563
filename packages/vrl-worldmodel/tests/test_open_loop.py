import numpy as np
import pytest
import torch

from vrl_core.errors import VRLError
from vrl_core.observations import images_alone
from vrl_core.testing.tiny_data import episode_and_step, tiny_data
from vrl_worldmodel.open_loop import (
    Clip,
    OpenLoop,
    draw_clips,
    join_errors,
    open_loop,
    pixel_errors,
    read_clips,
    roll_out,
)
from vrl_worldmodel.world_model import WorldModel


def tiny_model(config, size=16):
    """An untrained model, always with the same weights."""
    torch.manual_seed(3)
    return WorldModel(config, images_alone((size, size, 3)), 2)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tiny_data(tmp_path_factory.mktemp("data") / "tiny", episodes=5, steps=9, image_size=16)


def clips_of(store, clips):
    observations, action = read_clips(store, clips, ("image",))
    return torch.from_numpy(observations["image"]), torch.from_numpy(action)


def test_a_clip_holds_the_frames_and_the_actions_between_them(store):
    clips = [Clip(episode=3, start=2, length=6), Clip(episode=0, start=4, length=6)]
    observations, actions = read_clips(store, clips, ("image",))
    assert list(observations) == ["image"]
    episode, step = episode_and_step(observations["image"])
    assert episode.tolist() == [[3] * 6, [0] * 6]
    assert step.tolist() == [[2, 3, 4, 5, 6, 7], [4, 5, 6, 7, 8, 9]]
    assert np.array_equal(actions[0], store[3].actions[2:7])


def test_clips_are_of_different_episodes_and_lie_inside_them(store):
    clips = draw_clips(store, episodes=5, context=2, horizon=5, seed=1)
    assert sorted(clip.episode for clip in clips) == [0, 1, 2, 3, 4]
    assert {clip.length for clip in clips} == {7}
    assert all(0 <= clip.start <= 3 for clip in clips)
    assert len({clip.start for clip in clips}) > 1
    assert clips == draw_clips(store, episodes=5, context=2, horizon=5, seed=1)
    fixed = draw_clips(store, episodes=2, context=2, horizon=5, start=3)
    assert [clip.start for clip in fixed] == [3, 3]


def test_the_horizon_ends_with_the_episodes_and_missing_episodes_are_no_error(store):
    clips = draw_clips(store, episodes=9, context=2, horizon=100, start=1)
    assert len(clips) == 5
    assert {clip.length for clip in clips} == {9}


def test_too_short_episodes_are_refused_with_their_length(store):
    assert draw_clips(store, episodes=1, context=8, horizon=5)[0].length == 10
    with pytest.raises(VRLError, match=r"at least 11 frames; the longest .* have 10\. Lower"):
        draw_clips(store, episodes=1, context=9, horizon=5)


def test_shapes_and_range(model_config, store):
    model = tiny_model(model_config)
    clips = draw_clips(store, episodes=3, context=2, horizon=5)
    images, action = clips_of(store, clips)
    frames = open_loop(model, {"image": images}, action, 2)
    assert frames.context == 2
    assert frames.truth.shape == frames.reconstruction.shape == (3, 7, 16, 16, 3)
    assert frames.imagination.shape == (3, 5, 16, 16, 3)
    for shown in (frames.truth, frames.reconstruction, frames.imagination):
        assert 0 <= shown.min() <= shown.max() <= 1
    assert torch.equal((frames.truth * 255).round().byte(), images)


def test_imagination_sees_the_context_and_nothing_after_it(model_config, store):
    model = tiny_model(model_config)
    images, action = clips_of(store, [Clip(episode=1, start=0, length=8)])

    def frames(changed):
        torch.manual_seed(0)
        return open_loop(model, {"image": changed}, action, 3)

    known, later, earlier = frames(images), images.clone(), images.clone()
    later[:, 3:] = 255 - later[:, 3:]
    earlier[:, 2] = 255 - earlier[:, 2]
    assert torch.equal(frames(later).imagination, known.imagination)
    assert torch.equal(frames(later).reconstruction[:, :3], known.reconstruction[:, :3])
    assert not torch.equal(frames(later).reconstruction[:, 3:], known.reconstruction[:, 3:])
    assert not torch.equal(frames(earlier).imagination, known.imagination)


def test_imagination_follows_the_actions_from_the_last_frame_of_the_context_on(gaussian, store):
    model = tiny_model(gaussian)
    images, action = clips_of(store, [Clip(episode=1, start=0, length=8)])

    def imagined(changed):
        torch.manual_seed(0)
        return open_loop(model, {"image": images}, changed, 3).imagination

    changed = action.clone()
    changed[:, 4] = -changed[:, 4]  # led from frame 4 to frame 5, which is the third imagined
    assert torch.equal(imagined(changed)[:, :2], imagined(action)[:, :2])
    assert not torch.equal(imagined(changed)[:, 2], imagined(action)[:, 2])


def test_a_perfect_model_has_no_error_and_a_constant_one_the_error_of_its_constant():
    truth = torch.tensor([0.0, 0.5, 1.0, 0.25]).reshape(1, 4, 1, 1, 1).expand(1, 4, 2, 2, 3)
    frames = OpenLoop(truth, torch.full_like(truth, 0.5), truth[:, 2:])
    errors = pixel_errors(frames)
    assert errors.imagination.tolist() == [[0, 0]]
    # The last frame of the context is 0.5: (1 - 0.5)^2 and (0.25 - 0.5)^2.
    assert errors.repetition.tolist() == [[0.25, 0.0625]]
    assert errors.reconstruction.tolist() == [[0.25, 0.0625]]


def test_error_is_a_mean_over_pixels_and_colours_of_each_clip():
    truth = torch.zeros(2, 2, 1, 2, 3)
    guess = torch.zeros(2, 1, 1, 2, 3)
    guess[1, 0, 0, 0, 1] = 0.6
    errors = pixel_errors(OpenLoop(truth, truth, guess))
    assert errors.imagination == pytest.approx(np.array([[0.0], [0.36 / 6]]))


def test_clips_are_rolled_out_in_parts_and_joined(gaussian, store, monkeypatch):
    monkeypatch.setattr("vrl_worldmodel.open_loop.CLIPS_AT_ONCE", 2)
    model = tiny_model(gaussian)
    clips = draw_clips(store, episodes=5, context=2, horizon=3)
    parts = list(roll_out(model, store, clips, 2))
    assert [len(part.truth) for part in parts] == [2, 2, 1]
    joined = join_errors([pixel_errors(part) for part in parts])
    assert joined.imagination.shape == joined.repetition.shape == (5, 3)
    whole = next(iter(pixel_errors(part) for part in parts)).repetition
    assert np.array_equal(joined.repetition[:2], whole)
