"""The texts of /etc/hosts and /etc/resolv.conf (hosts(5), resolv.conf(5)). Pure."""

from __future__ import annotations

# The files that follow from the network.
PATHS = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# resolv.h's MAXNS: a resolver reads no more name servers than that.
_MOST_SERVERS = 3
_HOST_ALIASES = ("host.containers.internal", "host.docker.internal")
_LOCALHOST = (
    ("127.0.0.1", "localhost"),
    ("::1", "localhost ip6-localhost ip6-loopback"),
)


def hosts_text(
    hostname: str,
    names: Sequence[str],
    address: str | None,
    extra: Iterable[tuple[str, str]],
    *,
    host_alias_ip: str | None,
) -> str:
    """/etc/hosts of a container.

    hostname and names: what it is called; they lead to `address`, to loopback without one.
    extra: `(name, ip)` of --add-host; they stand before ours, so that they win.
    host_alias_ip: where the host can be reached; without it host.containers.internal is left out.
    """
    rows = [*_LOCALHOST, *((ip, name) for name, ip in extra)]
    own = " ".join(dict.fromkeys([hostname, *names]))
    rows.append((address or "127.0.0.1", own))
    taken = {name for _, line in rows for name in line.split()}
    aliases = [name for name in _HOST_ALIASES if name not in taken]
    if host_alias_ip and aliases:
        rows.append((host_alias_ip, " ".join(aliases)))
    return "".join(f"{ip}\t{line}\n" for ip, line in rows if line)


class Resolv:
    """What a resolv.conf says: name servers, search domains, options; all in order."""

    __slots__ = ("options", "search", "servers")

    def __init__(self, servers: list[str], search: list[str], options: list[str]) -> None:
        self.servers = servers
        self.search = search
        self.options = options

    def text(self) -> str:
        """As the file; empty lines are left out."""
        rows = []
        if self.search:
            rows.append(f"search {' '.join(self.search)}")
        rows += [f"nameserver {server}" for server in self.servers[:_MOST_SERVERS]]
        if self.options:
            rows.append(f"options {' '.join(self.options)}")
        return "".join(f"{row}\n" for row in rows)


def parse_resolv(text: str) -> Resolv:
    """resolv.conf(5): of `search` and `domain` the last one counts, options add up."""
    found = Resolv([], [], [])
    for line in text.splitlines():
        words = line.split()
        if not words or words[0][0] in "#;":
            continue
        if words[0] == "nameserver":
            found.servers += words[1:2]
        elif words[0] in ("search", "domain"):
            found.search = words[1:]
        elif words[0] == "options":
            found.options += words[1:]
    return found


def is_loopback(address: str) -> bool:
    """Whether a name server's address means the host's own loopback."""
    return address.startswith("127.") or address in ("::1", "0.0.0.0", "::")


def reachable(servers: Iterable[str]) -> list[str]:
    """The `servers` that another network namespace reaches: no loopback, no link-local scope."""
    return [server for server in servers if not is_loopback(server) and "%" not in server]


def resolv_text(
    host: Resolv,
    servers: Sequence[str],
    dns: Sequence[str],
    search: Sequence[str],
    options: Sequence[str],
) -> str:
    """resolv.conf of a container: the flags where given, else `servers` and the host's settings.

    dns, search, options: --dns, --dns-search (`.` alone means none) and --dns-option.
    """
    domains = [domain for domain in search if domain != "."] if search else host.search
    unique = list(dict.fromkeys(dns or servers))
    return Resolv(unique, domains, list(options) or host.options).text()
