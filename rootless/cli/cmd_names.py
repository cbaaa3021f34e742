"""`rl rename` and `rl port`."""

from __future__ import annotations

from rootless.cli import output
from rootless.cli.options import Argument, Parsed, Signature
from rootless.errors import RlError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.model.ports import PortMapping


def rename(parsed: Parsed) -> int:
    """Give a container another name."""
    from rootless.engine import recover
    from rootless.engine import rename as engine_rename
    from rootless.store import paths

    places = paths.discover()
    recover.tidy(places)
    engine_rename.rename(places, parsed.arguments[0], parsed.arguments[1])
    return 0


def port(parsed: Parsed) -> int:
    """List the ports of the host that lead to a container, or those that lead to one port."""
    from rootless.engine import live, recover
    from rootless.model.ports import PortMapping
    from rootless.store import paths

    places = paths.discover()
    recover.tidy(places)
    found = live.find(places, parsed.arguments[0])
    published = [PortMapping(**row) for row in found.state.get("ports", [])]
    published.sort(key=lambda one: (one.container_port, one.protocol, one.host_port))
    if len(parsed.arguments) == 1:
        for one in published:
            output.write_line(f"{one.container_port}/{one.protocol} -> {_host_side(one)}")
        return 0
    wanted = parsed.arguments[1]
    number, _, protocol = wanted.partition("/")
    fitting = [
        one for one in published
        if str(one.container_port) == number and one.protocol == (protocol or "tcp").lower()
    ]  # fmt: skip
    if not fitting:
        raise RlError(
            f"container {found.text}: no public port {number}/{protocol or 'tcp'} is published",
            hint=f"rl port {found.text}",
        )
    for one in fitting:
        output.write_line(_host_side(one))
    return 0


def _host_side(port: PortMapping) -> str:
    address = port.host_ip or "0.0.0.0"
    shown = f"[{address}]" if ":" in address else address
    return f"{shown}:{port.host_port}"


RENAME = Signature(
    rename,
    "Give a container, which may run, another name. Its host name stays.",
    (),
    (Argument("CONTAINER"), Argument("NEW_NAME")),
)

PORT = Signature(
    port,
    "List the ports of the host that lead to a running container.",
    (),
    (Argument("CONTAINER"), Argument("PORT[/PROTO]", 0)),
    examples=("rl port web", "rl port web 80/tcp"),
)
