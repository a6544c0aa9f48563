"""What changes the episodes changes the fingerprint: paths, files, code; nothing else does."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from counting_dataset import Counting, CountingDataset
from vrl_core.errors import VRLError
from vrl_core.fingerprint import files_digest
from vrl_core.hooks import DatasetConfig
from vrl_core.ingest import write_store
from vrl_core.preparation import open_store
from vrl_core.registry import Registry

REGISTRY = Registry(installed=False)


@dataclass(frozen=True, kw_only=True)
class Listed(DatasetConfig):
    """As many episodes as a file says."""

    path: str
    fails_at: int = -1

    def build(self) -> CountingDataset:
        count = int(Path(self.path).read_text())
        return Counting(episodes=count, fails_at=self.fails_at).build()


def written(folder: Path, content: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "list").write_text(content)
    return folder


def test_a_relative_path_in_another_folder_is_other_data(tmp_path, monkeypatch):
    monkeypatch.setenv("VRL_HOME", str(tmp_path / "home"))
    sizes = []
    for name, content in (("a", "2"), ("b", "3"), ("a", "2")):
        monkeypatch.chdir(written(tmp_path / name, content))
        sizes.append(len(open_store(Listed(path="list"), REGISTRY)))
    assert sizes == [2, 3, 2]
    assert len(list((tmp_path / "home" / "stores").iterdir())) == 2


def test_a_changed_file_is_other_data(tmp_path, monkeypatch):
    monkeypatch.setenv("VRL_HOME", str(tmp_path / "home"))
    config = Listed(path=str(written(tmp_path, "2") / "list"))
    assert len(open_store(config, REGISTRY)) == 2
    written(tmp_path, "3")
    assert len(open_store(config, REGISTRY)) == 3


def test_an_unfinished_store_is_not_continued_from_changed_files(tmp_path):
    config = Listed(path=str(written(tmp_path, "3") / "list"), fails_at=1)
    with pytest.raises(VRLError, match="could not be made"):
        write_store(config, tmp_path / "store", workers=1)
    written(tmp_path, "003")
    with pytest.raises(VRLError, match=r"content of its files was .* now "):
        write_store(config, tmp_path / "store", workers=1)


def test_edited_code_of_a_plugin_file_makes_other_episodes(tmp_path):
    file = tmp_path / "edited_plugin.py"
    head = "from dataclasses import dataclass\nfrom vrl_core import DatasetConfig, hookimpl\n"
    body = "@dataclass(frozen=True, kw_only=True)\nclass Mine(DatasetConfig):\n    size: int = 1\n"
    hook = "@hookimpl\ndef vrl_datasets():\n    return {'mine': Mine}\n"
    file.write_text(head + body + hook)
    config = Registry(installed=False, files=[file]).get("datasets", "mine")()
    before = config.fingerprint()
    assert config.fingerprint() == before
    file.write_text(head + body + "# edited\n" + hook)
    assert config.fingerprint() != before


def test_a_datasets_own_plugin_and_version_are_told(tmp_path):
    from vrl_core.store_config import StoreDataset

    assert "vrl-core" in StoreDataset(path="x").fingerprint()["code"]["plugins"]


def test_large_files_are_told_apart_by_size_and_time(tmp_path):
    file = tmp_path / "a" / "big"
    file.parent.mkdir()
    file.write_bytes(b"abc")
    told = files_digest([tmp_path], quick_bytes=1)
    content = files_digest([tmp_path])
    os.utime(file, ns=(0, 5))
    assert files_digest([tmp_path], quick_bytes=1) != told
    assert files_digest([tmp_path]) == content
    file.rename(file.with_name("other"))
    assert files_digest([tmp_path]) != content


def test_settings_count(tmp_path):
    config = Listed(path=str(written(tmp_path, "2") / "list"))
    assert replace(config, fails_at=1).fingerprint() != config.fingerprint()
