"""`--network slirp4netns`, the default: a network namespace with a tap device and NAT.

Options, as in podman-run(1): cidr (10.0.2.0/24), mtu (65520), enable_ipv6 (true), outbound_addr,
outbound_addr6, allow_host_loopback (false: services on the host's 127.0.0.1 stay out of reach) and
port_handler (only slirp4netns' own exists here).

slirp4netns publishes ports on the host's IPv4 addresses only; UDP from the host's loopback goes
through a relay of ours (tools.udprelay says why). Its resolver follows the host's
/etc/resolv.conf, re-reading it when it changes.
"""

from __future__ import annotations

from rootless import log
from rootless.errors import HostNetworkError, NetworkSetupError, UsageError
from rootless.model.network import address_in
from rootless.net import hostports
from rootless.net.driver import Driver, host_address
from rootless.net.files import is_loopback, reachable
from rootless.net.loopback_udp import LoopbackUdp
from rootless.net.running import Program
from rootless.net.tun import TUN, check_tun
from rootless.tools import slirp4netns, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.model.network import NetworkChoice
    from rootless.model.ports import PortMapping
    from rootless.net.files import Resolv

_GATEWAY, _RESOLVER, _CONTAINER = 2, 3, 100
# Its IPv6 network is fixed (slirp4netns(1), DESCRIPTION).
_RESOLVER6 = "fd00::3"
_RUN_WITHOUT = "rl run --network none …, or --network host"


class Slirp4netns(Driver):
    """See the module. Raises UsageError for a port on an IPv6 address."""

    name = "slirp4netns"

    def __init__(self, choice: NetworkChoice, ports: Sequence[PortMapping]) -> None:
        super().__init__(choice, ports)
        for port in ports:
            if ":" in port.host_ip:
                raise UsageError(
                    f"-p {port}: slirp4netns publishes on IPv4 addresses only",
                    hint="rl run --network pasta …",
                )
        self.cidr = choice.options.get("cidr", "10.0.2.0/24")
        self.ipv6 = choice.flag("enable_ipv6", default=True) and host_has_ipv6()
        self.host_loopback = choice.flag("allow_host_loopback", default=False)
        self.container_address = address_in(self.cidr, _CONTAINER)
        self.gateway = address_in(self.cidr, _GATEWAY)
        # The gateway leads to the host's loopback, where that is open; else the host is met at
        # the address that it shows to everybody.
        self.host_alias = self.gateway if self.host_loopback else host_address()

    def servers(self, host: Resolv) -> list[str]:
        """Its own resolver, which stands for the host's first IPv4 name server, then the rest."""
        if not self.has_own_resolver:
            return host.servers
        ipv4 = [server for server in host.servers if ":" not in server]
        ipv6 = [server for server in host.servers if ":" in server] if self.ipv6 else []
        own = [address_in(self.cidr, _RESOLVER)] if ipv4 or not ipv6 else [_RESOLVER6]
        self._tell_open_loopback(ipv4[:1])
        return own + reachable(ipv4[1:] + (ipv6 if ipv4 else ipv6[1:]))

    def _tell_open_loopback(self, first: list[str]) -> None:
        # libslirp hands every port of the resolver's address on, not only 53. 127.0.0.53 is
        # systemd's own, where nothing else listens.
        if first and is_loopback(first[0]) and first[0] != "127.0.0.53" and not self.host_loopback:
            log.notice(
                f"the host's resolver is on {first[0]}, so the container reaches that address"
                " through its own resolver's; --dns ADDRESS closes it"
            )

    def describe(self) -> list[str]:
        """The network and each published port."""
        loopback = "open" if self.host_loopback else "closed"
        families = "IPv4 and IPv6" if self.ipv6 else "IPv4"
        return [
            f"network: slirp4netns on {slirp4netns.TAP}, {self.container_address} through"
            f" {self.gateway}, {families}, host loopback {loopback}",
            *(f"publish {port} (IPv4)" for port in self.ports),
        ]

    def settings(self) -> slirp4netns.Settings:
        """The program's side of the options."""
        options = self.choice.options
        names = (("outbound_addr", "--outbound-addr"), ("outbound_addr6", "--outbound-addr6"))
        return slirp4netns.Settings(
            cidr=self.cidr,
            mtu=int(options.get("mtu", "65520")),
            ipv6=self.ipv6,
            host_loopback=self.host_loopback,
            resolver=self.has_own_resolver,
            outbound=[f"{flag}={options[name]}" for name, flag in names if name in options],
        )

    def check(self) -> None:
        """The program, the tap device, the ports."""
        spawn.find("slirp4netns", "slirp4netns")
        check_tun()
        if self.choice.options.get("port_handler") == "rootlesskit":
            log.notice("port_handler=rootlesskit: ports are forwarded by slirp4netns itself")
        self.ports = hostports.resolve(self.ports, both_families=False)

    def start(self, userns_path: str | None, netns_path: str, *, runtime_dir: str) -> Forwarding:
        """It ends when the last copy of its owner's descriptor (Running.fds) is closed."""
        return Forwarding(self, userns_path, netns_path, f"{runtime_dir}/slirp4netns")


