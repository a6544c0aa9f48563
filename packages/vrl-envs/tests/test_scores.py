"""Normalised scores, and what the package's configurations may import."""

import subprocess
import sys

import pytest

from vrl_envs.dmc.config import DMC
from vrl_envs.scores import paper_score, references


def test_scores_by_hand():
    walker = DMC(task="walker_walk").references()
    assert walker is not None
    assert walker.normalise(42.3) == pytest.approx(0)
    assert walker.normalise(969.8) == pytest.approx(100)
    assert walker.normalise(506.05) == pytest.approx(50)  # half-way between 42.3 and 969.8
    assert references("cartpole_balance") is None
    assert DMC().published_score(969.8) == paper_score(969.8) == pytest.approx(96.98)


def test_plugin_and_configurations_import_nothing_heavy():
    heavy = {"torch", "numpy", "gymnasium", "mujoco", "dm_control", "metaworld", "h5py"}
    heavy |= {"huggingface_hub"}
    code = f"import sys, vrl_envs.plugin; print(sorted({heavy!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
