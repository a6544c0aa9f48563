"""What VRL expects of a plugin as a whole."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from vrl_core.command_flags import parse_command
from vrl_core.config import from_data, to_data
from vrl_core.errors import VRLError
from vrl_core.hooks import AlgorithmConfig, CommandConfig
from vrl_core.registry import KINDS, Registry
from vrl_core.testing.expectations import ConformanceError, expect, expect_pickles

HEAVY = ("torch", "numpy", "gymnasium", "mujoco", "dm_control", "jax", "tensorflow")
"""Modules that a plugin may import only in `build`: every `vrl` command imports every plugin."""


def check_plugin(plugin: ModuleType | Path | str) -> Registry:
    """Check a plugin: a module, or a Python file.

    Expects that it loads, that importing it loads nothing heavy, and of each configuration: a
    docstring, presets that exist, and that it survives pickling and a YAML file unchanged; of each
    command besides that it defines `run` and that its flags make a command line.
    Returns a registry that holds this plugin alone. Raises `ConformanceError`.
    """
    if isinstance(plugin, ModuleType):
        registry = Registry(installed=False, modules=(plugin,))
        file = getattr(plugin, "__file__", None)
        name = plugin.__name__
    else:
        registry = Registry(installed=False, files=(plugin,))
        file, name = str(Path(plugin).absolute()), None
    for problem in registry.problems:
        raise ConformanceError(f"the plugin is set aside: {problem.reason}")
    if file is not None:
        _check_light(name, Path(file))
    for kind in KINDS:
        for option, cls in registry.options(kind).items():
            _check_config(cls, f"{kind} {option}", registry)
    for option, cls in registry.options("commands").items():
        _check_command(cls, option, registry)
    return registry


def _check_light(name: str | None, file: Path) -> None:
    """Import the plugin in a process of its own and see what came with it."""
    target = f"importlib.import_module({name!r})"
    if name is None or importlib.util.find_spec(name) is None:
        target = f"import_file(Path({str(file)!r}))"
    script = (
        "import importlib, sys\nfrom pathlib import Path\n"
        "from vrl_core.plugin_file import import_file\n"
        f"sys.path[:] = {sys.path!r}\n{target}\n"
        f"print(*(m for m in {HEAVY!r} if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    expect(done.returncode == 0, f"the plugin does not import alone: {done.stderr}")
    heavy = done.stdout.split()
    expect(not heavy, f"importing the plugin loads {', '.join(heavy)}; import them in build()")


def _check_config(cls: type[Any], what: str, registry: Registry) -> None:
    documented = cls.__doc__ and not cls.__doc__.startswith(f"{cls.__name__}(")
    expect(documented, f"{what}: {cls.__name__} needs a docstring; it is the help")
    for config in _instances(cls, what):
        expect_pickles(config)
        try:
            again = from_data(cls, to_data(config, registry), registry)
        except VRLError as error:
            raise ConformanceError(
                f"{what}: {config!r} cannot be saved and read: {error}"
            ) from error
        expect(again == config, f"{what}: saved and read, {config!r} becomes {again!r}")


def _check_command(cls: type[CommandConfig], name: str, registry: Registry) -> None:
    expect(cls.run is not CommandConfig.run, f"command {name}: {cls.__name__} must define run()")
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            parse_command(cls, name, ["--help"], registry)
    except SystemExit as stop:
        printed = said.getvalue()
        expect(stop.code in (0, None), f"command {name}: its flags cannot be parsed: {printed}")
    except Exception as error:
        raise ConformanceError(f"command {name}: its flags cannot be parsed: {error}") from error
    expect(f"vrl {name}" in said.getvalue(), f"command {name}: --help prints nothing")


def _instances(cls: type[Any], what: str) -> list[Any]:
    """Return the presets of an algorithm, else the defaults if every field has one."""
    if issubclass(cls, AlgorithmConfig):
        presets = cls.presets()
        expect(
            cls.default_preset in presets,
            f"{what}: there is no preset {cls.default_preset!r}, the default; have {list(presets)}",
        )
        for name, config in presets.items():
            expect(type(config) is cls, f"{what}: preset {name} is a {type(config).__name__}")
        return list(presets.values())
    try:
        return [cls()]
    except TypeError:
        # A required field, such as a path, has no default to try.
        return []
