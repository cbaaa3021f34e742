"""Messages and descriptors between two processes of ours, over a socket pair (unix(7)).

A message is a tuple whose first item is its kind, carried by `marshal`: both ends are forks of one
interpreter, so nothing of an image or a network ever reaches the decoder. The C module `_socket` is
used directly: importing `socket` costs as much as starting the container's file system.
"""

from __future__ import annotations

import _socket
import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from typing import Any

_HEADER = 4
_MAX_FDS = 16
_FD_SIZE = 4


class Channel:
    """One end of the pair. Sends and receives block; not for use from several threads."""

    def __init__(self, sock: _socket.socket) -> None:
        self._sock = sock
        self.fd = sock.fileno()

    def send(self, *message: Any, fds: Sequence[int] = ()) -> None:
        """Send `message` and copies of `fds`. Raises OSError when the other end is gone."""
        body = marshal.dumps(message)
        data = len(body).to_bytes(_HEADER, "little") + body
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, _pack(fds))] if fds else []
        sent = self._sock.sendmsg([data], rights, _socket.MSG_NOSIGNAL)
        if sent < len(data):
            self._sock.sendall(data[sent:])

    def receive(self) -> tuple[tuple[Any, ...], list[int]] | None:
        """The next message and its descriptors (close-on-exec), None when the other end is gone."""
        try:
            head, fds = self._head()
            body = self._exactly(int.from_bytes(head, "little")) if len(head) == _HEADER else b""
        except ConnectionResetError:
            return None  # it ended with a message of ours unread
        return (marshal.loads(body), fds) if body else None

    def _head(self) -> tuple[bytes, list[int]]:
        size = _FD_SIZE * _MAX_FDS
        head, rights, _, _ = self._sock.recvmsg(
            _HEADER, _socket.CMSG_SPACE(size), _socket.MSG_CMSG_CLOEXEC
        )
        return head, [fd for _, _, raw in rights for fd in _unpack(raw)]

    def _exactly(self, count: int) -> bytes:
        parts = []
        while count:
            part = self._sock.recv(count)
            if not part:
                return b""
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Close this end; the other one reads the end of the stream."""
        self._sock.close()


# Not with the array module, which brings collections.abc along.
def _pack(fds: Sequence[int]) -> bytes:
    return b"".join(fd.to_bytes(_FD_SIZE, sys.byteorder) for fd in fds)


def _unpack(raw: bytes) -> list[int]:
    places = range(0, len(raw) - len(raw) % _FD_SIZE, _FD_SIZE)
    return [int.from_bytes(raw[place : place + _FD_SIZE], sys.byteorder) for place in places]


def pair() -> tuple[Channel, Channel]:
    """Two connected channels, close-on-exec."""
    left, right = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    return Channel(left), Channel(right)


def wait_readable(
    fds: Sequence[int], timeout_ms: int | None = None, *, changed: Sequence[int] = ()
) -> list[int]:
    """The descriptors of `fds` that can be read or have been hung up (poll(2)).

    changed: files of the kernel, such as a cgroup's memory.events, which are always readable:
    returned when their content has changed since it was last read.
    """
    import select

    poller = select.poll()
    for fd in fds:
        poller.register(fd, select.POLLIN)
    for fd in changed:
        poller.register(fd, select.POLLPRI)
    return [fd for fd, _ in poller.poll(timeout_ms)]


def close_all_but(kept: Collection[int], *, first: int = 3) -> None:
    """Close every descriptor from `first` on that is not in `kept`.

    For a fork without exec: it would hold its parent's pipes and locks, and what the caller of rl
    has left open, for as long as it lives.
    """
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd >= first and fd not in kept:
            try:
                os.close(fd)
            except OSError:
                continue  # the listing's own descriptor


def close_all_of(fds: Iterable[int]) -> None:
    """Close each of `fds` in this process."""
    for fd in fds:
        os.close(fd)


def null_fd() -> int:
    """A new descriptor of /dev/null."""
    return os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
