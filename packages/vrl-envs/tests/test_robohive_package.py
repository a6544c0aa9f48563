"""Where RoboHive and its models are found, what is said where they are not, and a quiet import."""

import importlib
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from fake_robohive import only_the_fake, write, write_models, write_package
from vrl_core.errors import VRLError
from vrl_envs.robohive import package as robohive_package
from vrl_envs.robohive.config import RoboHive, RoboHiveDataset
from vrl_envs.robohive.package import INSTALL, fault_of, load_robohive


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A place for the package, first on Python's path, and an empty cache."""
    monkeypatch.setenv("VRL_HOME", str(tmp_path / "home"))
    monkeypatch.syspath_prepend(tmp_path / "site")
    with only_the_fake():
        yield tmp_path / "site"


@pytest.mark.parametrize("config", [RoboHive(), RoboHiveDataset()])
def test_a_missing_robohive_says_how_it_is_installed(site, monkeypatch, config):
    monkeypatch.setattr(robohive_package.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(VRLError, match="not installed") as raised:
        config.build()
    assert INSTALL in str(raised.value)
    assert INSTALL.endswith("&& pip install --no-deps robohive==0.7.0")
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    assert project["project"]["optional-dependencies"]["robohive"]


def test_another_release_is_refused(site):
    write_package(site, release="0.8.0")
    with pytest.raises(VRLError, match=r"RoboHive 0\.7\.0 runs here; 0\.8\.0 is installed"):
        load_robohive()


def test_missing_models_are_explained_before_robohive_is_imported(site, tmp_path):
    package = write_package(site)
    (package / "simhive" / "arm").mkdir(parents=True)  # what robohive_init leaves of failed clones
    with pytest.raises(VRLError) as raised:
        load_robohive()
    said = str(raised.value)
    assert f"{package / 'simhive'} holds no models" in said
    assert f"{tmp_path / 'home' / 'simhive'} does not exist" in said
    assert "robohive_init" in said
    assert "Successfully Initialized" in said
    assert "robohive" not in sys.modules


def test_faults_of_a_folder_of_models(tmp_path):
    models = write_models(tmp_path / "models")
    assert fault_of(models) == ""
    write(models / "simhive-version", "0.7.0\n")  # RoboHive itself refuses the line's end
    assert "is of release '0.7.0\\n'" in fault_of(models)


def test_models_in_robohives_own_folder_are_read_there(site):
    package = write_package(site)
    write_models(package / "simhive")
    assert load_robohive().__file__ == str(package / "__init__.py")


@pytest.mark.parametrize("place", ["home/simhive", "elsewhere"])
def test_models_elsewhere_are_read_through_links_in_the_cache(site, tmp_path, place, capsys):
    package = write_package(site)
    models = write_models(tmp_path / place)
    assets = models if place == "elsewhere" else None
    before = sorted(site.rglob("*"))
    module = load_robohive(assets)
    assert module.__file__ is not None
    assert module.__file__.startswith(str(tmp_path / "home" / "robohive"))
    assert load_robohive(assets) is load_robohive() is module
    assert sorted(site.rglob("*")) == before  # nothing is written beside the package
    assert not (package / "simhive").exists()
    assert capsys.readouterr().out == ""
    assert np.get_printoptions()["precision"] == 8
    with pytest.raises(VRLError, match="cannot change"):
        load_robohive(write_models(tmp_path / "others"))


def test_a_robohive_that_somebody_else_imported_is_taken_as_it_is(site, tmp_path, capsys):
    package = write_package(site)
    write_models(package / "simhive")
    module = importlib.import_module("robohive")
    assert load_robohive() is module
    capsys.readouterr()
    sys.modules["robohive.utils.prompt_utils"].prompt("hello")
    assert capsys.readouterr().out == ""
    with pytest.raises(VRLError, match="cannot change"):
        load_robohive(write_models(tmp_path / "others"))


def test_links_that_lead_nowhere_are_made_anew(site, tmp_path):
    package, models = write_package(site), write_models(tmp_path / "models")
    first = robohive_package.linked_package(package, models)
    assert robohive_package.linked_package(package, models) == first
    (first / "__init__.py").unlink()
    assert (robohive_package.linked_package(package, models) / "__init__.py").is_file()
    assert len(list((tmp_path / "home" / "robohive").iterdir())) == 1


def test_a_missing_package_of_robohives_is_named(site):
    package = write_package(site)
    write_models(package / "simhive")
    write(package / "__init__.py", "import no_such_package_of_robohives")
    with pytest.raises(VRLError, match="needs the package no_such_package_of_robohives") as raised:
        load_robohive()
    assert INSTALL in str(raised.value)
    assert "robohive" not in sys.modules


def test_a_model_that_is_not_whole_is_explained(site, tmp_path):
    write_package(site)
    models = write_models(tmp_path / "models")
    config = RoboHive(task="hammer-v1", observation="state", assets=models)
    with pytest.raises(VRLError, match=r"model of hammer-v1 is not whole.*tool\.xml.*not there"):
        config.build()
    write(models / "tool" / "tool.xml", '<mujoco><include file="none.xml"/></mujoco>')
    with pytest.raises(VRLError, match=r"model of hammer-v1 is not whole.*none\.xml"):
        config.build()
