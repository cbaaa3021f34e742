"""UDP from the host's own loopback to a published port: a small process of ours.

libslirp delivers such a datagram with the gateway as its sender; the answer then goes to the
gateway, and that is what --disable-host-loopback refuses (libslirp, src/socket.c,
sotranslate_out). pasta of Debian 12 loses the answer as well. So that the loopback can stay closed,
this relay takes 127.0.0.1 and ::1, and the network program keeps every other address, where the
sender is preserved.

The process holds no capability, only its sockets, and ends with its owner. It reads datagrams
without looking into them.
"""

from __future__ import annotations

import os
import select

from rootless.kernel import libc, signals
from rootless.kernel.channel import close_all_but
from rootless.tools.spawn import Child

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Sequence
    from typing import NoReturn

    from rootless.model.ports import PortMapping

    Address = tuple[str, int] | tuple[str, int, int, int]

_MOST_FLOWS = 512
_IDLE_MS = 60_000
_LARGEST_DATAGRAM = 65_535


class Started:
    """A relay. ready: a byte comes once it is inside, the pipe's end when it failed.
    owner: it ends when the last copy of this descriptor is closed."""

    __slots__ = ("child", "owner", "ready")

    def __init__(self, child: Child, *, ready: int, owner: int) -> None:
        self.child = child
        self.ready = ready
        self.owner = owner


def listen(port: PortMapping, host_ip: str) -> _socket.socket:
    """A socket for `port` on the host's `host_ip`; the network program may have the same port on
    all addresses. Raises OSError."""
    import _socket

    family = _socket.AF_INET6 if ":" in host_ip else _socket.AF_INET
    sock = _socket.socket(family, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    # Two sockets on one port need it on both; the kernel then prefers the exact address.
    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    sock.setblocking(False)
    try:
        sock.bind((host_ip, port.host_port))
    except OSError:
        sock.close()
        raise
    return sock


def start(
    listeners: Sequence[tuple[_socket.socket, int]],
    address: str,
    userns: str | None,
    netns: str,
) -> Started:
    """Fork a relay from `listeners` (socket, port inside) to `address` in the namespaces."""
    ready, to_ready = os.pipe()
    from_owner, owner = os.pipe()
    pid = os.fork()
    if pid == 0:
        _run_child(listeners, address, (userns, netns), to_ready, from_owner)
    os.close(to_ready)
    os.close(from_owner)
    return Started(Child(pid), ready=ready, owner=owner)


def _run_child(
    listeners: Sequence[tuple[_socket.socket, int]],
    address: str,
    namespaces: tuple[str | None, str],
    to_ready: int,
    from_owner: int,
) -> NoReturn:
    try:
        # Ctrl-C at the user's terminal is not for us.
        os.setsid()
        for number in (signals.SIGINT, signals.SIGTERM, signals.SIGHUP, signals.SIGCHLD):
            signals.signal(number, signals.SIG_DFL)
        signals.pthread_sigmask(signals.SIG_SETMASK, ())
        libc.prctl_name("rl-udp")
        kept = [to_ready, from_owner, *(sock.fileno() for sock, _ in listeners)]
        close_all_but(kept, first=0)
        _enter(namespaces)
        os.write(to_ready, b"1")
        os.close(to_ready)
        Relay(listeners, address).run(from_owner)
    except BaseException:
        # Nobody to tell but the owner, who sees the pipe's end.
        os._exit(1)
    os._exit(0)


def _enter(namespaces: tuple[str | None, str]) -> None:
    """Join both, the network last, then give up the capabilities that came with the first."""
    userns, netns = namespaces
    for path, kind in ((userns, libc.CLONE_NEWUSER), (netns, libc.CLONE_NEWNET)):
        if path is not None:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            libc.setns(fd, kind)
            os.close(fd)
    # With --pid host the container sees this process, which has the host's files in sight.
    libc.prctl(libc.PR_SET_DUMPABLE, 0)
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    libc.capset(0, 0, 0)


class Flow:
    """One client of one port: the socket inside that stands for it."""

    __slots__ = ("client", "inside", "listener")

    def __init__(self, listener: _socket.socket, client: Address, inside: _socket.socket) -> None:
        self.listener = listener
        self.client = client
        self.inside = inside


class Relay:
    """Moves datagrams between sockets of two network namespaces, one flow for each client."""

    def __init__(self, listeners: Sequence[tuple[_socket.socket, int]], address: str) -> None:
        self._address = address
        self._listeners = {sock.fileno(): (sock, port) for sock, port in listeners}
        # Both in the order of last use: the first is the one to give up.
        self._by_client: dict[tuple[int, Address], Flow] = {}
        self._by_fd: dict[int, Flow] = {}
        self._poll = select.poll()

    def run(self, owner: int) -> None:
        """Until the pipe `owner` is closed at its other end."""
        self._poll.register(owner, select.POLLIN)
        for fd in self._listeners:
            self._poll.register(fd, select.POLLIN)
        while True:
            events = self._poll.poll(_IDLE_MS if self._by_fd else None)
            for fd, _ in events:
                if fd == owner:
                    return
                self._move(fd)
            if not events:
                self._forget_all()

    def _move(self, fd: int) -> None:
        """One datagram. A refused or lost one is lost, as UDP is."""
        try:
            if fd in self._listeners:
                self._inward(fd)
            elif fd in self._by_fd:
                self._outward(self._by_fd[fd])
        except OSError:
            pass

    def _inward(self, fd: int) -> None:
        sock, port = self._listeners[fd]
        data, client = sock.recvfrom(_LARGEST_DATAGRAM)
        key = (fd, client)
        flow = self._by_client.pop(key, None) or self._open(sock, client, port)
        self._by_client[key] = flow
        flow.inside.send(data)

    def _outward(self, flow: Flow) -> None:
        flow.listener.sendto(flow.inside.recv(_LARGEST_DATAGRAM), flow.client)

    def _open(self, listener: _socket.socket, client: Address, port: int) -> Flow:
        import _socket

        if len(self._by_client) >= _MOST_FLOWS:
            self._forget(next(iter(self._by_client)))
        inside = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
        inside.setblocking(False)
        inside.connect((self._address, port))
        flow = Flow(listener, client, inside)
        self._by_fd[inside.fileno()] = flow
        self._poll.register(inside.fileno(), select.POLLIN)
        return flow

    def _forget(self, key: tuple[int, Address]) -> None:
        flow = self._by_client.pop(key)
        self._poll.unregister(flow.inside.fileno())
        del self._by_fd[flow.inside.fileno()]
        flow.inside.close()

    def _forget_all(self) -> None:
        for key in list(self._by_client):
            self._forget(key)
