"""D'Claw's model: found in a folder or the cache, fetched once, checked, and unpacked whole."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from tiny_dclaw import CHAIN, MAIN, write_model
from vrl_core.errors import VRLError
from vrl_envs.dclaw import assets as dclaw_assets
from vrl_envs.dclaw.assets import WHEEL, model_path, readable_model
from vrl_envs.dclaw.config import DClaw
from vrl_envs.dclaw.model import load_model


@pytest.fixture
def wheel(tmp_path) -> Path:
    """What an index would give: the model in a wheel, with files that are not wanted."""
    root = write_model(tmp_path / "wheel" / "robel")
    policy = root / "scripts" / "policy.pkl"
    policy.parent.mkdir()
    policy.write_bytes(b"never to be unpickled")
    path = tmp_path / WHEEL
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(root.rglob("*")):
            archive.write(file, file.relative_to(root.parent))
    return path


@pytest.fixture
def index(wheel, tmp_path, monkeypatch):
    """An index that has the wheel, asked instead of pip; the cache is empty."""
    asked = []

    def fake_pip(*command, wanted, folder):
        asked.append((command[1], wanted))
        name = "pip-24.0-py3-none-any.whl" if wanted.startswith("pip") else WHEEL
        (folder / name).write_bytes(wheel.read_bytes())

    monkeypatch.setattr(dclaw_assets, "_pip", fake_pip)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setattr(dclaw_assets, "WHEEL_SHA256", digest)
    monkeypatch.setenv("VRL_HOME", str(tmp_path / "home"))
    return asked


def test_the_model_is_fetched_once_by_a_pip_that_takes_the_wheel(index, tmp_path):
    path = model_path(None)
    assert path == tmp_path / "home" / "dclaw" / MAIN
    assert [wanted for _, wanted in index] == ["pip==24.0", "robel==0.1.2"]
    assert index[1][0].endswith("pip-24.0-py3-none-any.whl/pip")
    assert model_path(None) == path
    assert len(index) == 2
    cached = tmp_path / "home" / "dclaw"
    files = {str(file.relative_to(cached)) for file in cached.rglob("*") if file.is_file()}
    assert files == {MAIN, CHAIN, CHAIN.replace("chain3xh", "dependencies3xh"), "LICENCE.txt"}
    assert "Apache License" in (cached / "LICENCE.txt").read_text()
    assert b"<?xml" not in path.read_bytes()
    assert load_model(None).nu == 9


def test_a_changed_wheel_is_refused_and_nothing_is_kept(index, monkeypatch, tmp_path):
    monkeypatch.setattr(dclaw_assets, "WHEEL_SHA256", "0" * 64)
    with pytest.raises(VRLError, match=rf"has the SHA-256 [0-9a-f]+\. Bring the file {WHEEL}"):
        model_path(None)
    assert not list((tmp_path / "home").glob("*dclaw/*"))


def test_a_failure_while_unpacking_leaves_nothing(index, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dclaw_assets, "_write", full)
    with pytest.raises(VRLError, match="The disk is full"):
        model_path(None)
    assert [file.name for file in (tmp_path / "home").iterdir()] == [".dclaw.lock"]


def test_without_an_index_the_error_names_file_hash_and_setting(monkeypatch, tmp_path):
    for name, value in {
        "VRL_HOME": tmp_path / "home",
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": tmp_path,
    }.items():
        monkeypatch.setenv(name, str(value))
    said = rf"could not be fetched: pip .*{WHEEL}.*SHA-256 6f14db7c.*folder with assets"
    with pytest.raises(VRLError, match=said):
        DClaw(observation="state").build()


def test_a_folder_may_be_the_model_or_an_unpacked_wheel(tmp_path):
    root = write_model(tmp_path / "unpacked" / "robel")
    for folder in (root, root.parent):
        assert model_path(folder) == root / MAIN
    with readable_model(root.parent) as path:
        assert b"<?xml" not in path.read_bytes()
    assert b"<?xml" in (root / MAIN).read_bytes()  # what a user unpacked is not changed
    model = load_model(root.parent)
    assert (model.nq, model.nv, model.nu) == (10, 10, 9)  # without the second, hidden claw


@pytest.mark.parametrize("damage", ["in STL file", "is empty", "No such file"])
def test_a_damaged_mesh_is_named_as_the_user_knows_it(tmp_path, damage):
    root = write_model(tmp_path / "robel")
    mesh = root / "robel-scenes" / "dclaw" / "meshes" / "finger.stl"
    mesh.parent.mkdir()
    if damage != "No such file":
        mesh.write_bytes(b"" if damage == "is empty" else bytes(100))
    main = root / MAIN
    asset = '<asset><mesh file="../../robel-scenes/dclaw/meshes/finger.stl"/></asset><worldbody>'
    main.write_text(main.read_text().replace("<worldbody>", asset))
    with pytest.raises(VRLError, match=damage) as refused:
        load_model(tmp_path)
    assert str(mesh) in str(refused.value)
    assert str(refused.value).count("/tmp") == str(refused.value).count(str(tmp_path))
    assert "\n" not in str(refused.value)


def test_folders_without_the_model_are_explained(tmp_path):
    with pytest.raises(VRLError, match=r"no-such-folder has no D'Claw model.*unpacked"):
        DClaw(observation="state", assets=tmp_path / "no-such-folder").build()
    root = write_model(tmp_path)
    main = root / MAIN
    text = main.read_text()
    main.write_text(text.replace('"target"', '"goal"'))
    with pytest.raises(VRLError, match=r"is no D'Claw of ROBEL.*target"):
        load_model(root)
    main.write_text("<mujoco>")
    with pytest.raises(VRLError, match="MuJoCo cannot read the D'Claw model in"):
        load_model(root)
