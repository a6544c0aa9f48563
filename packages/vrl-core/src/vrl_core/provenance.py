"""What a run records about where it came from: versions, code, machine, command, data."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import torch

from vrl_core.data_statistics import store_success
from vrl_core.registry import Registry
from vrl_core.store import Store
from vrl_core.store_manifest import spec_to_data

PACKAGES = ("vrl-core", "torch", "numpy", "gymnasium", "mujoco", "dm-control")
"""Distributions whose versions every run records, where they are installed."""


def circumstances(registry: Registry, device: torch.device) -> dict[str, Any]:
    """Return what is true of this process, as JSON data."""
    providers = [plugin.provider for plugin in registry.plugins]
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "versions": {"python": platform.python_version(), **_versions(*PACKAGES)},
        "plugins": {provider.distribution: provider.version for provider in providers},
        "git": git_state(Path.cwd()),
        "source": source_state("vrl-core"),
        "hardware": _hardware(device),
    }


def describe_data(store: Store) -> dict[str, Any]:
    """Return the identity of a store, its returns and its `DataSpec`, as JSON data.

    `success` is the share of successful episodes, None where they tell nothing of it.
    """
    return {
        **store.provenance,
        "path": str(store.path.absolute()),
        "returns": [float(value) for value in store.returns],
        "success": store_success(store),
        "spec": spec_to_data(store.spec),
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return commit and whether files differ from it; None outside a repository."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain", "-uno"))}


def source_state(name: str) -> dict[str, Any] | None:
    """Return the git state of the tree that a distribution runs from; None for a built copy."""
    try:
        found = distribution(name)
        origin = json.loads(found.read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return None
    if not origin.get("dir_info", {}).get("editable"):
        return None
    return git_state(Path(url2pathname(urlsplit(origin["url"]).path)))


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _versions(*names: str) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _hardware(device: torch.device) -> dict[str, Any]:
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "device": str(device),
        "gpu": gpu,
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gigabytes": _memory_gigabytes(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _memory_gigabytes() -> float | None:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None
    return round(total / 1e9, 1)
