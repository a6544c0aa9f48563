"""What datasets that are collected here have in common."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vrl_core.episodes import FieldSpec
from vrl_core.errors import VRLError
from vrl_core.evaluation_workers import Layout
from vrl_envs.collection import describe, environment_data, first_success, noisy_action


def test_the_first_attempt_that_succeeds_is_kept():
    tried = []
    assert first_success(lambda number: tried.append(number) or number, (2).__eq__, 5, "") == 2
    assert tried == [0, 1, 2]
    with pytest.raises(VRLError, match=r"^it cannot be done$"):
        first_success(tried.append, bool, 3, "it cannot be done")
    assert tried == [0, 1, 2, 0, 1, 2]


def test_noise_is_added_to_what_an_action_can_do():
    wanted = np.array([-3.0, 0.25, 5.0])
    still = noisy_action(wanted, 0.0, np.random.default_rng(0))
    np.testing.assert_array_equal(still, np.array([-1, 0.25, 1], np.float32))
    noise = np.random.default_rng(1).standard_normal((200, 3))
    drawn = np.random.default_rng(1)
    moved = np.stack([noisy_action(wanted, 0.5, drawn) for _ in range(200)])
    expected = np.clip([-1, 0.25, 1] + 0.5 * noise, -1, 1).astype(np.float32)
    np.testing.assert_array_equal(moved, expected)


@dataclass(frozen=True)
class Settings:
    task: str = "t"
    assets: Path | None = None
    camera: str = "front"


def test_a_manifest_names_no_place_of_one_machine():
    data = environment_data("e", Settings(assets=Path("/somewhere/here")))
    assert data == {"name": "e", "task": "t", "assets": None, "camera": "front"}


@pytest.mark.parametrize("images", [True, False])
def test_a_description_says_how_images_are_drawn_if_there_are_any(images):
    config = SimpleNamespace(
        task="t",
        quality="expert",
        seed=3,
        rendering="fast",
        observation="both",
        environment=lambda: Settings(),
    )
    fields = {"image": FieldSpec((8, 8, 3), "uint8")} if images else {}
    fields |= {"state": FieldSpec((2,), "float32")}
    spec = describe("e", config, Layout(fields, 4, 10.0), {"vrl-envs": "1"}, source="somebody")
    assert (spec.task, spec.behaviour, spec.seed, spec.source) == ("t", "expert", 3, "somebody")
    assert (dict(spec.observations), spec.action_size, spec.action_repeat) == (fields, 4, 1)
    assert spec.render_quality == ("fast" if images else None)
    assert set(spec.versions) == {"vrl-envs", *(["fast drawing"] if images else [])}
    assert spec.environment == environment_data("e", Settings())
