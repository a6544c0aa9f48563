"""Data says by which way of drawing its `fast` images were made, and a change is another one."""

from __future__ import annotations

import pytest

from vrl_envs.adroit import environment as adroit
from vrl_envs.adroit.config import Adroit, AdroitDataset
from vrl_envs.dclaw.config import DClaw
from vrl_envs.desk.config import Desk, DeskDataset
from vrl_envs.dmc.config import DMC, DMCDataset
from vrl_envs.drawing import revision
from vrl_envs.drawing.mesh_detail import FINE_MESH
from vrl_envs.drawing.rendering import QUALITIES, RenderQuality
from vrl_envs.drawing.revision import FAST_REVISION
from vrl_envs.kitchen import environment as kitchen
from vrl_envs.kitchen.config import Kitchen, KitchenDataset
from vrl_envs.metaworld import environment as metaworld
from vrl_envs.metaworld.config import MetaWorld, MetaWorldDataset
from vrl_envs.ogbench.config import OGBench, OGBenchDataset
from vrl_envs.robohive.config import RoboHive, RoboHiveDataset

DRAWN = {
    3: (
        RenderQuality(
            shadows=False,
            reflections=False,
            samples=0,
            slices=14,
            stacks=8,
            quads=1,
            plane_cells=60,
            mesh_detail=0.004,
        ),
        200,
        {"adroit": 0.008, "metaworld": 0.008, "kitchen": 0.015},
    ),
}
"""What each revision draws."""


def test_what_fast_draws_has_one_revision():
    """Whoever changes it counts `FAST_REVISION` up and adds a line above."""
    details = {
        "adroit": adroit.MESH_DETAIL,
        "metaworld": metaworld.MESH_DETAIL,
        "kitchen": kitchen.MESH_DETAIL,
    }
    assert DRAWN[FAST_REVISION] == (QUALITIES["fast"], FINE_MESH, details)


@pytest.mark.parametrize(
    "collector", [AdroitDataset, DeskDataset, DMCDataset, KitchenDataset, MetaWorldDataset]
)
def test_data_of_another_revision_has_another_fingerprint(collector, monkeypatch):
    fast, reference = (
        collector(quality="random"),
        collector(quality="random", rendering="reference"),
    )
    states = collector(quality="random", observation="state")
    configs = (fast, reference, states)
    before = [config.fingerprint() for config in configs]
    assert before[0]["fast drawing"] == "3"
    monkeypatch.setattr(revision, "FAST_REVISION", 4)
    changed = [config.fingerprint() != was for config, was in zip(configs, before, strict=True)]
    assert changed == [True, False, False]


@pytest.mark.parametrize("collector", [OGBenchDataset, RoboHiveDataset])
def test_the_other_environments_say_it_too(collector):
    assert revision.drawing_versions(collector(quality="random")) == {"fast drawing": "3"}


def test_manifests_name_it():
    spec = DMCDataset(quality="random", size=8).build().spec
    assert (spec.versions["fast drawing"], spec.render_quality) == ("3", "fast")
    reference = DMCDataset(quality="random", size=8, rendering="reference").build().spec
    assert "fast drawing" not in reference.versions


@pytest.mark.parametrize(
    "environment", [Adroit, DClaw, Desk, DMC, Kitchen, MetaWorld, OGBench, RoboHive]
)
def test_environments_name_it_for_evaluations(environment):
    task = {"task": "pen-v1"} if environment is RoboHive else {}
    assert environment(**task, rendering="fast").versions() == {"fast drawing": "3"}
    assert environment(**task, rendering="reference").versions() == {}