class Forwarding(Program):
    """A running slirp4netns and its ports."""

    def __init__(
        self, driver: Slirp4netns, userns_path: str | None, netns_path: str, api_folder: str
    ) -> None:
        super().__init__(driver.ports)
        self._settings = driver.settings()
        self._target = int(netns_path.split("/")[2])
        self._proxy: NamespaceProxy | None = None
        if userns_path and int(userns_path.split("/")[2]) != self._target:
            from rootless.tools.nsproxy import NamespaceProxy

            self._proxy = NamespaceProxy(userns_path, netns_path)
            self._target = self._proxy.pid
        self._folder = api_folder
        self._relay = LoopbackUdp(
            [] if driver.host_loopback else self.ports,
            driver.container_address or "", userns_path, netns_path, both_families=False,
        )  # fmt: skip
        if self.ports:
            slirp4netns.make_api_folder(api_folder)
        self._spawn()

    def _spawn(self) -> None:
        started = slirp4netns.start(
            self._settings, self._target, self._folder if self.ports else None
        )
        self.adopt(started.child, ready=started.ready, words=started.words, owner=started.owner)

    def retry(self, words: str) -> bool:
        """Once more without a protection of its own that the host does not allow."""
        missing = slirp4netns.lacking_protection(words)
        if missing is None or missing in self._settings.unprotected:
            return False
        log.notice(f"slirp4netns: its own {missing} does not work on this host, going without")
        self._settings.unprotected.add(missing)
        self.close()
        self._spawn()
        return True

    def failure(self, words: str) -> HostNetworkError:
        """With the reason that slirp4netns gave."""
        reason = slirp4netns.complaint(words)
        return HostNetworkError(f"slirp4netns: {reason}", hint=_hint(reason))

    def forward_ports(self) -> None:
        """Ask the API for each port, then take its socket away."""
        self._close_proxy()
        for port in self.ports:
            if self._relay.has_alone(port):
                continue
            log.effect(f"publish {port}")
            if not slirp4netns.add_hostfwd(self._folder, port):
                hostports.resolve([port], both_families=False)
                raise NetworkSetupError(
                    f"port {port.host_port}/{port.protocol} on {port.host_ip or '0.0.0.0'}:"
                    " slirp4netns could not bind it",
                    hint=f"ss -lntup 'sport = :{port.host_port}'",
                )
        self._remove_folder()
        # Last: slirp4netns lets its UDP ports be shared, but only once it has bound them itself.
        self._relay.start()
        self._relay.wait_ready()

    def stop(self, *, wait: bool = True) -> None:
        """End it and remove its API socket; idempotent."""
        self._relay.stop()
        super().stop(wait=wait)
        self._remove_folder()
        self._close_proxy()

    def fds(self) -> list[int]:
        """Those of slirp4netns and of the relay."""
        return super().fds() + self._relay.fds()

    def _close_proxy(self) -> None:
        if self._proxy is not None:
            self._proxy.close()
            self._proxy = None

    def _remove_folder(self) -> None:
        if self.ports:
            slirp4netns.remove_api_folder(self._folder)


def _hint(reason: str) -> str:
    if TUN in reason:
        return f"ls -l {TUN}; sudo modprobe tun; sudo chmod 0666 {TUN}"
    if "option" in reason:
        return "slirp4netns --version  (1.0 or newer is needed)"
    return _RUN_WITHOUT


def host_has_ipv6() -> bool:
    """Whether the host has any IPv6 address: without one the container would only try in vain."""
    try:
        with open("/proc/net/if_inet6") as file:
            return bool(file.read(1))
    except OSError:
        return False
