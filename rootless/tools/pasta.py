"""pasta(1) of the passt project: the host's own sockets in place of a TCP/IP stack.

Written against Debian 12's version of March 2023; its flags are still those of later ones.
"""

from __future__ import annotations

import os

from rootless.kernel import signals
from rootless.tools import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.model.ports import PortMapping

# What it writes besides reasons: it logs to a syslog that a sandboxed or small host has not.
_CHATTER = ("Failed to send ",)


class Settings:
    """What one pasta is told. mtu: bytes. interface: the host's one to take after, "" for the one
    with the default route. outbound: source addresses."""

    __slots__ = ("host_loopback", "interface", "ipv6", "mtu", "outbound")

    def __init__(
        self, *, mtu: int, ipv6: bool, host_loopback: bool, interface: str, outbound: list[str]
    ) -> None:
        self.mtu = mtu
        self.ipv6 = ipv6
        self.host_loopback = host_loopback
        self.interface = interface
        self.outbound = outbound

    def flags(self) -> list[str]:
        """The flags that follow from the settings; ports of the host are never opened inwards."""
        flags = ["--config-net", "--mtu", str(self.mtu), "-T", "none", "-U", "none"]
        flags += [] if self.host_loopback else ["--no-map-gw"]
        flags += [] if self.ipv6 else ["--ipv4-only"]
        flags += ["--interface", self.interface] if self.interface else []
        for address in self.outbound:
            flags += ["--outbound", address]
        return flags


class Started:
    """A pasta on its way up. ready: a line comes when it is up, the pipe's end when it failed.
    words: its standard error."""

    __slots__ = ("child", "ready", "words")

    def __init__(self, child: spawn.Child, *, ready: int, words: int) -> None:
        self.child = child
        self.ready = ready
        self.words = words


def start(
    settings: Settings,
    ports: Sequence[PortMapping],
    userns: str | None,
    netns: str,
    *,
    outlives_us: bool = False,
) -> Started:
    """Start it on the network namespace at `netns`, which belongs to the user namespace `userns`
    (None: the caller's). It dies with the calling thread, unless it is to outlive that: then it
    ends with the namespace. HostError when it is not installed."""
    argv = [spawn.find("pasta", "passt"), "--foreground", "--quiet", "--stderr"]
    # It writes its pid once everything is up, and later versions close every descriptor but the
    # standard ones: so the pid "file" is standard output.
    argv += ["--pid", "/proc/self/fd/1", *settings.flags(), *port_flags(ports)]
    argv += ["--userns", userns] if userns else ["--netns-only"]
    ready, to_ready = os.pipe()
    words, to_words = os.pipe()
    try:
        child = spawn.spawn(
            [*argv, "--netns", netns],
            stdout=to_ready, stderr=to_words, own_session=True,
            die_with_parent=0 if outlives_us else signals.SIGKILL,
        )  # fmt: skip
    finally:
        os.close(to_ready)
        os.close(to_words)
    return Started(child, ready=ready, words=words)


def port_flags(ports: Sequence[PortMapping]) -> list[str]:
    """`-t` and `-u`, one for each port: a list cannot hold addresses."""
    flags = []
    for flag, protocol in (("-t", "tcp"), ("-u", "udp")):
        specs = [_spec(port) for port in ports if port.protocol == protocol]
        for spec in specs or ["none"]:
            flags += [flag, spec]
    return flags


def _spec(port: PortMapping) -> str:
    pair = f"{port.host_port}:{port.container_port}"
    return f"{port.host_ip}/{pair}" if port.host_ip else pair


def complaint(words: str) -> str:
    """What of its standard error tells why it failed, in one line."""
    lines = (_without_time(line.strip()) for line in words.splitlines())
    return spawn.last_words("\n".join(lines), besides=_CHATTER)


def _without_time(line: str) -> str:
    stamp, _, rest = line.partition(": ")
    return rest.strip() if stamp.replace(".", "").isdigit() else line
