"""The socket of a supervisor: who is attached to its container, or waits for the end.

Messages are those of kernel.channel, both ways. A client says ATTACH or WAIT, then INPUT,
END_OF_INPUT, RESIZE; it gets OUTPUT and, before the end of the stream, END with the exit code. STOP
means that the container is not to be started again, and is answered.

The socket is in a directory that only its user may enter. Nothing here waits for a client: one that
does not read keeps the container from writing, as a pipe would, and nothing else.
"""

from __future__ import annotations

import _socket
import marshal
import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

SOCKET = "control"
ATTACH = "attach"
ATTACHED = "attached"
WAIT = "wait"
STOP = "stop"
INPUT = "in"
END_OF_INPUT = "eof"
RESIZE = "resize"
OUTPUT = "out"
END = "end"

# How many are served at a time; others wait for their turn.
MOST = 100
_HEADER = 4
_LONGEST_MESSAGE = 1 << 20
_CHUNK = 65536
# Bytes on their way to one client; beyond that the container's output has to wait.
_MOST_PENDING = 1 << 20


class Client:
    """One connection."""

    def __init__(self, sock: _socket.socket, *, attached: bool = False) -> None:
        self._sock = sock
        sock.setblocking(False)
        self.fd = sock.fileno()
        self.is_attached = attached
        self.is_open = True
        self._incoming = b""
        self._outgoing = b""

    @property
    def has_room(self) -> bool:
        """Whether more output may be queued."""
        return len(self._outgoing) < _MOST_PENDING

    @property
    def events(self) -> int:
        """What poll(2) is to wait for."""
        return select.POLLIN | (select.POLLOUT if self._outgoing else 0)

    def queue(self, *message: Any) -> None:
        """Send a message as soon as the client takes it."""
        body = marshal.dumps(message)
        self._outgoing += len(body).to_bytes(_HEADER, "little") + body
        self.flush()

    def flush(self) -> None:
        """Send what can be sent without waiting."""
        try:
            while self._outgoing:
                self._outgoing = self._outgoing[
                    self._sock.send(self._outgoing, _socket.MSG_NOSIGNAL) :
                ]
        except BlockingIOError:
            return
        except OSError:
            self.close()

    def receive(self) -> Iterator[tuple[Any, ...]]:
        """The messages that have come; closed at the end of the stream, or what is no message."""
        try:
            data = self._sock.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._incoming += data
        try:
            while (message := self._take()) is not None:
                yield message
        except (EOFError, TypeError, ValueError):
            self.close()

    def _take(self) -> tuple[Any, ...] | None:
        if len(self._incoming) < _HEADER:
            return None
        end = _HEADER + int.from_bytes(self._incoming[:_HEADER], "little")
        if end > _LONGEST_MESSAGE:
            raise ValueError(end)
        if len(self._incoming) < end:
            return None
        body, self._incoming = self._incoming[_HEADER:end], self._incoming[end:]
        message = marshal.loads(body)
        if not isinstance(message, tuple):
            raise TypeError(message)
        return message

    def close(self) -> None:
        """End the connection; harmless when repeated."""
        self.is_open = self.is_attached = False
        self._outgoing = b""
        self._sock.close()

    def finish(self, timeout: float) -> None:
        """Send the rest, for at most `timeout` seconds, and close."""
        self._sock.settimeout(timeout)
        try:
            self._sock.sendall(self._outgoing)
        except OSError:
            pass
        self.close()


def listen(folder: str) -> _socket.socket:
    """A socket at `folder`/control that does not block."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    with _Folder(folder) as short:
        sock.bind(f"{short}/{SOCKET}")
    sock.listen(16)
    sock.setblocking(False)
    return sock


def accept(sock: _socket.socket) -> Client | None:
    """Who has connected, if still there."""
    try:
        fd, _ = sock._accept()  # type: ignore[attr-defined]
    except OSError:
        return None
    os.set_inheritable(fd, False)
    return Client(_socket.socket(fileno=fd))


def connect(folder: str) -> _socket.socket:
    """The socket of the supervisor whose container's live directory is `folder`.

    Raises OSError where nobody listens.
    """
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        with _Folder(folder) as short:
            sock.connect(f"{short}/{SOCKET}")
    except BaseException:
        sock.close()
        raise
    return sock


class _Folder:
    """`with _Folder(path) as short`: the directory under a name that fits in an address, which
    holds 108 bytes (unix(7))."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> str:
        return f"/proc/self/fd/{self._fd}"

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
