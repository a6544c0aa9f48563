"""A small Hugging Face hub on this machine: the routes that a dataset's download uses.

`GET /api/datasets/<repo>` tells the commit, `.../tree/<commit>/<folder>` lists a folder, and
`/datasets/<repo>/resolve/<commit>/<path>` serves a file's bytes, all of them or a range.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "c" * 40


class FakeHub:
    """Content of the hub and what was asked of it."""

    def __init__(self, files: dict[str, bytes]):
        self.files = files
        self.large = {path for path in files if path.endswith((".npz", ".hdf5"))}
        """Files in large-file storage, listed with their SHA-256; others have git's SHA-1."""
        self.served: dict[str, bytes] = {}
        """Content that is sent instead of a file's true content."""
        self.break_after: dict[str, int] = {}
        """Bytes after which the connection breaks, once each time it is set."""
        self.ranges: list[tuple[str, str | None]] = []
        """Path and `Range` header of each request for content."""
        self.headers: list[dict[str, str]] = []
        self.endpoint = ""

    def listing(self, folder: str) -> list[dict[str, object]] | None:
        inside = [path for path in self.files if path.startswith(folder + "/")]
        if not inside:
            return None
        folders = {path[len(folder) + 1 :].split("/")[0] for path in inside}
        return [self._entry(f"{folder}/{name}") for name in sorted(folders)]

    def _entry(self, path: str) -> dict[str, object]:
        if path not in self.files:
            return {"type": "directory", "path": path, "oid": "0" * 40, "size": 0}
        content = self.files[path]
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        entry = {"type": "file", "path": path, "size": len(content), "oid": git}
        if path in self.large:
            digest = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 130}
        return entry


@contextmanager
def running(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve the hub from a thread and set its `endpoint`."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.hub.headers.append(dict(self.headers))
        path = unquote(urlsplit(self.path).path)
        tree = f"/api/datasets/conglu/vd4rl/tree/{COMMIT}/"
        content = f"/datasets/conglu/vd4rl/resolve/{COMMIT}/"
        if path == "/api/datasets/conglu/vd4rl":
            self._json({"id": "conglu/vd4rl", "sha": COMMIT})
        elif path.startswith(tree):
            self._json(self.hub.listing(path.removeprefix(tree)))
        elif path.startswith(content):
            self._content(path.removeprefix(content))
        else:
            self._json(None)

    def _json(self, value: object) -> None:
        body = json.dumps(value if value is not None else {"error": "Entry not found"}).encode()
        self.send_response(404 if value is None else 200)
        if value is None:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _content(self, path: str) -> None:
        asked = self.headers.get("Range")
        self.hub.ranges.append((path, asked))
        whole = self.hub.served.get(path, self.hub.files[path])
        first = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        body = whole[first:]
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{len(whole) - 1}/{len(whole)}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        limit = self.hub.break_after.pop(path, None)
        self.wfile.write(body[:limit])
        if limit is not None:
            self.close_connection = True
