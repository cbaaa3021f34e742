"""`--network container:NAME`: the network of another container, which has seen to it."""

from __future__ import annotations

from rootless.net.driver import Driver


class ContainerNetwork(Driver):
    """Nothing to set up; ports are published by the other container."""

    name = "container"
    joins = True

    def describe(self) -> list[str]:
        """One line: nothing is made."""
        return ["network: another container's"]
