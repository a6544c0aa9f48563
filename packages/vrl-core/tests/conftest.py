"""What several tests share."""

import sys
from pathlib import Path

import pytest

from vrl_core.store import Store

sys.path.append(str(Path(__file__).parent))  # `counting_dataset`; workers see it by PYTHONPATH


@pytest.fixture
def counting_store(tmp_path: Path) -> Store:
    """Three episodes of 6, 7 and 8 steps, at 16 pixels, of `counting_dataset.py`."""
    from counting_dataset import Counting
    from vrl_core.ingest import write_store

    config = Counting(episodes=3, size=16)
    return write_store(config, tmp_path / "counting", workers=1)


@pytest.fixture
def minari_root(tmp_path: Path, monkeypatch) -> Path:
    """An empty Minari root, as the environment names it."""
    root = tmp_path / "minari"
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    return root


@pytest.fixture
def no_minari(monkeypatch) -> None:
    """As if Minari were not installed."""
    for name in [name for name in sys.modules if name.split(".")[0] == "minari"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "minari", None)
