"""`--network host`: the host's own network, ports and all."""

from __future__ import annotations

from rootless import log
from rootless.net.driver import Driver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.model.network import NetworkChoice
    from rootless.model.ports import PortMapping


class HostNetwork(Driver):
    """No namespace, so no forwarding: `-p` is told to be without effect, as docker does."""

    name = "host"
    new_namespace = False
    # Loopback is shared with the host, so it is also where the container and the host meet.
    container_address = "127.0.0.1"
    host_alias = "127.0.0.1"

    def __init__(self, choice: NetworkChoice, ports: Sequence[PortMapping]) -> None:
        if ports:
            log.warn("-p has no effect with --network host: the container's ports are the host's")
        super().__init__(choice, [])

    def resolv(
        self,
        host_resolv_text: str,
        dns: Sequence[str],
        search: Sequence[str],
        options: Sequence[str],
    ) -> str:
        """The host's text as it is, comments too, unless a flag changes it."""
        if not (dns or search or options):
            return host_resolv_text
        return super().resolv(host_resolv_text, dns, search, options)

    def describe(self) -> list[str]:
        """One line: nothing is made."""
        return ["network: the host's"]
