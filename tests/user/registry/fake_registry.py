"""A registry that is not one: it serves the blobs of a layout and misbehaves as it is told to.

`faults` maps a digest (or "manifest") to what is wrong with its answers; each entry is a list that
is used up from the front, an empty list means a correct answer. A fault is a function that gets
the handler and the content and sends the answer itself; True means that it did.
"""

from __future__ import annotations

import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.user.registry.oci_layout import Layout, digest_of

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
        self.push_faults: dict[str, list[Fault]] = {}
        self.methods: list[str] = []
        self.uploads: dict[str, bytearray] = {}
        # Those that were finished.
        self.closed: set[str] = set()
        # {(repository, digest)}: what can be mounted.
        self.mountable: set[tuple[str, str]] = set()
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
        self.body = self.read_body()
        if "/blobs/uploads/" not in self.path:
            self.do_GET()
        elif not self._is_handled("POST"):
            self._begin()

    def read_body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def _is_handled(self, method: str) -> bool:
        """Whether the gate or a fault has answered."""
        self.server.methods.append(method)
        self.server.requests.append((self.path, dict(self.headers)))
        if self.server.gate(self):
            return True
        faults = self.server.push_faults.get(method)
        if not faults:
            return False
        faults.pop(0)(self, getattr(self, "body", b""))
        return True

    def do_HEAD(self) -> None:
        if self._is_handled("HEAD"):
            return
        path = self.server.layout.path(self.path.rpartition("/")[2])
        if path.exists():
            self.answer(200, b"", {"Content-Length": str(path.stat().st_size)})
        else:
            self.answer(404, b"")

    def _begin(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        origin, digest = query.get("from", [""])[0], query.get("mount", [""])[0]
        if (origin, digest) in self.server.mountable:
            self.answer(201, b"")
            return
        name = f"u{len(self.server.uploads)}"
        self.server.uploads[name] = bytearray()
        self.accepted(name)

    def accepted(self, name: str, status: int = 202) -> None:
        size = len(self.server.uploads[name])
        location = f"{self.path.partition('uploads/')[0]}uploads/{name}?state={size}"
        self.answer(status, b"", {"Location": location, "Range": f"0-{max(size - 1, 0)}"})

    @property
    def upload(self) -> str:
        return urlsplit(self.path).path.rpartition("/")[2]

    def do_PATCH(self) -> None:
        if self._is_handled("PATCH"):
            return
        if self.upload not in self.server.uploads:
            self.read_body()
            self.answer(404, b"{}")
            return
        have = self.server.uploads[self.upload]
        start = self.headers.get("Content-Range", f"{len(have)}-").partition("-")[0]
        body = self.read_body()
        if int(start) != len(have):
            self.answer(416, b"{}")
            return
        have += body
        self.accepted(self.upload)

    def do_PUT(self) -> None:
        is_manifest = "/manifests/" in self.path
        self.body = self.read_body()
        if not self._is_handled("PUT manifest" if is_manifest else "PUT blob"):
            self.put(is_manifest)

    def put(self, is_manifest: bool) -> None:
        if is_manifest:
            digest = self.server.layout.blob(self.body)
            kind = self.headers["Content-Type"]
            self.server.add(
                self.path.rpartition("/")[2],
                {"digest": digest, "mediaType": kind, "size": len(self.body)},
            )
        elif self.upload in self.server.closed:
            self.answer(404, b"{}")
            return
        else:
            wanted = parse_qs(urlsplit(self.path).query)["digest"][0]
            data = bytes(self.server.uploads.get(self.upload, b"")) + self.body
            if digest_of(data) != wanted:
                words = {"errors": [{"code": "DIGEST_INVALID", "message": "digest invalid"}]}
                self.answer(400, json.dumps(words).encode())
                return
            digest = self.server.layout.blob(data)
            self.server.closed.add(self.upload)
        self.answer(201, b"", {"Docker-Content-Digest": digest, "Location": self.path})

    def do_GET(self) -> None:
        if "/blobs/uploads/" in self.path:
            if self._is_handled("GET upload"):
                return
            if self.upload in self.server.uploads:
                self.accepted(self.upload, 204)
            else:
                self.answer(404, b"{}")
            return
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
        if self.command != "HEAD":
            self.wfile.write(data)

    def hang_up(self) -> None:
        self.close_connection = True


def keep_then_cut(count: int) -> Fault:
    """Take `count` bytes of a PATCH into the upload, and hang up."""

    def fault(handler: Handler, data: bytes) -> None:
        handler.server.uploads[handler.upload] += handler.rfile.read(count)
        handler.hang_up()

    return fault


def take_then_cut(handler: Handler, data: bytes) -> None:
    """Do what a PUT asks for, and hang up before saying so."""
    handler.wfile = io.BytesIO()
    handler.put("/manifests/" in handler.path)
    handler.hang_up()


def refuse_unread(code: int) -> Fault:
    """Answer while the body is still coming, and hang up."""

    def fault(handler: Handler, data: bytes) -> None:
        handler.answer(code, b"{}", {"Connection": "close"})
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_WR)
        # As a proper server does, so that the answer is not lost in a reset.
        while handler.rfile.read1(1 << 16):
            pass
        handler.hang_up()

    return fault


def refuse_larger_than(limit: int) -> Callable[[Handler], bool]:
    """A gate: a proxy with a limit for bodies."""

    def gate(handler: Handler) -> bool:
        if int(handler.headers.get("Content-Length") or 0) <= limit:
            return False
        refuse_unread(413)(handler, b"")
        return True

    return gate


def says(code: int, error: str, message: str, detail: object = None) -> Fault:
    """The registry's words, as distribution-spec has them."""
    words = {"errors": [{"code": error, "message": message, "detail": detail}]}

    def fault(handler: Handler, data: bytes) -> None:
        if handler.command == "PATCH":
            handler.read_body()
        body = b"" if handler.command == "HEAD" else json.dumps(words).encode()
        handler.answer(code, body)

    return fault


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
    body = b"" if code == 204 else b"{}"
    return lambda handler, data: handler.answer(code, body, named)


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
