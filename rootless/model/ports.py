"""Published ports: what `-p`, `-P` and `--expose` say, as docker and podman read them.

Forms of `-p` (docker-run(1), "--publish"): `80`, `8080:80`, `127.0.0.1:8080:80`, `127.0.0.1::80`,
`[::1]:8080:80`, each with ranges of one length (`8000-8010:80-90`) and `/tcp` or `/udp`. Pure.
"""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.model.digits import number
from rootless.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ANYWHERE = ("", "0.0.0.0", "::")
_EXAMPLE = "rl run -p 8080:80 …, -p 127.0.0.1:8080:80, -p 8000-8010:80-90/udp"


class PortMapping(Value):
    """One port of the host that leads to one port of the container.

    host_ip: an address of the host, "" for all of them.
    host_port: 0 when a free one is to be chosen.
    protocol: "tcp" or "udp".
    """

    __slots__ = ("container_port", "host_ip", "host_port", "protocol")

    def __init__(self, host_ip: str, host_port: int, container_port: int, protocol: str) -> None:
        self.host_ip = host_ip
        self.host_port = host_port
        self.container_port = container_port
        self.protocol = protocol

    def __str__(self) -> str:
        """As `docker ps` shows it: `0.0.0.0:8080->80/tcp`."""
        address = self.host_ip or "0.0.0.0"
        shown = f"[{address}]" if ":" in address else address
        return f"{shown}:{self.host_port}->{self.container_port}/{self.protocol}"

    def fields(self) -> dict[str, str | int]:
        """As a JSON document; `PortMapping(**fields)` is the inverse."""
        return {
            "host_ip": self.host_ip, "host_port": self.host_port,
            "container_port": self.container_port, "protocol": self.protocol,
        }  # fmt: skip

    def with_host_port(self, number: int) -> PortMapping:
        """The same mapping from host port `number`."""
        return PortMapping(self.host_ip, number, self.container_port, self.protocol)


def parse_publish(text: str, flag: str = "-p") -> list[PortMapping]:
    """The mappings of one `-p` value, one for each port of a range. Raises UsageError."""
    rest, protocol = _split_protocol(text, text, flag)
    host_ip, rest = _split_address(rest, text, flag)
    host, _, container = rest.rpartition(":")
    inside = _parse_range(container, text, flag)
    outside = _parse_range(host, text, flag) if host else [0] * len(inside)
    if len(inside) != len(outside):
        raise _refuse(
            text, flag, f"{len(outside)} host ports cannot lead to {len(inside)} container ports"
        )
    return [PortMapping(host_ip, *pair, protocol) for pair in zip(outside, inside)]


def _refuse(text: str, flag: str, reason: str) -> UsageError:
    return UsageError(f"{flag} {text}: {reason}", hint=_EXAMPLE)


def _split_protocol(part: str, text: str, flag: str) -> tuple[str, str]:
    rest, slash, protocol = part.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol == "sctp":
        raise _refuse(text, flag, "no user-mode network forwards SCTP, only tcp and udp")
    if protocol not in ("tcp", "udp"):
        raise _refuse(text, flag, f"unknown protocol {protocol!r}, tcp and udp exist")
    return rest, protocol


def _split_address(rest: str, text: str, flag: str) -> tuple[str, str]:
    """The host address, "" when none is named, and `HOST:CONTAINER` or `CONTAINER`."""
    if rest.startswith("["):
        address, closing, ports = rest[1:].partition("]:")
        if not closing:
            raise _refuse(text, flag, "an IPv6 address is written [::1]:8080:80")
    elif rest.count(":") == 2:
        address, _, ports = rest.partition(":")
    elif rest.count(":") > 2:
        raise _refuse(text, flag, "an IPv6 address is written in brackets: [::1]:8080:80")
    else:
        return "", rest
    if not is_address(address):
        raise _refuse(text, flag, f"{address!r} is not an IP address")
    return address, ports


def is_address(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 address, without brackets or scope."""
    # The C module alone: `socket` costs several milliseconds of import.
    import _socket

    family = _socket.AF_INET6 if ":" in text else _socket.AF_INET
    try:
        _socket.inet_pton(family, text)
    except (OSError, ValueError):
        return False
    return True


def _parse_range(part: str, text: str, flag: str) -> list[int]:
    first, dash, last = part.partition("-")
    low = _parse_number(first, text, flag)
    high = _parse_number(last, text, flag) if dash else low
    if high < low:
        raise _refuse(text, flag, f"the range {part} ends before it starts")
    return list(range(low, high + 1))


def _parse_number(part: str, text: str, flag: str) -> int:
    port = number(part, 1, 65535)
    if port is None:
        raise _refuse(text, flag, f"{part[:20]!r} is not a port number from 1 to 65535")
    return port


def parse_expose(text: str, flag: str = "--expose") -> list[PortMapping]:
    """`80`, `80/udp`, `80-90/tcp`: mappings for which `-P` chooses host ports. UsageError."""
    rest, protocol = _split_protocol(text, text, flag)
    return [PortMapping("", 0, port, protocol) for port in _parse_range(rest, text, flag)]


def exposed_ports(config: Mapping[str, object]) -> list[PortMapping]:
    """What `-P` publishes of an image: the keys of its config's ExposedPorts (image-spec,
    config.md). Entries that are no ports are left out: they are the image author's, not the
    user's, mistake."""
    exposed = config.get("ExposedPorts")
    result: list[PortMapping] = []
    for text in exposed if isinstance(exposed, dict) else ():
        try:
            result += parse_expose(text)
        except (UsageError, AttributeError):
            continue
    return result


def find_conflict(ports: Iterable[PortMapping]) -> tuple[PortMapping, PortMapping] | None:
    """The first two mappings that want the same port of the host, None when all go together."""
    seen: dict[tuple[str, int], list[PortMapping]] = {}
    for port in ports:
        if port.host_port:
            rivals = seen.setdefault((port.protocol, port.host_port), [])
            for other in rivals:
                if port.host_ip == other.host_ip or _overlap(port.host_ip, other.host_ip):
                    return other, port
            rivals.append(port)
    return None


def _overlap(one: str, other: str) -> bool:
    """Whether two different host addresses share a port: one stands for all of a family."""
    if "" in (one, other):
        return True
    return (":" in one) == (":" in other) and (one in _ANYWHERE or other in _ANYWHERE)


def shown(ports: Iterable[PortMapping]) -> str:
    """As the column PORTS of `docker ps`: `0.0.0.0:8080->80/tcp, 0.0.0.0:90-92->90-92/udp`.

    Ports in a row that keep their numbers are one entry, as docker has it; they come after others.
    """
    single: list[str] = []
    spans: dict[tuple[str, str], list[list[int]]] = {}
    for port in sorted(ports, key=lambda one: (one.container_port, one.host_ip, one.protocol)):
        if port.host_port != port.container_port:
            single.append(str(port))
            continue
        known = spans.setdefault((port.host_ip, port.protocol), [])
        if known and known[-1][1] + 1 == port.container_port:
            known[-1][1] = port.container_port
        else:
            known.append([port.container_port, port.container_port])
    return ", ".join(single + [_span(*key, *span) for key in spans for span in spans[key]])


def _span(host_ip: str, protocol: str, first: int, last: int) -> str:
    if first == last:
        return str(PortMapping(host_ip, first, first, protocol))
    address = str(PortMapping(host_ip, 0, 0, protocol)).partition(":0->")[0]
    return f"{address}:{first}-{last}->{first}-{last}/{protocol}"
