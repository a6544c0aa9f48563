from dataclasses import dataclass
from pathlib import Path

from vrl_core.config_paths import with_absolute_paths


@dataclass(frozen=True, kw_only=True)
class Inner:
    folder: Path
    note: str = "a/b"


@dataclass(frozen=True, kw_only=True)
class Outer:
    path: str = "x"
    inner: Inner | None = None
    size: int = 3


def test_paths_are_absolute_at_any_depth(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = with_absolute_paths(Outer(inner=Inner(folder=Path("y"))))
    assert found == Outer(path=str(tmp_path / "x"), inner=Inner(folder=tmp_path / "y"))


def test_what_has_none_is_left_alone():
    config = Outer(path="/x")
    assert with_absolute_paths(config) == config
    assert with_absolute_paths(None) is None
    assert with_absolute_paths(Outer(path="~/x")).path == str(Path.home() / "x")
