"""A run knows the code it came from: the current folder's, and the tree VRL itself runs from."""

import json
import subprocess
from pathlib import Path

import pytest

from vrl_core.provenance import git_state, source_state


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository of one commit."""
    folder = tmp_path / "a tree"
    folder.mkdir()
    (folder / "code.py").write_text("x = 1\n")
    author = ("-c", "user.name=a", "-c", "user.email=a@b")
    for words in (["init", "-q"], ["add", "."], [*author, "commit", "-q", "-m", "one"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder


@pytest.mark.parametrize(("editable", "known"), [(True, True), (False, False)])
def test_the_source_is_that_of_an_editable_installation(
    tree: Path, tmp_path: Path, monkeypatch, editable: bool, known: bool
) -> None:
    site = tmp_path / "site"
    described = site / "thing-1.0.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
    origin = {"url": tree.as_uri(), "dir_info": {"editable": editable}}
    (described / "direct_url.json").write_text(json.dumps(origin))
    monkeypatch.syspath_prepend(str(site))
    assert source_state("thing") == (git_state(tree) if known else None)
    assert source_state("nothing-of-this-name") is None


def test_changes_of_tracked_files_are_told(tree: Path, tmp_path: Path) -> None:
    clean = git_state(tree)
    assert clean is not None
    assert clean["dirty"] is False
    (tree / "code.py").write_text("x = 2\n")
    assert git_state(tree) == {**clean, "dirty": True}
    assert git_state(tmp_path) is None
