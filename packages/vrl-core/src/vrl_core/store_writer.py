"""Writes a store so that a half-written one is never taken for a whole one, and none is lost.

Episodes are appended to the field files in a staging folder, `<store>.partial`. Every few seconds
the files are flushed to the disk, and only then a line for each episode is flushed to the journal:
what the journal lists is there, whatever happens next. A later writer cuts the files back to what
the journal lists and goes on, so an interrupted store ends with the same bytes as an
uninterrupted one. At the end the headers get the true number of rows, the manifest is written, and
the folder is renamed.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from vrl_core.episode_records import EpisodeRecord, EpisodeRecords
from vrl_core.episode_rows import episode_rows
from vrl_core.episodes import DataSpec, Episode
from vrl_core.errors import VRLError
from vrl_core.plain_json import dumps
from vrl_core.store import (
    HEADER_SIZE,
    Store,
    field_header,
    field_path,
    row_size,
    staging_folder,
)
from vrl_core.store_manifest import (
    JOURNAL,
    MANIFEST,
    SKIPPED,
    STAGING_SUFFIX,
    Journal,
    Manifest,
    field_layout,
    journal_opening,
    manifest_text,
    read_journal,
    spec_to_data,
)
from vrl_core.writing import explained

FLUSH_BYTES = 64 * 2**20
FLUSH_SECONDS = 2.0
KEPT = "What was written is kept; the same command continues where it stopped."


class StoreWriter:
    """Appends episodes to a store that does not exist yet; a context manager.

    `origin` is JSON data that says what makes the episodes; a staging folder of another origin or
    spec is refused. `resume=False` refuses any staging folder. Raises `VRLError` when the store
    exists, another process is writing it, or the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        spec: DataSpec,
        *,
        episodes: int,
        origin: Mapping[str, Any],
        resume: bool = True,
    ) -> None:
        refuse_existing(folder)
        self.folder = folder
        self.spec = spec
        self.total = episodes
        self.staging = staging_folder(folder)
        self._layout = field_layout(spec)
        self._records = EpisodeRecords()
        self.skipped: list[str] = []
        """Why episodes were left out, earlier runs' included."""
        self._pending: list[str] = []
        self._pending_bytes = 0
        self._flushed_at = time.monotonic()
        self._files: dict[str, BinaryIO] = {}
        with explained(self.staging, kept=KEPT):
            self._lock = _locked_folder(self.staging)
            try:
                refuse_existing(folder)
                self._open_files(origin, resume)
            except BaseException:
                self._close_files()
                raise

    @property
    def written(self) -> int:
        """Episodes appended so far, earlier runs' included."""
        return len(self._records)

    @property
    def taken(self) -> int:
        """Episodes of the dataset that were appended or skipped so far."""
        return len(self._records) + len(self.skipped)

    @property
    def frames(self) -> int:
        """Rows appended so far, earlier runs' included."""
        return self._records.rows

    def append(self, episode: Episode) -> None:
        """Write the next episode; raises `VRLError` for one a store must not hold."""
        self.append_pieces((episode,))

    def append_pieces(self, pieces: Iterable[Episode]) -> None:
        """Write the next episode from its pieces; see `vrl_core.episodes.PieceDataset`.

        Raises `VRLError` for one a store must not hold, and what reading it raises; nothing of the
        episode stays then.
        """
        places = {name: file.tell() for name, file in self._files.items()}
        try:
            record = self._write(pieces)
        except BaseException:
            with explained(self.staging, kept=KEPT):
                for name, place in places.items():
                    self._files[name].seek(place)
                    self._files[name].truncate()
            raise
        self._pending.append(self._records.append(record))
        if self._is_due():
            with explained(self.staging, kept=KEPT):
                self.flush()

    def _write(self, pieces: Iterable[Episode]) -> EpisodeRecord:
        """Write the pieces of one episode and return what is known of it."""
        checksums = dict.fromkeys(self._layout, 0)
        rewards: list[np.ndarray] = []
        piece: Episode | None = None
        last: Mapping[str, np.ndarray] = {}
        for piece in pieces:
            first_step = sum(map(len, rewards))
            rows, last = episode_rows(piece, self.spec, self.written, first_step)
            rewards.append(rows["reward"])
            self._write_rows(rows, checksums)
        if piece is None:
            raise VRLError(f"Episode {self.written} has no steps. Leave it out of the dataset.")
        self._write_rows(last, checksums)
        of_all = np.concatenate(rewards)
        return EpisodeRecord(
            length=len(of_all),
            undiscounted_return=float(of_all.sum(dtype="float64")),
            info=_plain_info(piece, self.written),
            checksums=checksums,
        )

    def _write_rows(self, rows: Mapping[str, np.ndarray], checksums: dict[str, int]) -> None:
        """Write rows behind those of each field, and take them into the checksums."""
        with explained(self.staging, kept=KEPT):
            for name, values in rows.items():
                content = values.reshape(-1).view(np.uint8).data
                checksums[name] = zlib.crc32(content, checksums[name])
                self._files[name].write(content)
                self._pending_bytes += values.nbytes

    def skip(self, reason: str) -> None:
        """Leave the next episode out."""
        self.skipped.append(reason)
        self._pending.append(dumps({SKIPPED: reason}))

    def flush(self) -> None:
        """Make all appended episodes survive whatever comes: data first, then the journal."""
        if not self._pending:
            return
        for file in self._files.values():
            _sync(file)
        self._journal.write("".join(line + "\n" for line in self._pending).encode())
        _sync(self._journal)
        self._pending, self._pending_bytes = [], 0
        self._flushed_at = time.monotonic()

    def finish(self) -> Store:
        """Complete the store under its own name and open it."""
        if self.taken != self.total:
            raise VRLError(f"The store has {self.taken} of {self.total} episodes.")
        if not self.written:
            raise VRLError(
                f"All {self.total} episodes are damaged, so there is nothing to write. The first: "
                f"{self.skipped[0]}"
            )
        rows = self.frames
        with explained(self.staging, kept=KEPT):
            self.flush()
            for name, file in self._files.items():
                file.seek(0)
                file.write(field_header(self._layout[name], rows))
                _sync(file)
            with (self.staging / MANIFEST).open("wb") as file:
                manifest = Manifest(spec=self.spec, episodes=self._records)
                file.writelines(text.encode() for text in manifest_text(manifest))
                del manifest
                _sync(file)
            _sync_folder(self.staging)
            refuse_existing(self.folder)
            self.staging.rename(self.folder)
            _sync_folder(self.folder.parent)
            # A kill before this line leaves a whole store with a journal, which readers ignore.
            (self.folder / JOURNAL).unlink()
        self._close_files()
        self._records = EpisodeRecords()  # which of a million episodes are not held twice
        return Store.open(self.folder)

    def close(self) -> None:
        """Keep what was appended for a later run and let go of the folder."""
        try:
            with explained(self.staging, kept=KEPT):
                if self._files:
                    self.flush()
        finally:
            self._close_files()

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
            return
        try:
            self.close()
        except VRLError:
            return  # the error that is under way says more

    def _is_due(self) -> bool:
        waited = time.monotonic() - self._flushed_at
        return self._pending_bytes >= FLUSH_BYTES or waited >= FLUSH_SECONDS

    def _open_files(self, origin: Mapping[str, Any], resume: bool) -> None:
        journal = read_journal(self.staging)
        if journal is None:
            self._start(origin)
        elif not resume:
            raise VRLError(
                f"{self.staging} holds {len(journal.episodes)} of {journal.total} episodes of an "
                "unfinished store. Resume it, or delete that folder."
            )
        else:
            _require_same(self.staging, journal, origin, self.spec, self.total)
            self._records, self.skipped = journal.episodes, list(journal.skipped)
        self._journal = (self.staging / JOURNAL).open("r+b")
        self._journal.truncate(_whole_lines(self._journal))
        self._journal.seek(0, os.SEEK_END)
        rows = self.frames
        for name, row in self._layout.items():
            self._files[name] = _open_field(
                field_path(self.staging, name), HEADER_SIZE + rows * row_size(row)
            )

    def _start(self, origin: Mapping[str, Any]) -> None:
        """Begin with empty field files, and then a journal that says so."""
        for name, row in self._layout.items():
            with field_path(self.staging, name).open("wb") as file:
                file.write(field_header(row, 0))
        with (self.staging / JOURNAL).open("wb") as file:
            file.write(journal_opening(origin, self.spec, self.total).encode())
            _sync(file)
        _sync_folder(self.staging)

    def _close_files(self) -> None:
        files: list[BinaryIO] = list(self._files.values())
        if hasattr(self, "_journal"):
            files.append(self._journal)
        for file in files:
            try:
                file.close()
            except OSError:
                continue  # a full disk: the bytes lost are not in the journal
        self._files = {}
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def refuse_existing(folder: Path) -> None:
    """Raise `VRLError` when there is something at a place where a store is to be written."""
    if folder.suffix == STAGING_SUFFIX:
        raise VRLError(
            f"{folder} is the name of an unfinished store. Name the store itself: "
            f"{folder.with_suffix('')}."
        )
    if (folder / MANIFEST).exists():
        raise VRLError(
            f"There is a store at {folder} already, and it is not overwritten. Use it, delete it, "
            "or choose another folder with --output."
        )
    if folder.exists() or folder.is_symlink():
        raise VRLError(f"{folder} exists and is not a store. Choose another folder with --output.")


