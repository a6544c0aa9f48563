"""Learning curves: the right numbers at the right steps, in files that can be opened."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from vrl_core.curves import (
    INK,
    Level,
    draw_learning_curves,
    embedded_learning_curves,
    learning_curve,
)
from vrl_core.errors import VRLError


def test_means_stand_where_every_run_was_evaluated() -> None:
    curve = learning_curve("bc", [{100: [1.0, 3.0], 200: [5.0, 5.0]}, {100: [4.0], 300: [9.0]}])
    assert curve.steps == (100,)
    assert curve.summaries[0].mean == pytest.approx(8 / 3)  # over episodes 1, 3 and 4
    assert curve.summaries[0].runs == 2
    assert curve.runs == (((100, 2.0), (200, 5.0)), ((100, 4.0), (300, 9.0)))


def test_runs_without_evaluations_are_not_counted() -> None:
    assert learning_curve("bc", [{}, {10: [1.0]}]).steps == (10,)
    with pytest.raises(VRLError, match="bc: none of the 2 runs was evaluated"):
        learning_curve("bc", [{}, {}])


def test_pictures_open_and_name_what_they_show(tmp_path: Path) -> None:
    curve = learning_curve(
        "drq-bc", [{0: [40.0], 1000: [300.0, 320.0]}, {0: [45.0], 1000: [500.0]}]
    )
    png, svg = draw_learning_curves(
        [curve], tmp_path / "new" / "curve", levels=[Level("data", 943.0)], title="walker_walk"
    )
    with Image.open(png) as image:
        assert image.format == "PNG"
        assert min(image.size) > 400
    assert ElementTree.parse(svg).getroot().tag.endswith("svg")


def test_the_same_curve_gives_the_same_picture(tmp_path: Path) -> None:
    curve = learning_curve("bc", [{0: [1.0, 2.0], 10: [3.0, 9.0]}])
    _, first = draw_learning_curves([curve], tmp_path / "a")
    _, second = draw_learning_curves([curve], tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()


def test_an_embedded_picture_takes_the_pages_colours() -> None:
    curve = learning_curve("bc", [{0: [1.0], 10: [3.0]}])
    text = embedded_learning_curves([curve], levels=[Level("random", 2.0)])
    root = ElementTree.fromstring(text)
    assert root.get("width") is None
    assert root.get("viewBox")
    assert "currentColor" in text
    assert INK not in text
