"""A file of JSON objects, one a line, that survives kills and full disks."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vrl_core.atomic import write_text


class JsonLines:
    """Appends objects; what a full disk refuses is kept and written with the next ones."""

    def __init__(self, path: Path):
        self.path = path
        self._waiting = b""

    def append(self, line: Mapping[str, Any]) -> None:
        """Write one line, or warn and keep it for later."""
        text = json.dumps(line) + "\n"
        self._waiting += text.encode()
        try:
            self._write(self._waiting)
            self._waiting = b""
        except OSError as error:
            warnings.warn(f"{self.path} cannot be written ({error.strerror}); trying again later.")

    def _write(self, content: bytes) -> None:
        """Append everything or nothing."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            size = os.fstat(descriptor).st_size
            try:
                if os.write(descriptor, content) != len(content):
                    raise OSError(28, "No space left on device")
            except OSError:
                os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)

    def read(self) -> list[dict[str, Any]]:
        """Return the lines; one that a kill cut off is left out."""
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        return [line for line in map(_parse, lines) if line is not None]

    def truncate(self, step: int) -> None:
        """Keep the lines up to and with this step; a kill meanwhile loses none of them."""
        kept = [line for line in self.read() if line.get("step", 0) <= step]
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))


def _parse(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
