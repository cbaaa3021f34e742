"""`--network pasta`: the container shares the host's addresses, without NAT.

Faster than slirp4netns, and IPv6 ports work; where it is not the default is that it needs the
package passt, and that the host itself cannot be reached under its own address, which is the
container's too; with Debian 12's version, neither do the host's own UDP clients get answers under
that address (under its loopback they do).

Options: mtu (65520), enable_ipv6 (true), interface, outbound_addr, outbound_addr6,
allow_host_loopback (false; true maps the gateway's address to the host's loopback).
"""

from __future__ import annotations

from rootless import log
from rootless.errors import HostNetworkError
from rootless.net import hostports
from rootless.net.driver import Driver, host_address
from rootless.net.files import parse_resolv, reachable
from rootless.net.loopback_udp import LoopbackUdp
from rootless.net.running import Program
from rootless.net.tun import check_tun
from rootless.tools import pasta, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.model.network import NetworkChoice
    from rootless.model.ports import PortMapping
    from rootless.net.files import Resolv

# Where systemd-resolved keeps the servers behind its 127.0.0.53 (systemd-resolved.service(8)).
_UPSTREAM = "/run/systemd/resolve/resolv.conf"


class Pasta(Driver):
    """See the module. With the host's loopback closed there is no host alias."""

    name = "pasta"

    def __init__(self, choice: NetworkChoice, ports: Sequence[PortMapping]) -> None:
        super().__init__(choice, ports)
        self.host_loopback = choice.flag("allow_host_loopback", default=False)
        self.container_address = host_address()
        self.gateway = default_gateway()
        self.host_alias = self.gateway if self.host_loopback else None

    def servers(self, host: Resolv) -> list[str]:
        """The host's name servers; for those on its loopback, the ones that they ask."""
        found = reachable(host.servers)
        if found or not host.servers:
            return found
        found = reachable(parse_resolv(_text_or_nothing(_UPSTREAM)).servers)
        if not found:
            log.notice("the host's resolver is on its loopback, closed to pasta: use --dns ADDRESS")
        return found

    def describe(self) -> list[str]:
        """The network and each published port."""
        loopback = f"open as {self.gateway}" if self.host_loopback else "closed"
        return [
            f"network: pasta, the host's address {self.container_address},"
            f" host loopback {loopback}",
            *(f"publish {port}" for port in self.ports),
        ]

    def settings(self) -> pasta.Settings:
        """The program's side of the options."""
        options = self.choice.options
        names = ("outbound_addr", "outbound_addr6")
        return pasta.Settings(
            mtu=int(options.get("mtu", "65520")),
            ipv6=self.choice.flag("enable_ipv6", default=True),
            host_loopback=self.host_loopback,
            interface=options.get("interface", ""),
            outbound=[options[name] for name in names if name in options],
        )

    def check(self) -> None:
        """The program, the tap device, the ports."""
        spawn.find("pasta", "passt")
        check_tun()
        self.ports = hostports.resolve(self.ports, both_families=True)

    def start(self, userns_path: str | None, netns_path: str, *, runtime_dir: str) -> Forwarding:
        """It dies with the calling thread, unless it is to outlive that."""
        relay = LoopbackUdp(
            self.ports, self.container_address or "127.0.0.1", userns_path, netns_path,
            both_families=True,
        )  # fmt: skip
        running = Forwarding(self.ports, relay)
        ports = [port for port in self.ports if not relay.has_alone(port)]
        started = pasta.start(
            self.settings(), ports, userns_path, netns_path, outlives_us=self.outlives_caller
        )
        running.adopt(started.child, ready=started.ready, words=started.words)
        return running


class Forwarding(Program):
    """A running pasta; its ports are bound before it is ready, the relay's after it."""

    def __init__(self, ports: Sequence[PortMapping], relay: LoopbackUdp) -> None:
        super().__init__(ports)
        self._relay = relay

    def forward_ports(self) -> None:
        """Start the relay for UDP from loopback."""
        self._relay.start()
        self._relay.wait_ready()

    def stop(self, *, wait: bool = True) -> None:
        """End pasta and the relay; idempotent."""
        self._relay.stop()
        super().stop(wait=wait)

    def fds(self) -> list[int]:
        """Those of pasta and of the relay."""
        return super().fds() + self._relay.fds()

    def failure(self, words: str) -> HostNetworkError:
        """With the reason that pasta gave."""
        return HostNetworkError(
            f"pasta: {pasta.complaint(words)}", hint="rl run --network slirp4netns …"
        )


def _text_or_nothing(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def default_gateway() -> str | None:
    """The host's IPv4 gateway by /proc/net/route, None without one (proc(5))."""
    for line in _text_or_nothing("/proc/net/route").splitlines()[1:]:
        fields = line.split()
        if len(fields) > 2 and fields[1] == "00000000" and fields[2] != "00000000":
            # Four bytes in the machine's order, which /proc prints as one number.
            import sys

            octets = int(fields[2], 16).to_bytes(4, sys.byteorder)
            return ".".join(str(octet) for octet in octets)
    return None
