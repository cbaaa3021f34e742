"""Network devices, as far as a start needs them: `lo` up with one ioctl (netdevice(7))."""

from __future__ import annotations

import fcntl
import sys

_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1
_IFF_RUNNING = 0x40
_IFNAMSIZ = 16
_SIZE_OF_IFREQ = 40


def loopback_up() -> None:
    """Bring `lo` up in the calling process's network namespace; the kernel then gives it
    127.0.0.1 and ::1. Needs CAP_NET_ADMIN there. Raises OSError."""
    # The C module alone: `socket` costs several milliseconds of import.
    import _socket

    flags = (_IFF_UP | _IFF_RUNNING).to_bytes(2, sys.byteorder)
    request = b"lo".ljust(_IFNAMSIZ, b"\0") + flags
    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        fcntl.ioctl(sock.fileno(), _SIOCSIFFLAGS, request.ljust(_SIZE_OF_IFREQ, b"\0"))
    finally:
        sock.close()