def _locked_folder(folder: Path) -> int | None:
    """Create a folder and lock it against other writers; None where locks are not supported."""
    for _ in range(10):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise VRLError(
                f"{folder} is in use by another run, which is writing this store. Wait for it, or "
                "choose another folder with --output."
            ) from None
        except OSError:  # some network file systems have no locks
            os.close(handle)
            return None
        if _is_at(handle, folder):
            return handle
        os.close(handle)  # renamed by a writer that finished just now
    raise VRLError(f"{folder} keeps changing under this run; another one is writing it.")


def _is_at(handle: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), folder.stat())
    except FileNotFoundError:
        return False


def _open_field(path: Path, size: int) -> BinaryIO:
    """Open a field for appending after its first `size` bytes, which must be there."""
    file = path.open("r+b")
    if path.stat().st_size < size:
        file.close()
        raise VRLError(
            f"{path} is shorter than the journal says: the unfinished store is damaged. Delete "
            f"{path.parent} and start again."
        )
    file.truncate(size)
    file.seek(0, os.SEEK_END)
    return file


def _whole_lines(journal: BinaryIO) -> int:
    return sum(len(line) for line in journal if line.endswith(b"\n"))


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _plain_info(episode: Episode, index: int) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = json.loads(dumps(dict(episode.info)))
    except (TypeError, ValueError) as error:
        raise VRLError(
            f"The info of episode {index} cannot be written as JSON: {error}."
        ) from error
    return plain


def _require_same(
    staging: Path, journal: Journal, origin: Mapping[str, Any], spec: DataSpec, total: int
) -> None:
    was = {**journal.origin, "spec": journal.spec, "number of episodes": journal.total}
    asked = {**origin, "spec": spec_to_data(spec), "number of episodes": total}
    differences = list(_differences(was, json.loads(dumps(asked))))
    if differences:
        raise VRLError(
            f"{staging} holds an unfinished store of another configuration: "
            f"{'; '.join(differences)}. Repeat the old command to finish it, choose another "
            "--output, or delete that folder."
        )


def _differences(was: Any, asked: Any, name: str = "") -> Iterator[str]:
    if isinstance(was, dict) and isinstance(asked, dict):
        for key in sorted(was.keys() | asked.keys()):
            inner = f"{name}.{key}" if name else key
            yield from _differences(was.get(key), asked.get(key), inner)
    elif was != asked:
        yield f"{name} was {was!r}, now {asked!r}"
