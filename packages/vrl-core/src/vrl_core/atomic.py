"""Files that appear whole or not at all. Imports nothing heavy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a file to write beside `path`; when the block ends well it is synced and renamed to it.

    After a failure `path` is as it was and nothing is left beside it. The name keeps the suffix,
    by which encoders choose a format. Raises `OSError` as writing and renaming do.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Replace a file's text in one step. Raises `OSError` when that fails."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
