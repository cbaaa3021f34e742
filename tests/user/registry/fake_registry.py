"""A registry that is not one: it serves the blobs of a layout and misbehaves as it is told to.

`faults` maps a digest (or "manifest") to what is wrong with its answers; each entry is a list that
is used up from the front, an empty list means a correct answer. A fault is a function that gets
the handler and the content and sends the answer itself; True means that it did.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.user.registry.oci_layout import Layout

Fault = Callable[["Handler", bytes], None]


class FakeRegistry(ThreadingHTTPServer):
    daemon_threads = True
    # A client that goes away in the middle is what many tests are about.
    handle_error = staticmethod(lambda *_: None)  # type: ignore[assignment]

    def __init__(self, layout: Layout) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.layout = layout
        self.host = f"127.0.0.1:{self.server_address[1]}"
        self.faults: dict[str, list[Fault]] = {}
        # (path, headers) of every request, in their order.
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.tags: dict[str, dict[str, Any]] = {}
        self.has_ranges = True
        # Called before each answer; returns True when it has answered.
        self.gate: Callable[[Handler], bool] = lambda handler: False

    def add(self, tag: str, descriptor: dict[str, Any]) -> None:
        self.tags[tag] = descriptor

    def paths(self, part: str) -> list[str]:
        return [path for path, _ in self.requests if part in path]

    def ranges_of(self, digest: str) -> list[str]:
        return [h.get("Range", "") for path, h in self.requests if digest in path]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeRegistry

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.do_GET()

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers)))
        if self.server.gate(self):
            return
        kind, _, wanted = self.path.rpartition("/")
        if self.path.rstrip("/") == "/v2":
            self.answer(200, b"{}")
        elif kind.endswith("/manifests"):
            self._manifest(wanted)
        else:
            self._content(wanted, "application/octet-stream", wanted)

    def _manifest(self, wanted: str) -> None:
        descriptor = self.server.tags.get(wanted)
        digest = descriptor["digest"] if descriptor else wanted
        path = self.server.layout.path(digest)
        if not path.exists():
            self.answer(404, json.dumps({"errors": [{"code": "MANIFEST_UNKNOWN"}]}).encode())
            return
        kind = json.loads(path.read_bytes()).get("mediaType", "application/json")
        self._content(digest, kind, "manifest")

    def _content(self, digest: str, media_type: str, fault_key: str) -> None:
        path = self.server.layout.path(digest)
        if not path.exists():
            self.answer(404, b"{}")
            return
        data = path.read_bytes()
        faults = self.server.faults.get(fault_key)
        if faults:
            faults.pop(0)(self, data)
            return
        self.content(data, media_type)

    def content(self, data: bytes, media_type: str = "application/octet-stream") -> None:
        """`data`, or the range of it that was asked for."""
        wanted = self.headers.get("Range")
        headers = {"Content-Type": media_type}
        if wanted and self.server.has_ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            self.answer(206, data[start:], headers)
            return
        self.answer(200, data, headers)

    def answer(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def cut_after(count: int) -> Fault:
    """Announce everything from where it was asked for, send `count` bytes, hang up."""

    def fault(handler: Handler, data: bytes) -> None:
        start = int((handler.headers.get("Range") or "bytes=0-")[6:-1])
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(data) - start))
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        handler.end_headers()
        handler.wfile.write(data[start : start + count])
        handler.wfile.flush()
        handler.close_connection = True

    return fault


def status(code: int, **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, data: handler.answer(code, b"{}", named)


def instead(other: bytes) -> Fault:
    return lambda handler, data: handler.content(other)


def chunked(other: bytes) -> Fault:
    """`other` without an announced length."""

    def fault(handler: Handler, data: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(other), other))

    return fault


@contextmanager
def serving(layout: Layout) -> Iterator[FakeRegistry]:
    server = FakeRegistry(layout)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
