"""Descriptors to and from other programs over unix sockets: consoles, listeners, pidfds."""

from __future__ import annotations

import _socket
import os
import sys

from rootless.errors import RuntimeSetupError
from rootless.model import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


def connect(path: str, what: str) -> int:
    """A descriptor connected to the stream socket at `path`. Raises RuntimeSetupError."""
    folder = -1
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        # sun_path is short, and paths of containers are not.
        folder = os.open(os.path.dirname(path) or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        sock.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
        return sock.detach()
    except OSError as error:
        sock.close()
        raise RuntimeSetupError(f"{what} {path}: {(error.strerror or '').lower()}") from error
    finally:
        if folder >= 0:
            os.close(folder)


def send(connected: int, message: bytes | dict[str, Any], fds: Sequence[int]) -> None:
    """Send `message` (an object as JSON) with `fds` over the connected socket. Raises OSError."""
    data = message if isinstance(message, bytes) else jsontext.dumps(message).encode()
    packed = b"".join(fd.to_bytes(4, sys.byteorder) for fd in fds)
    sock = _socket.socket(fileno=connected)
    try:
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)]
        sock.sendmsg([data], rights, _socket.MSG_NOSIGNAL)
    finally:
        sock.detach()
