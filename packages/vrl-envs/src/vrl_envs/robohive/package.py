"""Find RoboHive and its models, and import it without a word.

RoboHive looks for its models (*simhive*) in its own folder alone, because its task files include
them by relative paths. Where they lie elsewhere, it is imported from a folder of links in VRL's
cache: RoboHive's files beside a link to the models. Nothing is written into site-packages.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import os
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

import numpy as np

from vrl_core.errors import VRLError
from vrl_core.preparation import home
from vrl_core.writing import ANOTHER_HOME, explained

RELEASE = "0.7.0"
"""The release of RoboHive, and of its models, that runs here."""
PACKAGES = ("robohive", "mujoco", "dm_control")
INSTALL = f"pip install 'vrl-envs[robohive]' && pip install --no-deps robohive=={RELEASE}"
"""The extra is what RoboHive imports. Itself it asks for old releases of mujoco, dm_control,
gymnasium and h5py, and runs with ours."""
MODELS = "simhive"
RELEASE_FILE = "simhive-version"
_INCLUDE = re.compile(r"<include\s+file\s*=\s*[\"']([^\"']+)[\"']")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_loaded: dict[str, Path] = {}  # the models that this process's RoboHive reads


def load_robohive(assets: Path | None = None) -> ModuleType:
    """Import RoboHive, once in a process, so that it finds its models.

    Raises `VRLError` when it is not installed, of another release, or has no models; and for other
    models than the process already reads.
    """
    if not _loaded and "robohive" in sys.modules:  # somebody else imported it
        _loaded[MODELS] = (find_package() / MODELS).resolve()
        make_usable()
    if _loaded and (assets is None or assets.expanduser().resolve() == _loaded[MODELS]):
        return sys.modules["robohive"]
    package = find_package()
    models = find_models(assets, package)
    if _loaded:
        raise VRLError(
            f"RoboHive reads its models from {_loaded[MODELS]} in this process, and cannot change "
            f"to {models}. Use another process for each, or one folder."
        )
    beside = models == package / MODELS
    module = import_from(package if beside else linked_package(package, models))
    _loaded[MODELS] = models.resolve()
    return module


def find_package() -> Path:
    """Return RoboHive's folder. Raises `VRLError` when it is missing or of another release."""
    spec = importlib.util.find_spec("robohive")
    if spec is None or not spec.submodule_search_locations:
        raise VRLError(f"RoboHive is not installed. Install it beside the rest: {INSTALL}")
    try:
        found = version("robohive")
    except PackageNotFoundError:
        found = "(unknown)"
    if found != RELEASE:
        raise VRLError(
            f"RoboHive {RELEASE} runs here; {found} is installed. Install the former: {INSTALL}"
        )
    return Path(spec.submodule_search_locations[0]).absolute()


def find_models(assets: Path | None, package: Path) -> Path:
    """Return the folder of the models: the given, RoboHive's own, or `simhive` in `$VRL_HOME`.

    Raises `VRLError` that says what is wrong with each place and how to get the models.
    """
    places = [package / MODELS, home() / MODELS] if assets is None else [assets.expanduser()]
    faults = {place: fault_of(place) for place in places}
    for place, fault in faults.items():
        if not fault:
            return place.absolute()
    said = "; ".join(f"{place} {fault}" for place, fault in faults.items())
    raise VRLError(
        f"RoboHive's models ({MODELS}) are missing: {said}. Get them with `robohive_init`, which "
        f"clones them from GitHub into {package / MODELS} (it says 'Successfully Initialized' even "
        "when it got nothing: look into the folder). Or copy that folder from a machine that has "
        "it: name it with the setting assets (--environment.assets FOLDER, of `vrl data collect` "
        f"--assets FOLDER), or put it, or a link to it, at {home() / MODELS}."
    )


