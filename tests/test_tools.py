"""The repository's own tools: versions, changed packages, new plugins, the README's commands."""

from __future__ import annotations

import ast
import datetime
import importlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / "tools"


def tool(name: str) -> ModuleType:
    """Import a tool as running it does: with its folder first on the path."""
    sys.path.insert(0, str(TOOLS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(TOOLS))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of what carries versions."""
    for name in ("VERSION", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    for project in ROOT.glob("packages/*/pyproject.toml"):
        folder = tmp_path / project.parent.relative_to(ROOT)
        folder.mkdir(parents=True)
        shutil.copy(project, folder)
    return tmp_path


def run_git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


# bump.py


@pytest.mark.parametrize(
    ("current", "change", "expected"),
    [
        ("0.1.0", "patch", "0.1.1"),
        ("0.1.7", "minor", "0.2.0"),
        ("0.9.7", "major", "1.0.0"),
        ("0.1.0", "0.12.3", "0.12.3"),
    ],
)
def test_next_version(current, change, expected):
    assert tool("bump").next_version(current, change) == expected


@pytest.mark.parametrize("change", ["0.0.9", "0.1.0", "newest", "1.2"])
def test_a_version_that_is_no_later_version_is_refused(change):
    bump = tool("bump")
    with pytest.raises(bump.BumpError, match=re.escape(change)):
        bump.next_version("0.1.0", change)


def test_bump_changes_version_requirements_and_changelog(repository):
    bump = tool("bump")
    (repository / "VERSION").write_text("0.1.0\n")
    assert bump.bump(repository, "minor", datetime.date(2030, 5, 1)) == "0.2.0"
    assert (repository / "VERSION").read_text() == "0.2.0\n"
    envs = (repository / "packages/vrl-envs/pyproject.toml").read_text()
    assert '"vrl-core>=0.2.0,<0.3"' in envs
    assert '"mujoco==3.3.0"' in envs
    changelog = (repository / "CHANGELOG.md").read_text()
    assert changelog.index("## Unreleased") < changelog.index("## 0.2.0 (2030-05-01)")


def test_bump_writes_nothing_when_the_changelog_is_unfit(repository):
    bump = tool("bump")
    before = (repository / "VERSION").read_text()
    (repository / "CHANGELOG.md").write_text("# Changelog\n")
    with pytest.raises(bump.BumpError, match="Unreleased"):
        bump.bump(repository, "minor", datetime.date(2030, 5, 1))
    assert (repository / "VERSION").read_text() == before


def test_requirements_within_the_project_are_of_this_version():
    bump = tool("bump")
    expected = bump.requirement_range((ROOT / "VERSION").read_text())
    for project in ROOT.glob("packages/*/pyproject.toml"):
        required = re.findall(r'"vrl-[a-z]+(?:\[[a-z,]*\])?([^"]*)"', project.read_text())
        ranges = [found for found in required if found]
        assert all(found == expected for found in ranges), project


# changed_packages.py

ALL = ("vrl-core", "vrl-envs", "vrl-modelfree", "vrl-worldmodel")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["packages/vrl-envs/src/vrl_envs/dmc/environment.py"], ["vrl-envs"]),
        (["packages/vrl-core/pyproject.toml"], list(ALL)),
        (["docs/data.md", "README.md", "tests/test_together.py"], []),
        (["packages/vrl-modelfree/x.py", "packages/vrl-envs/y.py"], ["vrl-envs", "vrl-modelfree"]),
        (["hatch.toml"], list(ALL)),
        (["packages/vrl-envs/x.py", "VERSION"], list(ALL)),
        (["packages/vrl-gone/x.py"], []),
        ([], []),
        (None, list(ALL)),
    ],
)
def test_affected_packages(files, expected):
    monorepo = tool("monorepo")
    names = ALL
    requires = {"vrl-core": ()}
    known = {
        name: monorepo.Package(name, Path(name), requires.get(name, ("vrl-core",)))
        for name in names
    }
    assert tool("changed_packages").affected(files, known) == expected


def test_dependents_are_followed_through_packages():
    monorepo = tool("monorepo")
    known = {
        "a": monorepo.Package("a", Path("a"), ()),
        "b": monorepo.Package("b", Path("b"), ("a",)),
        "c": monorepo.Package("c", Path("c"), ("b",)),
    }
    assert monorepo.dependents({"a"}, known) == ["a", "b", "c"]
    assert monorepo.dependents({"b"}, known) == ["b", "c"]


def test_changed_files_are_those_since_the_fork(tmp_path):
    changed_files = tool("changed_packages").changed_files
    run_git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "old").write_text("old")
    run_git(tmp_path, "add", ".")
    run_git(tmp_path, "commit", "-qm", "First")
    run_git(tmp_path, "checkout", "-qb", "work")
    (tmp_path / "new").write_text("new")
    run_git(tmp_path, "add", ".")
    run_git(tmp_path, "commit", "-qm", "Second")
    assert changed_files("main", tmp_path) == ["new"]
    assert changed_files("0" * 40, tmp_path) is None


def test_every_package_is_in_hatchs_matrix():
    text = (ROOT / "hatch.toml").read_text()
    (matrix,) = re.findall(r"^package = (\[.*\])$", text, re.MULTILINE)
    short_names = [package.short_name for package in tool("monorepo").packages().values()]
    assert sorted(json.loads(matrix)) == sorted(short_names)


# new_plugin.py


def test_a_new_plugin_passes_its_own_tests(tmp_path):
    folder = tool("new_plugin").write("vrl-surprise", tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(folder / "src")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    run = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "2 passed" in run.stdout


def test_a_new_plugin_is_never_written_over_something(tmp_path):
    new_plugin = tool("new_plugin")
    new_plugin.write("vrl-surprise", tmp_path)
    with pytest.raises(ValueError, match="exists already"):
        new_plugin.write("vrl-surprise", tmp_path)


@pytest.mark.parametrize("name", ["3d", "class", "a b", "../up", ""])
def test_a_name_that_cannot_be_imported_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match="no package name"):
        tool("new_plugin").write(name, tmp_path)
    assert not any(tmp_path.iterdir())


# import_report.py


def test_import_report_sees_what_an_import_brings():
    report = tool("import_report")
    assert report.measure("json", repeats=1).heavy == ()
    assert "numpy" in report.measure("numpy.random", repeats=1).heavy
    assert "No module named" in report.measure("no_such_module", repeats=1).error


# test_all.py, install_wheels.py


def test_summary_names_the_stage_that_failed():
    text = tool("test_all").summary({"lint": (True, 3.4), "core": (False, 125.2)})
    assert "passed   0:03  lint" in text
    assert "FAILED   2:05  core" in text


def test_wheels_are_installed_with_what_they_require():
    requirements_within = tool("monorepo").requirements_within
    assert requirements_within(["vrl-envs"]) == ["vrl-core", "vrl-envs"]
    assert requirements_within(["vrl-core"]) == ["vrl-core"]


# setup, CI and README


def executable(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def fresh_machine(tmp_path: Path) -> Path:
    """A repository's root and, in `bin`, a machine that can render nothing and has no root."""
    shutil.copytree(TOOLS, tmp_path / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "hatch.toml").touch()
    (tmp_path / "tools/has_rendering.py").write_text("raise SystemExit(1)\n")
    programs = tmp_path / "bin"
    programs.mkdir()
    executable(programs / "id", "echo 1000")
    executable(programs / "apt-get", 'echo "apt-get $*" >> apt.log')
    executable(programs / "hatch", 'echo "Hatch, version 1.18.2"')
    return tmp_path


def set_up(folder: Path) -> subprocess.CompletedProcess[str]:
    """Paste a README-like line into a shell."""
    path = f"{folder / 'bin'}:{Path(sys.executable).parent}:/usr/bin:/bin"
    return subprocess.run(
        ["sh", "-c", ". tools/setup.sh && echo went on with $(command -v hatch)"],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_setup_without_root_prints_the_one_apt_line_and_stops(fresh_machine):
    run = set_up(fresh_machine)
    assert run.returncode == 1
    assert "went on" not in run.stdout
    lines = [line for line in run.stderr.splitlines() if "apt-get install" in line]
    assert len(lines) == 1
    assert "libegl1" in lines[0]
    assert not (fresh_machine / "apt.log").exists()


def test_setup_as_root_installs_what_is_missing_and_goes_on(fresh_machine):
    executable(fresh_machine / "bin/id", "echo 0")
    run = set_up(fresh_machine)
    assert run.returncode == 0, run.stderr
    assert "libegl1" in (fresh_machine / "apt.log").read_text()
    assert f"went on with {fresh_machine}/bin/hatch" in run.stdout


def test_setup_takes_a_recent_hatch_and_installs_nothing(fresh_machine):
    (fresh_machine / "tools/has_rendering.py").write_text("raise SystemExit(0)\n")
    run = set_up(fresh_machine)
    assert run.returncode == 0, run.stderr
    assert not (fresh_machine / ".hatch").exists()
    assert not (fresh_machine / "apt.log").exists()


def test_setup_replaces_a_hatch_that_is_too_old(fresh_machine):
    (fresh_machine / "tools/has_rendering.py").write_text("raise SystemExit(0)\n")
    executable(fresh_machine / "bin/hatch", 'echo "Hatch, version 1.9.7"')
    private = fresh_machine / ".hatch/bin"
    private.mkdir(parents=True)
    executable(private / "hatch", 'echo "Hatch, version 1.20.0"')
    run = set_up(fresh_machine)
    assert run.returncode == 0, run.stderr
    assert f"went on with {private}/hatch" in run.stdout


def test_setup_elsewhere_says_where_to_go(fresh_machine):
    (fresh_machine / "hatch.toml").unlink()
    run = set_up(fresh_machine)
    assert run.returncode == 1
    assert "root of the repository" in run.stderr


def readme_commands() -> list[str]:
    """The one-line commands of the README that set everything up."""
    lines = (ROOT / "README.md").read_text().splitlines()
    return [line.strip() for line in lines if "tools/setup.sh" in line]


def test_readme_has_both_commands_and_ci_runs_the_second():
    quickstart, test = readme_commands()
    assert quickstart.endswith("hatch run quickstart")
    assert test.endswith("hatch run test")
    assert test in (ROOT / ".ci/run").read_text().splitlines()
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_rendering_libraries_are_the_same_wherever_they_are_named():
    pattern = re.compile(r"libegl1 [a-z0-9 -]*libopengl0")
    files = [TOOLS / "prepare.sh", *sorted((ROOT / ".github/workflows").glob("*.yml"))]
    named = {found for file in files for found in pattern.findall(file.read_text())}
    assert len(named) == 1


def test_pins_of_tools_agree_between_environments():
    pins = re.findall(r'"(ruff|torch)==([^"]+)"', (ROOT / "hatch.toml").read_text())
    assert len(pins) >= 4
    assert len(set(pins)) == 2


def test_readme_names_every_task_with_a_trained_behaviour():
    folder = ROOT / "packages/vrl-envs/src/vrl_envs/behaviours"
    policies = {path.parent.name for path in folder.glob("policies/*/*.safetensors")}
    shipped = policies | {path.stem for path in folder.glob("replays/*.safetensors")}
    (row,) = re.findall(r"^\| behaviours .*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert shipped
    assert shipped - set(re.findall(r"\w+", row)) == set()


def test_robohives_release_is_the_same_wherever_it_is_named():
    package = ROOT / "packages/vrl-envs"
    (supported,) = re.findall(
        r'^RELEASE = "(.+)"$', (package / "src/vrl_envs/robohive/package.py").read_text(), re.M
    )
    files = [ROOT / "hatch.toml", ROOT / "CONTRIBUTING.md", ROOT / "docs/tasks/robohive.md"]
    for file in [*files, package / "README.md", package / "pyproject.toml"]:
        assert set(re.findall(r"robohive==([\d.]+\d)", file.read_text())) == {supported}, file


def test_the_folder_of_test_data_is_described_as_the_tests_read_it():
    described = (ROOT / "CONTRIBUTING.md").read_text()
    for test in (ROOT / "packages/vrl-envs/tests").glob("test_*.py"):
        if "VRL_TEST_DATA" in test.read_text():
            assert f"`{test.name}`" in described, test.name


# house rules that no linter knows


def test_shapes_are_checked_wherever_they_are_written():
    text = (ROOT / "pytest.ini").read_text()
    (checked,) = re.findall(r"--jaxtyping-packages=(\S+)", text)
    with_shapes = {
        ".".join(path.relative_to(source).with_suffix("").parts)
        for source in ROOT.glob("packages/*/src")
        for path in source.rglob("*.py")
        if "from jaxtyping import" in path.read_text()
    }
    assert with_shapes <= set(checked.split(","))


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


@pytest.mark.parametrize("package", sorted(path.name for path in ROOT.glob("packages/*")))
def test_files_and_functions_stay_short(package):
    sources = sorted((ROOT / "packages" / package / "src").rglob("*.py"))
    assert sources
    for path in sources:
        assert len(path.read_text().splitlines()) <= 500, path
        for function in functions(path):
            assert (function.end_lineno or 0) - function.lineno < 60, f"{path}: {function.name}"
