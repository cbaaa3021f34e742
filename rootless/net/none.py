"""`--network none`: a network namespace with nothing but loopback."""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.net.driver import Driver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.model.network import NetworkChoice
    from rootless.model.ports import PortMapping


class NoNetwork(Driver):
    """Publishing is refused: nothing could reach the port."""

    name = "none"
    loopback_by_us = True

    def __init__(self, choice: NetworkChoice, ports: Sequence[PortMapping]) -> None:
        if ports:
            raise UsageError(
                f"-p {ports[0]}: --network none has no ports to publish",
                hint="leave out --network none, or -p",
            )
        super().__init__(choice, ports)

    def describe(self) -> list[str]:
        """One line: the namespace comes with the container's others."""
        return ["network: none, loopback only"]
