"""Which network a container gets: what was asked for, else the best that works on this host."""

from __future__ import annotations

from rootless import log
from rootless.engine import trials
from rootless.errors import HostError
from rootless.model import network as network_model
from rootless.model.network import NetworkChoice
from rootless.net import drivers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.model.container import ContainerSpec
    from rootless.model.ports import PortMapping
    from rootless.net.drivers import Driver
    from rootless.store.verdicts import Verdicts

# What users write, or leave out, who want any network that there is.
_ANY = ("", "default")
# In this order; each lets a container keep its network to itself.
ISOLATING = (network_model.DEFAULT_DRIVER, "pasta")
# The start of a reason that holds for both.
_NAMESPACES = "namespaces:"
_HINTS = {
    "not installed": "sudo apt-get install slirp4netns",
    "/dev/net/tun": "sudo modprobe tun; sudo chmod 0666 /dev/net/tun",
    _NAMESPACES: "sudo sysctl user.max_net_namespaces=28633",
}


def choose(spec: ContainerSpec, config: dict[str, Any], verdicts: Verdicts) -> Driver:
    """The driver for `spec` and an image's config.

    Where nobody asked for one of its own, a container may get the host's network; that, and every
    other than the default, is said. Raises UsageError, and HostError for what cannot be met.
    """
    ports = list(spec.ports)
    if spec.publish_all:
        from rootless.model import ports as port_model

        ports += port_model.exposed_ports(config)
    if spec.network not in _ANY:
        return drivers.make(network_model.parse_network(spec.network), ports, dns=spec.dns)
    name, refused = _isolating(verdicts)
    if name:
        return _found(name, ports, spec, refused)
    demand = _demand(spec, ports)
    if demand:
        raise HostError(
            f"{demand}: there is no network of its own for the container: {_text(refused)}",
            hint=_hint(refused),
        )
    return _host(spec, refused)


def describe(verdicts: Verdicts) -> str:
    """The driver of a container for which nobody asks for any, and why not a better one."""
    name, refused = _isolating(verdicts)
    return f"{name or 'host'} ({_text(refused)})" if refused else name


def _isolating(verdicts: Verdicts) -> tuple[str, list[str]]:
    """The first that works, "" without any, and why those before it do not."""
    refused: list[str] = []
    for name in ISOLATING:
        reason = trials.network(verdicts, name)
        if not reason:
            return name, refused
        refused.append(reason)
        if reason.startswith(_NAMESPACES):
            break
    return "", refused


def _found(name: str, ports: list[PortMapping], spec: ContainerSpec, refused: list[str]) -> Driver:
    driver = drivers.make(NetworkChoice(name), ports, dns=spec.dns)
    if refused:
        driver.is_instead = True
        log.notice(f"{refused[0]}; the network is {name}'s instead ({_hint(refused)})")
    return driver


def _host(spec: ContainerSpec, refused: list[str]) -> Driver:
    driver = drivers.make(NetworkChoice("host"), [], dns=spec.dns)
    driver.is_instead = True
    log.notice(f"{_text(refused)}; the container shares the host's network ({_hint(refused)})")
    return driver


def _text(refused: list[str]) -> str:
    return "; ".join(dict.fromkeys(refused))


def _hint(refused: list[str]) -> str:
    found = (hint for sign, hint in _HINTS.items() if sign in refused[0])
    return next(found, "rl run --network host …")


def _demand(spec: ContainerSpec, ports: list[PortMapping]) -> str:
    """What can only be had in a network namespace, "" for nothing."""
    if ports:
        return f"-p {ports[0]}"
    found = (name for name in spec.sysctls if name.startswith("net."))
    return next((f"--sysctl {name}" for name in found), "")
