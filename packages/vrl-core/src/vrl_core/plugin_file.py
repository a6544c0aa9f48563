"""Imports one Python file, so that research code is a plugin without packaging."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from vrl_core.plugin_check import PluginError


def import_file(path: Path) -> ModuleType:
    """Import a file as a top-level module named as the file.

    Its folder joins the end of `sys.path`: what the file imports beside it is found, and worker
    processes, which inherit the path, can unpickle its configurations. Raises `PluginError` when
    the file is missing, its name is taken by another module, or anything goes wrong in it.
    """
    if not path.is_file():
        raise PluginError("no such file")
    if path.suffix != ".py" or "." in path.stem:
        raise PluginError("a plugin file is called <name>.py, without further dots")
    known = sys.modules.get(path.stem)
    if known is not None and _is_file(known, path):
        return known
    _refuse_taken(path)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    return _execute(path)


def _is_file(module: ModuleType, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve() == path.resolve()


def _refuse_taken(path: Path) -> None:
    taken = path.stem in sys.modules or _found_elsewhere(path)
    if taken:
        raise PluginError(f"a module named {path.stem!r} exists already; rename the file")


def _found_elsewhere(path: Path) -> bool:
    try:
        spec = importlib.util.find_spec(path.stem)
    except (ImportError, ValueError):
        return False
    return spec is not None and (
        spec.origin is None or Path(spec.origin).resolve() != path.resolve()
    )


def _execute(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    # A file may do anything at import, sys.exit() included.
    except (Exception, SystemExit) as error:
        del sys.modules[path.stem]
        raise PluginError(f"import failed: {type(error).__name__}: {error}") from error
    return module
