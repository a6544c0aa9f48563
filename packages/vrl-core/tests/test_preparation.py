"""Data is in order before training: sound, and cached where that is possible."""

import os

import pytest

from counting_dataset import Counting
from vrl_core import preparation
from vrl_core.errors import VRLError
from vrl_core.preparation import open_store
from vrl_core.registry import Registry
from vrl_core.store import Store
from vrl_core.store_config import StoreDataset

REGISTRY = Registry(installed=False)


@pytest.fixture
def large(monkeypatch, tmp_path):
    """As if every store were large."""
    monkeypatch.setenv("VRL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(preparation, "ALWAYS_VERIFIED_BYTES", 0)


def test_a_large_store_is_verified_once_with_a_note(large, counting_store: Store, capsys):
    dataset = StoreDataset(path=str(counting_store.path))
    open_store(dataset, REGISTRY)
    assert "comparing the checksums of" in capsys.readouterr().err
    open_store(dataset, REGISTRY)
    assert capsys.readouterr().err == ""
    os.utime(counting_store.path / "reward.npy", ns=(0, 0))
    open_store(dataset, REGISTRY)
    assert "once: 3/3 episodes" in capsys.readouterr().err


def test_a_damaged_large_store_is_found(large, counting_store: Store):
    file = counting_store.path / "reward.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    for _ in range(2):
        with pytest.raises(VRLError, match=r"is damaged: reward\.npy, episode 2"):
            open_store(StoreDataset(path=str(counting_store.path)), REGISTRY)


def test_a_cache_that_cannot_be_written_is_answered_with_its_variable(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("VRL_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(VRLError, match=r"file is a file\. Set VRL_HOME to another folder\.$"):
        open_store(Counting(), REGISTRY)
