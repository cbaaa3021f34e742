"""Ports of the host: are they free, may we have them, and which one is when none was named.

The answer is a forecast: somebody may take the port a moment later. It is asked because the
network programs do not say why they cannot have a port, or do not say that they cannot (pasta
takes what it gets of a list).
"""

from __future__ import annotations

import errno
import os

from rootless.errors import NetworkSetupError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Sequence

    from rootless.model.ports import PortMapping

_FIRST_UNPRIVILEGED = "/proc/sys/net/ipv4/ip_unprivileged_port_start"


def resolve(ports: Sequence[PortMapping], *, both_families: bool) -> list[PortMapping]:
    """`ports` with a host port chosen wherever it was 0. Raises NetworkSetupError.

    both_families: whether "all addresses" includes IPv6, as it does for pasta.
    """
    if not ports:
        return []
    from rootless.model.ports import find_conflict

    conflict = find_conflict(ports)
    if conflict:
        raise NetworkSetupError(f"-p {conflict[1]}: the same host port as -p {conflict[0]}")
    # Sockets stay open until the last is bound: no port is chosen twice.
    held: list[_socket.socket] = []
    try:
        return [_probe(port, held, both_families=both_families) for port in ports]
    finally:
        for sock in held:
            sock.close()


def _probe(port: PortMapping, held: list[_socket.socket], *, both_families: bool) -> PortMapping:
    sock = _bind(port, port.host_ip or "0.0.0.0")
    held.append(sock)
    chosen = port.with_host_port(sock.getsockname()[1])
    if both_families and not port.host_ip and os.path.exists("/proc/net/if_inet6"):
        held.append(_bind(chosen, "::"))
    return chosen


def _bind(port: PortMapping, address: str) -> _socket.socket:
    import _socket

    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    kind = _socket.SOCK_DGRAM if port.protocol == "udp" else _socket.SOCK_STREAM
    sock = _socket.socket(family, kind | _socket.SOCK_CLOEXEC)
    if port.protocol == "tcp":
        # Connections in TIME_WAIT from an earlier container must not count as "in use". For UDP
        # the option would hide a port of slirp4netns, which has it set, too.
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    if family == _socket.AF_INET6:
        sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
    try:
        sock.bind((address, port.host_port))
    except OSError as error:
        sock.close()
        raise refusal(port, address, error.errno or 0) from error
    return sock


def refusal(port: PortMapping, address: str, number: int) -> NetworkSetupError:
    """Why `port` cannot be had on `address`: errno `number` of bind(2) as an error with advice."""
    subject = f"port {port.host_port}/{port.protocol} on {address}"
    if number == errno.EADDRINUSE:
        table = "-lnup" if port.protocol == "udp" else "-ltnp"
        hint = f"ss {table} 'sport = :{port.host_port}'"
        return NetworkSetupError(f"{subject}: address already in use", hint=hint)
    if number == errno.EACCES:
        return _privileged(port, subject)
    if number == errno.EADDRNOTAVAIL:
        return NetworkSetupError(f"{subject}: the host has no such address", hint="ip addr")
    return NetworkSetupError(f"{subject}: {os.strerror(number)}")


def _privileged(port: PortMapping, subject: str) -> NetworkSetupError:
    with open(_FIRST_UNPRIVILEGED) as file:
        first = file.read().strip()
    higher = f"{8000 + port.host_port}:{port.container_port}"
    return NetworkSetupError(
        f"{subject}: ports below {first} are the system administrator's",
        hint=f"-p {higher}, or: sudo sysctl net.ipv4.ip_unprivileged_port_start={port.host_port}",
    )
