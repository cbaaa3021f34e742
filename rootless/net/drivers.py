"""The network drivers by name; only the one that is asked for is imported."""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.net.driver import Driver
from rootless.net.running import Running

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.model.network import NetworkChoice
    from rootless.model.ports import PortMapping

__all__ = ["Driver", "Running", "make"]

# name → (module below rootless.net, class)
_DRIVERS = {
    "none": ("none", "NoNetwork"),
    "host": ("host", "HostNetwork"),
    "slirp4netns": ("slirp4netns", "Slirp4netns"),
    "pasta": ("pasta", "Pasta"),
    "container": ("container", "ContainerNetwork"),
}


def make(choice: NetworkChoice, ports: Sequence[PortMapping], *, dns: Sequence[str] = ()) -> Driver:
    """The driver that `choice` names, for a container that publishes `ports`.

    dns: the --dns flags; with any, the driver's own resolver is switched off where it has one.
    Raises UsageError where driver and ports do not go together.
    """
    if choice.driver not in _DRIVERS:
        raise UsageError(f"--network {choice.driver}: there is {', '.join(_DRIVERS)}")
    module, name = _DRIVERS[choice.driver]
    found = __import__(f"rootless.net.{module}", fromlist=[name])
    driver: Driver = getattr(found, name)(choice, ports)
    driver.has_own_resolver = not dns
    return driver
