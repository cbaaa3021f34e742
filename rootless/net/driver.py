"""What every network driver is: facts for the plan, a check of the host, a start."""

from __future__ import annotations

from rootless.net import files
from rootless.net.running import Running

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.model.network import NetworkChoice
    from rootless.model.ports import PortMapping


class Driver:
    """One way to give a container its network.

    new_namespace: whether the container gets another network namespace than the host's.
    joins: whether it is one that another container has set up.
    loopback_by_us: whether the runtime has to bring `lo` up (kernel.netdev).
    container_address: the container's IPv4 address, None without one.
    gateway: the address that leads out, None without one.
    is_instead: whether another one, which does not work here, would have been the choice.
    host_alias: the address under which the container reaches the host, None when it does not.
    has_own_resolver: whether a resolver that the driver brings along, if it does, is wanted.
    """

    name = ""
    new_namespace = True
    joins = False
    loopback_by_us = False
    container_address: str | None = None
    gateway: str | None = None
    host_alias: str | None = None
    has_own_resolver = True
    is_instead = False
    # Whether the container's network goes on when the process that starts it has ended: somebody
    # else holds copies of Running.fds() then.
    outlives_caller = False

    def __init__(self, choice: NetworkChoice, ports: Sequence[PortMapping]) -> None:
        self.choice = choice
        self.ports = list(ports)

    def resolv(
        self,
        host_resolv_text: str,
        dns: Sequence[str],
        search: Sequence[str],
        options: Sequence[str],
    ) -> str:
        """The container's resolv.conf, from the host's and from the flags --dns, --dns-search and
        --dns-option."""
        host = files.parse_resolv(host_resolv_text)
        return files.resolv_text(host, self.servers(host), dns, search, options)

    def servers(self, host: files.Resolv) -> list[str]:
        """The name servers of a container without --dns."""
        return host.servers

    def describe(self) -> list[str]:
        """What a start does, one line for each effect."""
        return [f"network: {self.name}"]

    def check(self) -> None:
        """Find out early what a start would stumble over. Raises HostError, NetworkSetupError."""

    def start(self, userns_path: str | None, netns_path: str, *, runtime_dir: str) -> Running:
        """Set the network namespace up; returns at once (Running.wait_ready waits).

        The paths are /proc/PID/ns/user and /proc/PID/ns/net of a process that lives as long as
        the container. The caller is the one that the network program ends with.
        runtime_dir: a private directory for sockets.
        """
        return Running(self.ports)


def host_address() -> str | None:
    """The host's IPv4 address towards the outside, None without a route.

    Connecting a UDP socket sends nothing: the kernel only looks the route up.
    """
    import _socket

    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        # TEST-NET-1 (RFC 5737): an address that is nobody's takes the default route.
        sock.connect(("192.0.2.254", 9))
        return str(sock.getsockname()[0])
    except OSError:
        return None
    finally:
        sock.close()
