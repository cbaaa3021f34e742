"""Which proxy a URL goes through, from the environment, as Go's and curl's programs read it.

http_proxy (lowercase only where a CGI request could have set the other), https_proxy, all_proxy
and no_proxy, whose entries are host names, domains with or without a leading dot, addresses,
networks in CIDR form, each with an optional port, or `*`.
"""

from __future__ import annotations

import base64
import ipaddress
import os
from urllib.parse import unquote, urlsplit

from rootless.errors import RegistryError
from rootless.model.registries import is_loopback

TYPE_CHECKING = False
if TYPE_CHECKING:
    IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


class Proxy:
    """A proxy's address and the headers that open it."""

    __slots__ = ("headers", "host", "port")

    def __init__(self, host: str, port: int, headers: dict[str, str]) -> None:
        self.host = host
        self.port = port
        self.headers = headers


def for_url(scheme: str, host: str, port: int) -> Proxy | None:
    """The proxy for a request, None for a direct one. Raises RegistryError for an unusable one."""
    text = _setting(f"{scheme}_proxy") or _setting("all_proxy")
    shown_host = f"[{host}]" if ":" in host else host
    if not text or is_loopback(shown_host) or _is_exempt(host, port, _setting("no_proxy")):
        return None
    return _parse(text if "://" in text else f"http://{text}")


def _setting(name: str) -> str:
    value = os.environ.get(name, "")
    if not value and not (name == "http_proxy" and "REQUEST_METHOD" in os.environ):
        value = os.environ.get(name.upper(), "")
    return value


def _parse(text: str) -> Proxy:
    parts = urlsplit(text)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if parts.scheme != "http" or not parts.hostname or port == 0:
        # The text may hold a password: it is not repeated.
        raise RegistryError("proxy from the environment: only http://HOST:PORT is supported")
    headers = {}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return Proxy(parts.hostname, port or 80, headers)


def _is_exempt(host: str, port: int, rules: str) -> bool:
    words = [word.strip().lower() for word in rules.replace(" ", ",").split(",")]
    return any(_exempts(word, host.lower(), port) for word in words if word)


def _exempts(rule: str, host: str, port: int) -> bool:
    if rule == "*":
        return True
    network = _network(rule)
    if network is not None:
        address = _network(host)
        return (
            address is not None
            and address.version == network.version
            and (address.network_address in network)
        )
    name, colon, wanted_port = rule.rpartition(":")
    if colon and wanted_port.isdigit():
        return port == int(wanted_port) and _exempts(name.strip("[]"), host, port)
    domain = rule.lstrip("*").lstrip(".")
    return host.endswith(f".{domain}") or (host == domain and not rule.startswith("."))


def _network(text: str) -> IpNetwork | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
