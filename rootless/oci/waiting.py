"""How a created container waits, and how it is started: over the socket `start` of its directory.

Whoever starts it connects and reads to the end of the stream: that comes with the exec, which
closes the connection; before it a line of JSON may come, the error that prevented the exec. The
container's own view of the socket is a descriptor: nothing of the directory is mounted inside.
"""

from __future__ import annotations

import _socket
import errno
import os

from rootless.errors import NotFoundError, RlError, RuntimeSetupError, from_fields
from rootless.model import jsontext
from rootless.runtime import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.oci.statedir import Record

_GO = b"go\n"
_MOST = 1 << 16


def listen(record: Record) -> int:
    """The descriptor at which the container will wait. Raises OSError."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    path, folder = record.connectable("start")
    try:
        sock.bind(path)
        sock.listen(1)
    finally:
        os.close(folder)
    return sock.detach()


class Peer:
    """Who starts the container; takes FAILED messages."""

    def __init__(self, sock: _socket.socket) -> None:
        self._sock = sock

    def send(self, *message: Any) -> None:
        """Tell it. Raises OSError when it is gone."""
        self._sock.sendall(jsontext.dumps(list(message)).encode() + b"\n")


def wait(listener: int) -> Peer:
    """Until somebody says go; nobody else can afterwards."""
    while True:
        fd, _ = _accept(listener)
        sock = _socket.socket(fileno=fd)
        if sock.recv(len(_GO)) == _GO:
            os.close(listener)
            return Peer(sock)
        sock.close()


def _accept(listener: int) -> tuple[int, Any]:
    waiting = _socket.socket(fileno=listener)
    try:
        found: tuple[int, Any] = waiting._accept()  # type: ignore[attr-defined]
        return found
    finally:
        waiting.detach()


def start(record: Record) -> None:
    """Let the created container go on; returns when its program runs. Raises RlError."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    path, folder = record.connectable("start")
    try:
        sock.connect(path)
        sock.sendall(_GO)
    except OSError as error:
        raise _not_waiting(record, error) from error
    finally:
        os.close(folder)
    said = _read_all(sock)
    _unlink(record)
    if said:
        raise _failure(said)


def _read_all(sock: _socket.socket) -> bytes:
    parts: list[bytes] = []
    try:
        while len(parts) < _MOST and (part := sock.recv(4096)):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def _unlink(record: Record) -> None:
    try:
        os.unlink(record.socket)
    except FileNotFoundError:
        pass


def _not_waiting(record: Record, error: OSError) -> RlError:
    if error.errno == errno.ECONNREFUSED:
        # Somebody has started it, and was killed before it could say so here.
        _unlink(record)
    if error.errno in (errno.ECONNREFUSED, errno.ENOENT):
        return NotFoundError(f"container {record.id} is not in the state created", "rl-oci list")
    return RuntimeSetupError(f"{record.socket}: {(error.strerror or '').lower()}")


def _failure(said: bytes) -> RlError:
    try:
        kind, *fields = jsontext.loads(said.partition(b"\n")[0])
        if kind == messages.FAILED and len(fields) == 4:
            return from_fields(str(fields[0]), str(fields[1]), str(fields[2]), int(fields[3]))
    except (ValueError, TypeError):
        pass
    return RuntimeSetupError("the container's first process said something that is no error")
