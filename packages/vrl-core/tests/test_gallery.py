"""`vrl gallery`: what is shown, pictures for people beside the task's own, and reasons."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import gymnasium
import numpy as np
import pytest
from PIL import Image

from counter_environment import Counter
from vrl_core.cli import main
from vrl_core.commands.gallery import main as gallery_command
from vrl_core.errors import VRLError
from vrl_core.gallery import GAP, TILE, shown_settings, write_gallery
from vrl_core.hooks import EnvironmentConfig, hookimpl
from vrl_core.registry import Registry


class Painted(gymnasium.Env):
    """Shows the number of the step, and in one corner black."""

    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, size: int) -> None:
        self.size = size
        self.observation_space = gymnasium.spaces.Box(0, 255, (size, size, 3), np.uint8)

    def observe(self) -> np.ndarray:
        image = np.full((self.size, self.size, 3), 10 * self.steps, np.uint8)
        image[:1, :1] = 255
        return image

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.observe(), {}

    def step(self, action):
        assert np.abs(action).max() <= 0.5
        self.steps += 1
        return self.observe(), 0.0, False, False, {}


@dataclass(frozen=True, kw_only=True)
class Painting(EnvironmentConfig):
    """Shades of grey."""

    size: int = 16
    missing: bool = False

    def build(self) -> gymnasium.Env:
        if self.missing:
            raise VRLError("The paint is missing: pip install paint.")
        return Painted(self.size)

    @classmethod
    def gallery(cls):
        return {"grey": cls(), "wet/paint": cls(missing=True), "gone": cls(missing=True)}


@dataclass(frozen=True, kw_only=True)
class Required(EnvironmentConfig):
    """An environment that has no defaults."""

    path: str


@pytest.fixture
def registry() -> Registry:
    plugin = ModuleType("plugin_of_pictures")

    @hookimpl
    def vrl_environments():
        return {"painting": Painting, "counter": Counter, "required": Required}

    plugin.vrl_environments = vrl_environments
    return Registry(installed=False, modules=(plugin,))


def test_environments_say_what_they_show(registry):
    shown = [(each.environment, each.name) for each in shown_settings(registry)]
    assert shown == [
        ("counter", "default"),
        ("painting", "grey"),
        ("painting", "wet/paint"),
        ("painting", "gone"),
    ]
    assert [each.name for each in shown_settings(registry, ["counter"])] == ["default"]
    with pytest.raises(VRLError, match="Did you mean 'painting'"):
        shown_settings(registry, ["paintign"])


def test_the_page_has_pictures_and_reasons(registry, tmp_path):
    found = write_gallery(registry, tmp_path / "all.md", steps=2)
    text = (tmp_path / "all.md").read_text()
    assert [tile.shown.name for tile in found.pictures] == ["default", "grey"]
    assert "![grey](all/painting-grey.png)<br>grey, 16×16" in text
    assert "Shades of grey." in text
    assert "Not shown: wet/paint, gone: The paint is missing: pip install paint." in text
    names = sorted(path.name for path in (tmp_path / "all").iterdir())
    assert names == ["counter-default.png", "painting-grey.png"]


def test_a_picture_is_large_and_beside_it_the_frame_itself(registry, tmp_path):
    write_gallery(registry, tmp_path / "all.md", environments=["painting"], steps=2)
    pixels = np.array(Image.open(tmp_path / "all/painting-grey.png"))
    assert pixels.shape == (TILE, TILE + GAP + 16, 4)
    assert (pixels[1, 1, :3] == 20).all()  # drawn twice as large: averages of 2 x 2
    own = pixels[-16:, -16:, :3]
    assert (own[0, 0] == 255).all()
    assert (own[1:] == 20).all()
    assert (pixels[: TILE - 16, TILE:, 3] == 0).all()


def test_an_environment_without_a_size_is_enlarged(registry, tmp_path):
    write_gallery(registry, tmp_path / "all.md", environments=["counter"], steps=1)
    picture = Image.open(tmp_path / "all/counter-default.png")
    assert picture.size == (round(TILE * 6 / 4), TILE)


def test_an_environment_of_numbers_has_no_picture(registry, tmp_path, monkeypatch):
    monkeypatch.setattr(Counter, "gallery", classmethod(lambda cls: {"body": cls(sees="state")}))
    (tile,) = write_gallery(registry, tmp_path / "a.md", environments=["counter"]).missing
    assert "its observations are numbers" in tile.reason


def test_the_command_says_what_is_missing(registry, tmp_path, capsys):
    assert gallery_command(["--output", str(tmp_path / "a.md"), "--steps", "1"], registry) == 0
    said = capsys.readouterr().out
    assert "not shown: painting: gone: The paint is missing" in said
    assert "2 pictures:" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--output", "page.html"], "does not end in .md"),
        (["--environments", "nothing"], "nothing"),
        (["--step", "two"], "--steps"),
    ],
)
def test_mistakes_are_explained(words, said, capsys):
    assert main(["gallery", *words]) == 1
    assert said in capsys.readouterr().err
