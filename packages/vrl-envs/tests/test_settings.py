"""What settings of several environments and readers have in common."""

import pytest

import vrl_envs.plugin
from vrl_core.errors import VRLError
from vrl_core.registry import Registry
from vrl_envs.dmc.config import DMCDataset
from vrl_envs.kitchen.config import KitchenDataset
from vrl_envs.settings import canonical_quality

DATASETS = Registry(installed=False, modules=(vrl_envs.plugin,)).options("datasets")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("medium-replay", "mixed"),
        ("medium_replay", "mixed"),
        ("medexp", "medium_expert"),
        ("medium-expert", "medium_expert"),
        ("expert", "expert"),
        ("my-own", "my_own"),
    ],
)
def test_a_quality_has_one_name(name, wanted):
    assert canonical_quality(name) == wanted


@pytest.mark.parametrize(
    "kind", [kind for kind in DATASETS.values() if {"mixed", "medium_expert"} & {*kind.qualities}]
)
def test_every_collected_dataset_takes_hyphens(kind):
    for given, wanted in (("medium-replay", "mixed"), ("medium-expert", "medium_expert")):
        if wanted in kind.qualities:
            assert kind(quality=given).quality == wanted


def test_a_quality_is_echoed_as_it_was_given():
    assert KitchenDataset(quality="play").quality == "play"
    with pytest.raises(VRLError, match=r"quality of Kitchen named 'medium-replay'\. .*play"):
        KitchenDataset(quality="medium-replay")
    assert DMCDataset(task="walker_walk", quality="medium-replay").quality == "mixed"
