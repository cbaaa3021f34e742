"""kernel.netdev on a new network namespace."""

from __future__ import annotations

import socket

from rootless.kernel import libc, netdev
from rootless.tools import idmap


def connects_to_itself() -> bool:
    with socket.socket() as server, socket.socket() as client:
        server.bind(("127.0.0.1", 0))
        server.listen()
        try:
            client.connect(server.getsockname())
        except OSError:
            return False
        return True


def test_loopback_is_down_and_then_up() -> None:
    def inside() -> list[bool]:
        libc.unshare(libc.CLONE_NEWNET)
        before = connects_to_itself()
        netdev.loopback_up()
        return [before, connects_to_itself()]

    assert idmap.call(inside) == [False, True]
