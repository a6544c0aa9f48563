"""`vrl data download v-d4rl/...`: from the Hugging Face hub to a store.

The files come into the cache, `$VRL_HOME/downloads/v-d4rl/`, are verified, read into a store, and
removed unless they are to be kept. Every step goes on where an interruption left it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from vrl_core.errors import VRLError, unknown_name
from vrl_core.ingest import write_store
from vrl_core.ingest_progress import shown_progress
from vrl_core.preparation import home
from vrl_core.store import Store
from vrl_core.store_writer import refuse_existing
from vrl_core.writing import ANOTHER_HOME, explained
from vrl_envs.readers.download_progress import shown_bytes
from vrl_envs.readers.vd4rl_config import VD4RL
from vrl_envs.readers.vd4rl_files import SUFFIXES
from vrl_envs.readers.vd4rl_hub import (
    DEFAULT_ENDPOINT,
    NETWORK_ERRORS,
    REPOSITORY,
    Hub,
    RemoteFile,
)
from vrl_envs.readers.vd4rl_names import Published, parse_identifier

ROOT = "vd4rl"
"""Folder of the repository that holds the published tree."""
KEPT = "What came is kept; the same command goes on from there."
TRANSFERS = 4
"""Files that come at once; many are small, and each costs a round trip."""


def download(
    identifier: str,
    *,
    output: str | Path | None = None,
    keep: bool = False,
    proprioception: bool = False,
    workers: int | None = None,
) -> Store:
    """Fetch one dataset and write it as a store; see `VD4RL.download`."""
    published = parse_identifier(identifier)
    folder = Path(output) if output is not None else Path(published.default_store)
    with explained(folder):
        refuse_existing(folder)
    raw = home() / "downloads" / "v-d4rl" / published.folder
    config = VD4RL(
        path=str(raw),
        task=published.task,
        quality=published.quality,
        proprioception=proprioception,
    )
    with explained(raw, elsewhere=ANOTHER_HOME):
        raw.mkdir(parents=True, exist_ok=True)
    with _locked(raw):
        with shown_bytes(identifier) as on_bytes:
            fetch(published, raw, on_bytes=on_bytes)
        with shown_progress(str(folder)) as on_progress:
            store = write_store(config, folder, workers=workers, on_progress=on_progress)
        if not keep:
            shutil.rmtree(raw)
    return store


def fetch(published: Published, folder: Path, *, on_bytes: Callable[[int, int], None]) -> None:
    """Bring all files of a dataset into `folder`, each verified.

    `on_bytes` is told bytes present and bytes in all. Files that are there are not fetched again.
    Raises `VRLError` when the hub cannot be reached, does not have the dataset, a checksum stays
    wrong, or the disk has no room.
    """
    with _reached(published, folder):
        hub = Hub()
        files = [
            file
            for file in hub.files(f"{ROOT}/{published.folder}")
            if Path(file.name).suffix in SUFFIXES
        ]
        if not files:
            raise _not_there(hub, published)
        _require_room(files, folder)
        _transfer_all(hub, files, folder, on_bytes)


def _transfer_all(
    hub: Hub, files: Sequence[RemoteFile], folder: Path, on_bytes: Callable[[int, int], None]
) -> None:
    total, present = sum(file.size for file in files), 0
    stop, lock = threading.Event(), threading.Lock()

    def count(change: int) -> None:
        nonlocal present
        with lock:
            present += change
            on_bytes(present, total)

    with ThreadPoolExecutor(TRANSFERS) as pool:
        transfers = [
            pool.submit(hub.fetch, file, folder / file.name, on_bytes=count, stop=stop)
            for file in files
        ]
        try:
            for transfer in as_completed(transfers):
                transfer.result()
        finally:  # the first failure, or Ctrl-C, ends the others; what came is kept
            stop.set()
            pool.shutdown(cancel_futures=True)


@contextmanager
def _reached(published: Published, folder: Path) -> Iterator[None]:
    """Turn the errors of the connection, and of the disk, into `VRLError`s."""
    try:
        yield
    except NETWORK_ERRORS as error:
        # The operating system numbers the errors of the disk; the hub's client wraps the others.
        if isinstance(error, OSError) and error.errno is not None:
            with explained(folder, kept=KEPT, elsewhere=ANOTHER_HOME):
                raise
        raise _unreachable(published, error) from error


def _unreachable(published: Published, error: Exception) -> VRLError:
    endpoint = os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return VRLError(
        f"The transfer from the Hugging Face hub at {endpoint} failed: {reason}. What came is "
        "kept; the same command goes on from there. HF_ENDPOINT chooses another endpoint. "
        f"Without a connection, bring the folder {ROOT}/{published.folder} of "
        f"{DEFAULT_ENDPOINT}/datasets/{REPOSITORY} here by other means and run: "
        f"vrl data convert {published.folder} {published.default_store}"
    )


def _not_there(hub: Hub, published: Published) -> VRLError:
    """Name what the hub has instead, from the nearest folder that exists."""
    parent = published.folder
    names: list[str] = []
    while "/" in parent and not names:
        parent = parent.rsplit("/", 1)[0]
        names = [f"{parent}/{child}" for child in hub.children(f"{ROOT}/{parent}")]
    return unknown_name(
        "folder of V-D4RL on the hub",
        published.folder,
        names,
        f"Looked at {hub.endpoint}/datasets/{REPOSITORY}, commit {hub.commit[:12]}.",
    )


def _require_room(files: Sequence[RemoteFile], folder: Path) -> None:
    present = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    needed = sum(file.size for file in files) - present
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise VRLError(
            f"The download needs {needed / 1e9:.1f} GB more; the disk of {folder} has "
            f"{free / 1e9:.1f} GB free. Free some space, or set VRL_HOME to a folder elsewhere."
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other downloads of the same dataset out while this one writes its files."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise VRLError(
            f"Another run is downloading into {folder}. Wait for it; the files are then used by "
            "both."
        ) from None
    finally:
        os.close(handle)
