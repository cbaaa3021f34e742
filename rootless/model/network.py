"""What `--network` says. Pure.

The names are podman's (podman-run(1), "--network"); `bridge`, `default` and `private`, which docker
users write, mean the default driver.
"""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.model.digits import number
from rootless.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_DRIVER = "slirp4netns"
_SHORT_ID = 12
_DOCKERS_NAMES = ("", "bridge", "default", "private")
_EXISTING = "none, host, container:NAME, slirp4netns[:OPTIONS], pasta[:OPTIONS]"
CONTAINER = "container"

# A value's kind follows its option; podman-run(1) has the same names and defaults.
_KINDS = {
    "cidr": "cidr",
    "mtu": "mtu",
    "enable_ipv6": "bool",
    "allow_host_loopback": "bool",
    "port_handler": "handler",
    "outbound_addr": "text",
    "outbound_addr6": "text",
    "interface": "text",
}
_OPTIONS = {
    "slirp4netns": (
        "cidr", "mtu", "enable_ipv6", "allow_host_loopback", "port_handler",
        "outbound_addr", "outbound_addr6",
    ),
    "pasta": (
        "mtu", "enable_ipv6", "allow_host_loopback", "interface", "outbound_addr", "outbound_addr6"
    ),
}  # fmt: skip


class NetworkChoice(Value):
    """A driver by name and its options, checked, as text."""

    __slots__ = ("driver", "options")

    def __init__(self, driver: str, options: dict[str, str] | None = None) -> None:
        self.driver = driver
        self.options = options or {}

    def flag(self, name: str, *, default: bool) -> bool:
        """A boolean option, `default` when it was not given."""
        return self.options[name] == "true" if name in self.options else default


def parse_network(text: str) -> NetworkChoice:
    """The value of `--network`. Raises UsageError, which lists what exists."""
    name, colon, rest = text.partition(":")
    if name in _DOCKERS_NAMES and not colon:
        return NetworkChoice(DEFAULT_DRIVER)
    if name in ("none", "host") and not colon:
        return NetworkChoice(name)
    if name == CONTAINER and rest:
        return NetworkChoice(CONTAINER)
    if name in _OPTIONS:
        return NetworkChoice(name, _parse_options(name, rest, text))
    raise UsageError(f"--network {text}: no such network; there is {_EXISTING}")


def of_record(record: dict[str, Any]) -> str:
    """The `--network` that a container has, by its record: the wish, or what it got instead."""
    return str(record.get("network_used") or record.get("network") or "")


def driver_of(text: str) -> str:
    """The driver that a `--network` which was accepted once names; the name itself for others."""
    name, _, rest = text.partition(":")
    if name == CONTAINER:
        return f"{CONTAINER}:{rest[:_SHORT_ID]}"
    return DEFAULT_DRIVER if name in _DOCKERS_NAMES else name


def _parse_options(driver: str, rest: str, text: str) -> dict[str, str]:
    options = {}
    for item in rest.split(",") if rest else ():
        key, _, value = item.partition("=")
        if key not in _OPTIONS[driver]:
            known = ", ".join(_OPTIONS[driver])
            raise UsageError(f"--network {text}: {driver} has no option {key!r}; there is {known}")
        wanted = _wanted(_KINDS[key], value)
        if wanted:
            raise UsageError(f"--network {text}: {key} is {wanted}, not {value!r}")
        options[key] = value
    return options


def _wanted(kind: str, value: str) -> str:
    """What a value of `kind` has to be when `value` is not, else ""."""
    if kind == "bool":
        return "" if value in ("true", "false") else "true or false"
    if kind == "mtu":
        return "a number from 68 to 65520" if number(value, 68, 65520) is None else ""
    if kind == "cidr":
        return "" if _is_ipv4_network(value) else "an IPv4 network such as 10.0.2.0/24"
    if kind == "handler":
        return "" if value in ("slirp4netns", "rootlesskit") else "slirp4netns"
    return "" if value else "an address or an interface"


def _is_ipv4_network(text: str) -> bool:
    from rootless.model.ports import is_address

    address, _, bits = text.partition("/")
    # slirp4netns needs room for its addresses .2, .3 and .100 (slirp4netns(1), "--cidr").
    return ":" not in address and is_address(address) and number(bits, 1, 25) is not None


def address_in(cidr: str, number: int) -> str:
    """The IPv4 address that lies `number` after the start of `cidr`."""
    address, _, bits = cidr.partition("/")
    value = 0
    for part in address.split("."):
        value = value * 256 + int(part)
    value = (value >> (32 - int(bits)) << (32 - int(bits))) + number
    return ".".join(str(value >> shift & 255) for shift in (24, 16, 8, 0))
