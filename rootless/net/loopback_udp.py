"""The relay for UDP ports that the host's loopback reaches (tools.udprelay), as a Program."""

from __future__ import annotations

import os

from rootless import log
from rootless.errors import NetworkSetupError
from rootless.net import hostports
from rootless.net.running import Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Sequence

    from rootless.model.ports import PortMapping


class LoopbackUdp(Program):
    """One relay for all UDP ports of a container; no process at all where there are none.

    ports: of which those count that are UDP and on all addresses or on a loopback one.
    address: the container's. userns, netns: where it is.
    both_families: whether "all addresses" includes IPv6.
    """

    def __init__(
        self,
        ports: Sequence[PortMapping],
        address: str,
        userns: str | None,
        netns: str,
        *,
        both_families: bool,
    ) -> None:
        super().__init__([port for port in ports if _loopbacks(port, both_families=True)])
        self._both_families = both_families
        self._address = address
        self._userns = userns
        self._netns = netns

    def start(self) -> None:
        """Bind the ports and fork the relay. Raises NetworkSetupError when one is in use."""
        if not self.ports:
            return
        from rootless.tools import udprelay

        listeners: list[tuple[_socket.socket, int]] = []
        try:
            for port in self.ports:
                for address in _loopbacks(port, both_families=self._both_families):
                    listeners.append((_listen(port, address), port.container_port))
            log.effect(f"fork a relay for UDP from loopback, {len(listeners)} ports")
            started = udprelay.start(listeners, self._address, self._userns, self._netns)
        finally:
            for sock, _ in listeners:
                sock.close()
        self.adopt(
            started.child, ready=started.ready, words=os.dup(started.ready), owner=started.owner
        )

    def has_alone(self, port: PortMapping) -> bool:
        """Whether `port` is on a loopback address only, where nobody but the relay is needed."""
        return port in self.ports and _is_loopback(port.host_ip)

    def failure(self, words: str) -> NetworkSetupError:
        """It does not say why; entering the namespaces is all that can fail."""
        return NetworkSetupError("the relay for UDP ports could not enter the container's network")


def _listen(port: PortMapping, address: str) -> _socket.socket:
    from rootless.tools import udprelay

    try:
        return udprelay.listen(port, address)
    except OSError as error:
        raise hostports.refusal(port, address, error.errno or 0) from error


def _loopbacks(port: PortMapping, *, both_families: bool) -> list[str]:
    """The loopback addresses of the host that `port` is on, when it is one for the relay."""
    if port.protocol != "udp":
        return []
    if port.host_ip in ("", "0.0.0.0", "::"):
        ipv4 = [] if port.host_ip == "::" else ["127.0.0.1"]
        ipv6 = ["::1"] if port.host_ip == "::" or (both_families and not port.host_ip) else []
        return ipv4 + (ipv6 if os.path.exists("/proc/net/if_inet6") else [])
    return [port.host_ip] if _is_loopback(port.host_ip) else []


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"
