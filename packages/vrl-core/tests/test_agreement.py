"""An environment that shows something else than the data is refused, with the way out."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from types import ModuleType

import pytest

from vrl_core.agreement import check_identity, check_layout, warn_of_other_versions
from vrl_core.episodes import DataSpec, FieldSpec
from vrl_core.errors import VRLError
from vrl_core.evaluation_workers import Layout
from vrl_core.hooks import EnvironmentConfig, hookimpl
from vrl_core.registry import Registry

IMAGE = FieldSpec((64, 64, 3), "uint8")
SPEC = DataSpec(
    task="walker_walk",
    observations={"image": IMAGE},
    action_size=6,
    action_repeat=2,
    render_quality="fast",
    environment={"name": "rendered", "camera": 0, "size": 64, "gravity": 9.8},
)


@dataclass(frozen=True, kw_only=True)
class Rendered(EnvironmentConfig):
    task: str = "walker_walk"
    rendering: str = "fast"
    action_repeat: int = 2
    camera: int = 0
    size: int = 64
    weather: str = "sun"  # newer than the data


@dataclass(frozen=True, kw_only=True)
class Drawn(Rendered):
    def versions(self) -> Mapping[str, str]:
        return {"fast drawing": "3"}


@dataclass(frozen=True, kw_only=True)
class Another(Rendered):
    gravity: float = 1.6


def registry() -> Registry:
    module = ModuleType("rooms")
    module.vrl_environments = hookimpl(
        lambda: {"rendered": Rendered, "drawn": Drawn, "another": Another}
    )
    module.vrl_environments.__name__ = "vrl_environments"
    return Registry(installed=False, modules=[module])


REGISTRY = registry()


def test_agreement_is_accepted() -> None:
    check_identity(SPEC, Rendered(), REGISTRY)
    check_identity(SPEC, Rendered(size=84), REGISTRY)  # a size is compared as such
    check_identity(SPEC, EnvironmentConfig(), REGISTRY)  # says nothing of either
    check_identity(replace(SPEC, render_quality=None), Rendered(rendering="reference"), REGISTRY)
    check_identity(SPEC, Another(camera=2), REGISTRY)  # meant to be another, by its name
    more = {"image": IMAGE, "state": FieldSpec((3,), "float32")}
    check_layout(SPEC, Layout(more, 6, 30.0))


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        (Rendered(rendering="reference"), "render quality 'fast', the environment 'reference'"),
        (Rendered(action_repeat=4), "action repeat 2, the environment 4.*--allow-mismatch"),
        (Rendered(task="cheetah_run"), "task 'walker_walk', the environment 'cheetah_run'"),
        (Another(task="cheetah_run"), "task 'walker_walk', the environment 'cheetah_run'"),
        (Rendered(camera=1), "camera 0, the environment 1"),
        (Rendered(weather="rain"), "weather 'sun', the environment 'rain'"),
        (Rendered(task="x", camera=1), "task 'walker_walk', camera 0, the environment 'x', 1"),
    ],
)
def test_other_tasks_pixels_and_times_are_refused(environment: Rendered, words: str) -> None:
    with pytest.raises(VRLError, match=words):
        check_identity(SPEC, environment, REGISTRY)


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        (Layout({"image": IMAGE}, 21, 30.0), "6 numbers, the environment of 21.*'walker_walk'"),
        (Layout({"state": FieldSpec((24,), "float32")}, 6, 30.0), "'image'.*only: state"),
        (
            Layout({"image": FieldSpec((84, 84, 3), "uint8")}, 6, 30.0),
            "64×64×3 in the data and 84×84×3 in the environment.*size=64",
        ),
    ],
)
def test_other_sizes_are_refused(layout: Layout, words: str) -> None:
    with pytest.raises(VRLError, match=words):
        check_layout(SPEC, layout)


def test_data_of_other_versions_is_warned_of() -> None:
    numpy = {"numpy": version("numpy"), "nowhere-installed": "1.0", "vrl-envs": "0.0.0"}
    drawn = {"name": "drawn"}
    for versions, environment, recorded in (
        ({}, Drawn(), drawn),  # nobody says
        (numpy, Rendered(), {"name": "rendered"}),
        ({**numpy, "fast drawing": "3"}, Drawn(), drawn),
        ({"numpy": "0.1"}, Another(), {"name": "rendered"}),  # meant to be another
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warn_of_other_versions(
                replace(SPEC, versions=versions, environment=recorded), environment, REGISTRY
            )
    for versions, said in (
        ({"numpy": "0.1"}, r"numpy 0\.1, fast drawing an older one, .* fast drawing 3"),
        ({**numpy, "fast drawing": "2"}, "made with fast drawing 2, and here is fast drawing 3"),
    ):
        spec = replace(SPEC, versions=versions, environment=drawn)
        with pytest.warns(UserWarning, match=said):
            warn_of_other_versions(spec, Drawn(), REGISTRY)
