import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vrl_core.data_page import curves_svg, histogram_svg
from vrl_core.data_view import image_field, sprite, telling_episodes, view
from vrl_core.episode_records import EpisodeRecords
from vrl_core.errors import VRLError
from vrl_core.store import Store
from vrl_core.testing.tiny_data import tiny_data
from vrl_core.video import read_video


class Outline(HTMLParser):
    """Collects tags and attributes, and checks that tags are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def outline(path: Path) -> Outline:
    parser = Outline()
    parser.feed(path.read_text())
    assert parser.open == []
    return parser


def test_a_page_shows_frames_rewards_and_actions(counting_store: Store, tmp_path: Path):
    page = view(counting_store, tmp_path / "page.html", [1])
    found = outline(page).found
    assert sum(tag == "polyline" for tag, _ in found) == 1 + 2, "a reward and two actions"
    (strip,) = (attributes["src"] for tag, attributes in found if tag == "img")
    picture = Image.open(io.BytesIO(base64.b64decode(strip.partition(",")[2])))
    frames = np.asarray(picture).reshape(picture.height, 8, -1, 3)
    assert frames[0, :, 0].tolist() == [[1, step, 7] for step in range(8)]
    text = page.read_text()
    assert "return 21.9" in text
    assert "cut off by the time limit" in text
    assert "16 × 16 × 3 uint8" in text


def test_a_page_refers_to_nothing_outside(counting_store: Store, tmp_path: Path):
    page = view(counting_store, tmp_path / "page.html")
    for tag, attributes in outline(page).found:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "data:").startswith("data:"), tag
    addresses = re.findall(r"https?://|@import|url\((?!data:)", page.read_text())
    assert addresses == []


def test_text_from_the_data_is_escaped(counting_store: Store, tmp_path: Path, monkeypatch):
    manifest = counting_store.manifest
    record = replace(manifest.episodes[0], info={"seed": "<script>alert(1)</script>"})
    records = EpisodeRecords([record, *manifest.episodes[1:]])
    changed = replace(manifest, episodes=records)
    monkeypatch.setattr(counting_store, "manifest", changed)
    page = view(counting_store, tmp_path / "page.html", [0])
    assert "<script>alert" not in page.read_text()


def test_a_page_without_images_still_has_curves(tmp_path: Path):
    from vrl_core.episodes import DataSpec, Episode, FieldSpec
    from vrl_core.store_writer import StoreWriter

    spec = DataSpec(task="t", observations={"state": FieldSpec((1,), "float32")}, action_size=1)
    still = Episode(
        observations={"state": np.zeros((2, 1), np.float32)},
        actions=np.zeros((1, 1), np.float32),
        rewards=np.zeros(1, np.float32),
        terminations=np.ones(1, bool),
        truncations=np.zeros(1, bool),
    )
    with StoreWriter(tmp_path / "store", spec, episodes=1, origin={}) as writer:
        writer.append(still)
        store = writer.finish()
    tags = [tag for tag, _ in outline(view(store, tmp_path / "page.html")).found]
    assert "img" not in tags
    assert tags.count("polyline") == 2
    with pytest.raises(VRLError, match="holds no images"):
        view(store, tmp_path / "film.mp4")


def test_curves_reach_from_the_lowest_to_the_highest_value():
    svg = curves_svg(np.array([[0.0], [5.0], [10.0]]), "reward")
    assert 'points="0.0,120.0 450.0,60.0 900.0,0.0"' in svg


def test_the_histogram_counts_every_episode():
    heights = re.findall(r"<title>(\d+) episodes", histogram_svg(np.array([1.0, 1.0, 4.0])))
    assert [int(height) for height in heights] == [2, *[0] * 28, 1]
    assert "<title>2 episodes" in histogram_svg(np.array([3.0, 3.0])), "equal returns have a bar"


def test_the_sprite_holds_the_frames_row_by_row():
    frames = np.zeros((12, 96, 96, 3), np.uint8)
    frames[11] = 255
    sheet = np.asarray(Image.open(io.BytesIO(sprite(frames))))
    assert sheet.shape == (2 * 96, 10 * 96, 3)
    assert sheet[96 + 48, 96 + 48].min() > 250, "frame 11 is the second of the second row"
    assert sheet[48, 48].max() < 5


def test_without_a_choice_the_telling_episodes_are_shown():
    assert telling_episodes(np.array([5.0, 1.0, 9.0, 3.0, 7.0])) == [1, 0, 2]
    assert telling_episodes(np.array([5.0])) == [0]


def test_a_video_holds_the_frames_of_all_episodes(counting_store: Store, tmp_path: Path):
    film = read_video(view(counting_store, tmp_path / "film.mp4", [0, 2]))
    assert film.shape == (7 + 9, 256, 256, 3)


@pytest.mark.parametrize(
    ("output", "episodes", "message"),
    [
        ("page.html", [3], "no episode 3; .* has episodes 0 to 2"),
        ("page.pdf", [0], r"neither \.html"),
    ],
)
def test_impossible_views_are_refused(counting_store, tmp_path, output, episodes, message):
    with pytest.raises(VRLError, match=message):
        view(counting_store, tmp_path / output, episodes)


def test_all_cameras_are_shown_side_by_side(tmp_path) -> None:
    store = tiny_data(tmp_path / "s", image_size=8, cameras=("image", "wrist"), steps=3)
    episode = store[1]
    frames = image_field(episode)
    assert frames.shape == (4, 8, 16, 3)
    assert np.array_equal(frames[:, :, :8], episode.observations["image"])
    assert np.array_equal(frames[:, :, 8:], episode.observations["wrist"])