def fault_of(models: Path) -> str:
    """Say what keeps a folder from being RoboHive's models; nothing if nothing does."""
    if not models.is_dir():
        return "does not exist"
    if not any(models.glob("*/**/*.xml")):
        return "holds no models (an interrupted or failed download)"
    mark = models / RELEASE_FILE
    release = mark.read_text(encoding="utf-8") if mark.is_file() else RELEASE
    # RoboHive compares it to the letter, a line's end included.
    return "" if release == RELEASE else f"is of release {release!r}, not {RELEASE!r}"


def linked_package(package: Path, models: Path) -> Path:
    """Return a folder of links to RoboHive's files beside a link to the models, made once.

    Raises `VRLError` when it cannot be written.
    """
    name = hashlib.sha256(f"{package}\0{models.resolve()}\0{RELEASE}".encode()).hexdigest()[:16]
    target = home() / "robohive" / name
    if _is_whole(target):
        return target / "robohive"
    with explained(target, elsewhere=ANOTHER_HOME):
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=target.parent))
        ignored = shutil.ignore_patterns("__pycache__", MODELS)
        folder = staging / "robohive"
        shutil.copytree(package, folder, copy_function=os.symlink, ignore=ignored)
        (folder / MODELS).symlink_to(models.resolve(), target_is_directory=True)
        _put_in_place(staging, target)
    return target / "robohive"


def _is_whole(target: Path) -> bool:
    folder = target / "robohive"
    return (folder / "__init__.py").is_file() and (folder / MODELS).is_dir()


def _put_in_place(staging: Path, target: Path) -> None:
    """Rename a finished folder, unless another process was faster."""
    try:
        staging.rename(target)
    except OSError:
        if not _is_whole(target):  # its links lead nowhere any more
            shutil.rmtree(target)
            staging.rename(target)
        else:
            shutil.rmtree(staging)


def import_from(folder: Path) -> ModuleType:
    """Import RoboHive from a folder. Raises `VRLError` when a package that it needs is missing."""
    spec = importlib.util.spec_from_file_location(
        "robohive", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["robohive"] = importlib.util.module_from_spec(spec)
    options = np.get_printoptions()
    try:
        with silenced():
            spec.loader.exec_module(module)
        make_usable()
    except BaseException as error:
        for name in [each for each in sys.modules if each.partition(".")[0] == "robohive"]:
            del sys.modules[name]
        if isinstance(error, ModuleNotFoundError) and error.name:
            raise VRLError(f"RoboHive needs the package {error.name}. Run: {INSTALL}") from error
        raise
    finally:
        np.set_printoptions(**options)  # RoboHive shortens everybody's numbers
    return module


def make_usable() -> None:
    """Silence what RoboHive says while it runs, and let its kitchens' rewards run."""
    prompts = importlib.import_module("robohive.utils.prompt_utils")
    prompts.set_prompt_verbosity(prompts.Prompt.SILENT)
    if not hasattr(np, "product"):  # which NumPy 2 took away
        np.product = np.prod  # type: ignore[attr-defined]


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Keep RoboHive's prints out of what a command prints, and its warnings out of the terminal."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def require_model(task: str, model: Path) -> None:
    """Raise `VRLError` when files that a task's model includes are not there."""
    text = model.read_text(encoding="utf-8") if model.is_file() else ""
    files = _INCLUDE.findall(_COMMENT.sub("", text))
    included = [model.parent / name for name in files]
    missing = [Path(os.path.normpath(path)) for path in (model, *included) if not path.is_file()]
    if missing:
        raise VRLError(incomplete(task, f"{' and '.join(map(str, missing))} not there"))


def incomplete(task: str, fault: str) -> str:
    """Say that a task's model cannot be read, and what to do."""
    return (
        f"RoboHive's model of {task} is not whole: {fault}. `robohive_init` fetches all models "
        "(run it again: it says 'Successfully Initialized' even when downloads failed), or name "
        "a folder that has them with --environment.assets (of `vrl data collect`: --assets)."
    )
