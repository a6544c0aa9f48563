import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vrl_core.statistics import summary
from vrl_worldmodel.open_loop import OpenLoop
from vrl_worldmodel.open_loop_pictures import (
    HEADER,
    IMAGINED_COLOUR,
    draw_errors,
    film,
    frame_rows,
    strip_columns,
    write_strip,
)


@pytest.fixture
def rows():
    """Six frames, three of them context: truth red, reconstruction green, imagination blue."""
    truth, reconstruction = torch.zeros(1, 6, 8, 8, 3), torch.zeros(1, 6, 8, 8, 3)
    imagination = torch.zeros(1, 3, 8, 8, 3)
    truth[..., 0], reconstruction[..., 1], imagination[..., 2] = 1.0, 0.5, 0.2
    return frame_rows(OpenLoop(truth, reconstruction, imagination), 0)


def test_the_context_is_reconstructed_and_the_rest_imagined(rows):
    assert rows["truth"][:, 0, 0].tolist() == [[255, 0, 0]] * 6
    assert rows["reconstruction"][:, 0, 0].tolist() == [[0, 128, 0]] * 6
    assert rows["imagination"][:, 0, 0].tolist() == [[0, 128, 0]] * 3 + [[0, 0, 51]] * 3


def test_a_strip_shows_both_ends_of_the_context_and_of_the_clip():
    assert strip_columns(50, 5, 7) == [0, 4, 5, 16, 27, 38, 49]
    assert strip_columns(6, 3, 12) == [0, 2, 3, 4, 5]
    assert strip_columns(4, 1, 12) == [0, 1, 2, 3]


def test_a_strip_holds_the_rows_from_top_to_bottom(rows, tmp_path):
    path = write_strip(rows, 3, tmp_path / "strip.png", pictures=12)
    picture = np.asarray(Image.open(path))
    last = picture[HEADER:, -20]  # a column of pixels through the last frames
    colours = list(dict.fromkeys(map(tuple, last.tolist())))
    assert colours == [(255, 0, 0), (255, 255, 255), (0, 128, 0), (0, 0, 51)]
    bar = {tuple(colour) for colour in picture[HEADER - 3].tolist()}
    assert IMAGINED_COLOUR in bar


def test_a_film_shows_the_three_side_by_side_and_when_imagination_begins(rows):
    frames = film(rows, 3)
    assert frames.shape == (6, HEADER + 256, 3 * 256, 3)
    assert frames.dtype == np.uint8
    assert [frames[4, -1, column].tolist() for column in (0, 256, 512)] == [
        [255, 0, 0],
        [0, 128, 0],
        [0, 0, 51],
    ]
    begun = [tuple(frame[HEADER - 1, 5].tolist()) == IMAGINED_COLOUR for frame in frames]
    assert begun == [False] * 3 + [True] * 3


def test_curves_are_drawn_as_png_and_svg(tmp_path):
    points = [summary([0.1, 0.2]), summary([0.2, 0.4])]
    png, svg = draw_errors({"imagined": points, "frame repeated": points}, tmp_path / "error", "t")
    Image.open(io.BytesIO(Path(png).read_bytes())).verify()
    assert svg.read_text().count("<path") > 4
