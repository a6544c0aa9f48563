"""Joined stores: which episodes of which store, what they are described as, what does not fit."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

import vrl_core.plugin
from counting_dataset import Counting
from vrl_core.config import from_data, to_data
from vrl_core.errors import VRLError
from vrl_core.ingest import write_store
from vrl_core.preparation import open_store
from vrl_core.registry import Registry
from vrl_core.store import Store
from vrl_core.store_config import JoinedStores
from vrl_core.testing import check_dataset


@dataclass(frozen=True, kw_only=True)
class VersionedCounting(Counting):
    versions: tuple[tuple[str, str], ...] = ()

    def build(self):
        dataset = super().build()
        dataset.spec = replace(dataset.spec, versions=dict(self.versions))
        return dataset


@pytest.fixture
def stores(tmp_path: Path) -> tuple[Path, Path]:
    short, long = tmp_path / "short", tmp_path / "long"
    write_store(Counting(episodes=4, steps=2), short, workers=1)
    write_store(Counting(episodes=3, steps=8, quality="bad"), long, workers=1)
    return short, long


def lengths(config: JoinedStores) -> list[int]:
    dataset = config.build()
    return [len(dataset[index]) for index in range(len(dataset))]


def test_all_or_some_of_each_store_in_order(stores):
    assert lengths(JoinedStores(paths=stores)) == [2, 3, 4, 5, 8, 9, 10]
    assert lengths(JoinedStores(paths=stores[::-1], episodes=(1, 2))) == [9, 3, 5]
    assert lengths(JoinedStores(paths=stores[:1], episodes=(2,))) == [3, 5]
    assert lengths(JoinedStores(paths=stores, episodes=(0, 3))) == [8, 9, 10]


def test_a_joined_store_is_written_once_with_both_behaviours(stores, tmp_path, monkeypatch):
    monkeypatch.setenv("VRL_HOME", str(tmp_path / "home"))
    registry = Registry(installed=False, modules=(vrl_core.plugin,))
    config = from_data("datasets", to_data(JoinedStores(paths=stores), registry), registry)
    store = open_store(config, registry)
    assert store.spec.behaviour == "good+bad"
    assert store.spec.environment == Store.open(stores[0]).spec.environment
    whole = Store.open(stores[1])[2]
    np.testing.assert_array_equal(store[6].observations["image"], whole.observations["image"])
    assert open_store(config, registry).path == store.path
    check_dataset(config, episodes=2, spawn=False)


def test_paths_are_whole_wherever_they_are_named(stores, monkeypatch):
    monkeypatch.chdir(stores[0].parent)
    assert JoinedStores(paths=(Path("short"),)) == JoinedStores(paths=stores[:1])
    before = JoinedStores(paths=stores).fingerprint()
    assert before == JoinedStores(paths=stores).fingerprint()
    assert before != JoinedStores(paths=stores, episodes=(4, 3)).fingerprint()


def test_what_does_not_fit_is_explained(stores, tmp_path):
    with pytest.raises(VRLError, match="No store is named"):
        JoinedStores(paths=()).build()
    with pytest.raises(VRLError, match="1 numbers of episodes were given for 2 stores"):
        JoinedStores(paths=stores, episodes=(1,)).build()
    with pytest.raises(VRLError, match=r"4 episodes of .*long were asked for; it has 3"):
        JoinedStores(paths=stores, episodes=(1, 4)).build()
    write_store(replace(Counting(), task="count_down"), tmp_path / "down", workers=1)
    with pytest.raises(VRLError, match=r"down has task count_down, .*short count_up"):
        JoinedStores(paths=(stores[0], tmp_path / "down")).build()


def test_stores_of_other_versions_are_warned_of(tmp_path):
    for name, versions in (("old", {"drawing": "2", "vrl-core": "0"}), ("new", {"drawing": "3"})):
        config = VersionedCounting(episodes=1, steps=2, versions=tuple(versions.items()))
        write_store(config, tmp_path / name, workers=1)
    with pytest.warns(UserWarning, match=r"other versions \(drawing 3 and 2\)"):
        JoinedStores(paths=(tmp_path / "old", tmp_path / "new")).build()
