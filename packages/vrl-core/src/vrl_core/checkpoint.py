"""Checkpoints: a nested state as one folder of a safetensors file and a JSON file.

    step_00001000/tensors.safetensors     the tensors, named by number
    step_00001000/state.json              everything else, and the SHA-256 of both

Nothing is ever unpickled. A checkpoint is written under another name, forced to the disk and then
renamed, so whatever stands under its own name is whole; its checksums tell of later damage.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from vrl_core.errors import VRLError

FORMAT = 1
TENSORS = "tensors.safetensors"
STATE = "state.json"
_NAME = re.compile(r"step_(\d{8,})")


class DamagedCheckpointError(VRLError):
    """A checkpoint's files are missing or altered."""


def save_checkpoint(folder: Path, step: int, state: Any, *, keep: int = 2) -> Path:
    """Write `folder/step_XXXXXXXX` and delete all but the newest `keep` checkpoints.

    `state` is nested dicts (keys: strings or integers), lists and tuples of tensors, numbers,
    strings, booleans and None. Raises `VRLError` for anything else and for NaN in a tensor, and
    `OSError` when the disk is full; the checkpoints before are untouched then.
    """
    tensors: dict[str, Tensor] = {}
    structure = json.dumps(_pack(state, tensors, "state"))
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"step_{step:08d}"
    staging = folder / f".{final.name}.partial"
    for unfinished in folder.glob(".step_*.partial"):  # of a process that was killed
        shutil.rmtree(unfinished, ignore_errors=True)
    try:
        staging.mkdir()
        content = save(tensors)
        _write(staging / TENSORS, content)
        _write(staging / STATE, _document(step, structure, content).encode())
        _flush_folder(staging)
        if final.exists():
            shutil.rmtree(final)
        staging.replace(final)
        _flush_folder(folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    _prune(folder, step, keep)
    return final


def _document(step: int, structure: str, tensors: bytes) -> str:
    """Lay out `state.json`; the structure is a string, so that its checksum is of its bytes."""
    document = {
        "format": FORMAT,
        "step": step,
        "sha256": {TENSORS: _digest(tensors), "structure": _digest(f"{step}{structure}".encode())},
        "structure": structure,
    }
    return json.dumps(document, indent=1)


def load_checkpoint(path: Path) -> tuple[int, Any]:
    """Return the step and the state (on the CPU) after checking every byte.

    Raises `DamagedCheckpointError` when the files are not what was written, and `VRLError` when
    they may be, but are of another format or cannot be read here.
    """
    try:
        document = json.loads((path / STATE).read_bytes())
        if isinstance(version := document["format"], int) and version != FORMAT:
            raise VRLError(
                f"The checkpoint {path} has format {version}; this version of VRL reads format "
                f"{FORMAT}. Use the version that wrote it."
            )
        content = (path / TENSORS).read_bytes()
        step, structure, expected = document["step"], document["structure"], document["sha256"]
        found = {TENSORS: _digest(content), "structure": _digest(f"{step}{structure}".encode())}
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        raise DamagedCheckpointError(f"The checkpoint {path} is damaged: {error}.") from error
    except OSError as error:
        raise VRLError(
            f"The checkpoint {path} cannot be read: {error.strerror}. It may be whole and is left "
            "as it is; mend the disk or its permissions and run the command again."
        ) from error
    if found != expected:
        name = next((name for name in found if found[name] != expected.get(name)), STATE)
        raise DamagedCheckpointError(
            f"The checkpoint {path} is damaged: the checksum of {name} is wrong."
        )
    return int(step), _unpack(json.loads(structure), load(content))


def checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """List the checkpoints of a folder as (step, path), oldest first."""
    if not folder.is_dir():
        return []
    found = ((_NAME.fullmatch(path.name), path) for path in folder.iterdir() if path.is_dir())
    return sorted((int(match[1]), path) for match, path in found if match)


def _prune(folder: Path, step: int, keep: int) -> None:
    """Delete old checkpoints; damaged ones that lie ahead of `step` do not count as newer ones."""
    past = [path for number, path in checkpoints(folder) if number <= step]
    for path in past[: -max(keep, 1)]:
        shutil.rmtree(path, ignore_errors=True)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Force a folder's entries to the disk, without which a rename may be lost with the power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _pack(value: Any, tensors: dict[str, Tensor], place: str) -> Any:
    """Describe a value in JSON; containers, tensors and odd floats become one-entry objects."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, Tensor):
        return {"tensor": _pack_tensor(value, tensors, place)}
    if isinstance(value, list | tuple):
        items = [_pack(item, tensors, f"{place}[{index}]") for index, item in enumerate(value)]
        return {"tuple" if isinstance(value, tuple) else "list": items}
    if isinstance(value, dict) and all(type(key) in (str, int) for key in value):
        pairs = [[key, _pack(item, tensors, f"{place}[{key!r}]")] for key, item in value.items()]
        return {"dict": pairs}
    kind = type(value).__name__
    raise VRLError(
        f"A checkpoint cannot hold {place}, a {kind}; it holds tensors, numbers, strings, "
        "booleans, None, and lists, tuples and dicts of them (keys: strings or integers)."
    )


def _pack_tensor(value: Tensor, tensors: dict[str, Tensor], place: str) -> str:
    if value.is_floating_point() and bool(torch.isnan(value).any()):
        raise VRLError(
            f"{place} holds NaN, so no checkpoint was written and the last good one is kept. "
            "Lower the learning rate or look at the data (`vrl data check`)."
        )
    name = str(len(tensors))
    # A copy: what is saved shares no memory with another tensor, which safetensors refuses.
    tensors[name] = value.detach().to("cpu", copy=True).contiguous()
    return name


def _unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "float":
        return float(content)
    if kind == "dict":
        return {key: _unpack(item, tensors) for key, item in content}
    items = [_unpack(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items
