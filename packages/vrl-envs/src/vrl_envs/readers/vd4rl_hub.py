"""The Hugging Face hub's dataset repository of V-D4RL: what is in it, and files that resume.

The hub's own client asks the questions and sends the requests. Its download function starts a
file from the beginning after an interruption and does not compare checksums; for shards of
gigabytes both matter, so `fetch` appends to a partial file and verifies the whole.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.file_download import http_get
from huggingface_hub.hf_api import RepoFile, RepoFolder
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    build_hf_headers,
    disable_progress_bars,
)

from vrl_core.errors import VRLError

REPOSITORY = "conglu/vd4rl"
DEFAULT_ENDPOINT = "https://huggingface.co"
TIMEOUT_SECONDS = 30.0
_READ_BYTES = 2**20
NETWORK_ERRORS: tuple[type[Exception], ...] = (OSError, *HfHubHTTPError.__bases__)
"""What a failing connection raises: `OSError`, or the base of the HTTP client's errors.

The hub's client has changed its HTTP library before; its own error derives from that library's.
"""


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """One file of the repository."""

    path: str
    size: int
    """Bytes."""
    digest: str
    """SHA-256 of the content, or for small files git's SHA-1 of it."""

    @property
    def name(self) -> str:
        """The path's last part."""
        return self.path.rsplit("/", 1)[-1]


class StoppedError(Exception):
    """The transfer was told to stop."""


class Hub:
    """V-D4RL's repository at one commit. Sends no credentials: the data is public.

    The endpoint is `$HF_ENDPOINT`, as for the hub's own client.
    """

    def __init__(self) -> None:
        self.endpoint = (os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")
        self._api = HfApi(endpoint=self.endpoint, token=False)
        info = self._api.dataset_info(REPOSITORY, timeout=TIMEOUT_SECONDS)
        self.commit = str(info.sha)

    def files(self, folder: str) -> list[RemoteFile]:
        """Return the files in a folder; none when there is no such folder."""
        return [_described(entry) for entry in self._entries(folder) if isinstance(entry, RepoFile)]

    def children(self, folder: str) -> list[str]:
        """Return the names in a folder; none when there is no such folder."""
        return [entry.path.rsplit("/", 1)[-1] for entry in self._entries(folder)]

    def _entries(self, folder: str) -> list[RepoFile | RepoFolder]:
        try:
            return list(
                self._api.list_repo_tree(
                    REPOSITORY, folder, revision=self.commit, repo_type="dataset"
                )
            )
        except HfHubHTTPError as error:
            if error.response is not None and error.response.status_code == 404:
                return []
            raise

    def fetch(
        self,
        file: RemoteFile,
        target: Path,
        *,
        on_bytes: Callable[[int], None],
        stop: threading.Event,
    ) -> None:
        """Put a file at `target`, going on with what an earlier attempt left; verify it whole.

        `on_bytes` is told bytes as they come, negative ones when some are thrown away. Raises
        `VRLError` when the content's checksum is wrong twice, and `StoppedError` soon after
        `stop` is set.
        """
        if target.is_file() and is_intact(target, file):
            on_bytes(file.size)
            return
        partial = target.with_name(f"{target.name}.{file.digest[:8]}.partial")
        for _ in range(2):
            self._transfer_all_of(file, partial, on_bytes, stop)
            if is_intact(partial, file):
                partial.replace(target)
                return
            on_bytes(-partial.stat().st_size)
            partial.unlink()
        raise VRLError(
            f"The checksum of {file.path} is wrong after two transfers from {self.endpoint}: the "
            "content was changed on its way, or is damaged there. Nothing of it was kept. Try "
            "again later, or from another endpoint (HF_ENDPOINT)."
        )

    def _transfer_all_of(
        self,
        file: RemoteFile,
        partial: Path,
        on_bytes: Callable[[int], None],
        stop: threading.Event,
    ) -> None:
        """Transfer until the file is whole; a connection that breaks is resumed while bytes come.

        The hub's client does so too, but not in all its versions.
        """
        while True:
            before = partial.stat().st_size if partial.exists() else 0
            try:
                self._transfer(file, partial, on_bytes, stop)
            except NETWORK_ERRORS:
                after = partial.stat().st_size if partial.exists() else 0
                on_bytes(-after)  # the next attempt counts what is there
                if after <= before:
                    raise
            else:
                return

    def _transfer(
        self,
        file: RemoteFile,
        partial: Path,
        on_bytes: Callable[[int], None],
        stop: threading.Event,
    ) -> None:
        disable_progress_bars("huggingface_hub.http_get")
        url = hf_hub_url(
            REPOSITORY,
            file.path,
            repo_type="dataset",
            revision=self.commit,
            endpoint=self.endpoint,
        )
        with partial.open("ab") as opened:
            present = opened.tell()
            if present > file.size:
                opened.truncate(0)
                present = 0
            on_bytes(present)
            http_get(
                url,
                _Counted(opened, on_bytes, stop),  # type: ignore[arg-type]
                resume_size=present,
                headers=build_hf_headers(token=False),
                expected_size=file.size,
            )
            opened.flush()
            os.fsync(opened.fileno())


class _Counted:
    """The part of a binary file that a transfer uses; tells of every change of its size."""

    def __init__(
        self, file: BinaryIO, on_bytes: Callable[[int], None], stop: threading.Event
    ) -> None:
        self._file, self._on_bytes, self._stop = file, on_bytes, stop
        self.tell, self.seek = file.tell, file.seek

    def write(self, content: bytes) -> int:
        if self._stop.is_set():
            raise StoppedError
        written = self._file.write(content)
        self._on_bytes(written)
        return written

    def truncate(self, size: int | None = None) -> int:
        end = self._file.seek(0, os.SEEK_CUR) if size is None else size
        before = self._file.seek(0, os.SEEK_END)
        self._on_bytes(end - before)
        self._file.seek(end)
        return self._file.truncate(end)


def is_intact(path: Path, file: RemoteFile) -> bool:
    """Return whether a local file has the remote one's size and checksum."""
    size = path.stat().st_size
    if size != file.size:
        return False
    # Git's name of a content is the SHA-1 of it behind a header; large files have their SHA-256.
    digest = hashlib.sha256() if len(file.digest) == 64 else hashlib.sha1(b"blob %d\0" % size)
    with path.open("rb") as stream:
        while chunk := stream.read(_READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest() == file.digest


def _described(entry: RepoFile) -> RemoteFile:
    digest = entry.lfs.sha256 if entry.lfs else entry.blob_id
    return RemoteFile(path=entry.path, size=entry.size, digest=digest)
