"""Releases of MuJoCo and its companions that do not run together are refused at the start."""

import importlib.metadata
import subprocess
import sys

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from vrl_core.errors import VRLError
from vrl_envs import releases
from vrl_envs.behaviours.train import TrainBehaviour, train
from vrl_envs.dclaw.config import DClaw, DClawDataset
from vrl_envs.desk.config import Desk, DeskDataset
from vrl_envs.dmc.config import DMC, DMCDataset
from vrl_envs.gym_mujoco.config import GymMuJoCo, GymMuJoCoDataset
from vrl_envs.robohive.config import RoboHive, RoboHiveDataset

ON_MUJOCO = [DMC, DMCDataset, DClaw, DClawDataset, Desk, DeskDataset, RoboHive, RoboHiveDataset]
ON_GYMNASIUM = [GymMuJoCo, GymMuJoCoDataset]
THERE = {**releases.MUJOCO.supported, "gymnasium": "1.4.0"}


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"mujoco": None}, r"MuJoCo is not installed.*pip install vrl-envs$"),
        ({"mujoco": "4.0.0"}, r"with mujoco 3\.3\.0, dm_control 1\.0\.28.*here are mujoco 4\.0\.0"),
        ({"dm_control": "1.0.50"}, r"here are mujoco 3\.3\.0, dm_control 1\.0\.50.*vrl-envs$"),
        ({"dm_control": None}, r"dm_control \(none\)"),
    ],
)
@pytest.mark.parametrize("kind", ON_MUJOCO + ON_GYMNASIUM)
def test_pairs_that_do_not_run_together_are_refused(monkeypatch, kind, found, message):
    monkeypatch.setattr(releases, "installed", {**THERE, **found}.get)
    with pytest.raises(VRLError, match=message):
        kind().build()


def test_training_a_behaviour_asks_for_the_pair_too(monkeypatch, tmp_path):
    monkeypatch.setattr(releases, "installed", {**THERE, "dm_control": "1.0.50"}.get)
    with pytest.raises(VRLError, match=r"here are mujoco 3\.3\.0, dm_control 1\.0\.50"):
        train(TrainBehaviour(output=tmp_path / "run", task="walker_walk"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ON_GYMNASIUM)
@pytest.mark.parametrize("release", ["0.29.1", "2.0.0"])
def test_gymnasiums_tasks_want_their_own_releases(monkeypatch, kind, release):
    monkeypatch.setattr(releases, "installed", {**THERE, "gymnasium": release}.get)
    with pytest.raises(VRLError, match=rf"gymnasium >=1\.0,<2; here are.*gymnasium {release},"):
        kind().build()


@pytest.mark.parametrize("release", ["1.0.0", "1.4.0", "1.5.0a1"])
def test_any_release_of_a_range_is_taken(monkeypatch, release):
    monkeypatch.setattr(releases, "installed", {**THERE, "gymnasium": release}.get)
    releases.GYMNASIUM_MUJOCO.require()


def test_the_releases_are_those_that_the_package_asks_for():
    requirements = map(Requirement, importlib.metadata.requires("vrl-envs") or ())
    asked = {canonicalize_name(each.name): each.specifier for each in requirements}
    for name, wish in releases.GYMNASIUM_MUJOCO.supported.items():
        specified = SpecifierSet(f"=={wish}" if wish[0].isdigit() else wish)
        assert specified == asked[canonicalize_name(name)], name


def test_a_pair_that_cannot_be_imported_shows_no_traceback(tmp_path):
    broken = tmp_path / "dm_control" / "__init__.py"
    broken.parent.mkdir()
    broken.write_text("raise AttributeError(\"'MjModel' object has no attribute 'B_colind'\")")
    (tmp_path / "dm_control-1.0.50.dist-info").mkdir()
    metadata = "Metadata-Version: 2.1\nName: dm_control\nVersion: 1.0.50\n"
    (tmp_path / "dm_control-1.0.50.dist-info" / "METADATA").write_text(metadata)
    program = "import sys; sys.path.insert(0, sys.argv.pop(1)); from vrl_core.cli import main; "
    words = ["data", "collect", "--task", "walker_walk", "--quality", "random"]
    done = subprocess.run(
        [sys.executable, "-c", program + "sys.exit(main())", str(tmp_path), *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "dm_control 1.0.50" in done.stderr
    assert "Traceback" not in done.stderr
