"""Videos can be played, are large enough to see, and show the frames they were given."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vrl_core.errors import VRLError
from vrl_core.video import film_strip, read_video, visible_frames, write_gif, write_video


def ramp(time: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    frames = np.zeros((time, height, width, channels), np.uint8)
    frames += np.linspace(20, 220, time).astype(np.uint8)[:, None, None, None]
    return frames


def test_enlarging_repeats_pixels_and_makes_sides_even() -> None:
    frames = np.arange(2 * 3 * 5 * 3, dtype=np.uint8).reshape(2, 3, 5, 3)
    large = visible_frames(frames, smallest_side=9)
    assert large.shape == (2, 10, 16, 3)  # three times 3 x 5, then one row and column more
    np.testing.assert_array_equal(large[:, 1:9:3, 1:15:3], frames)
    np.testing.assert_array_equal(large[:, 9], large[:, 8])


def test_grey_and_stacked_frames_become_colour() -> None:
    assert visible_frames(ramp(2, 300, 300, 1)).shape == (2, 300, 300, 3)
    stacked = np.concatenate([ramp(2, 4, 4), 255 - ramp(2, 4, 4)], axis=-1)
    np.testing.assert_array_equal(visible_frames(stacked, 4), 255 - ramp(2, 4, 4))


def test_a_video_reads_back_as_what_was_written(tmp_path: Path) -> None:
    frames = ramp(12, 24, 16)
    path = write_video(frames, tmp_path / "new" / "episode.mp4", 20)
    shown = read_video(path)
    assert shown.shape == (12, 384, 256, 3)
    np.testing.assert_allclose(shown.mean((1, 2)), frames.mean((1, 2)), atol=4)  # lossy
    assert [file.name for file in path.parent.iterdir()] == ["episode.mp4"]


def test_a_gif_has_every_frame(tmp_path: Path) -> None:
    path = write_gif(ramp(5, 8, 8), tmp_path / "episode.gif", 25)
    with Image.open(path) as image:
        assert image.size == (256, 256)
        assert image.n_frames == 5
        assert image.info["duration"] == 40


def test_a_film_strip_has_the_first_and_the_last_frame() -> None:
    frames = ramp(50, 32, 32)
    with Image.open(io.BytesIO(film_strip(frames, pictures=4, smallest_side=32))) as image:
        strip = np.asarray(image)
    assert strip.shape == (32, 128, 3)
    assert strip[0, ::32, 0].tolist() == [frames[i, 0, 0, 0] for i in (0, 16, 33, 49)]


def test_nothing_to_show_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VRLError, match="Does the environment render images"):
        write_video(np.zeros((0, 1, 1, 3), np.uint8), tmp_path / "a.mp4")
    with pytest.raises(VRLError, match="float64"):
        visible_frames(np.zeros((2, 4, 4, 3)))
