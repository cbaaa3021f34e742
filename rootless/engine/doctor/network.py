"""Networks of containers: which drivers come up. Pure."""

from __future__ import annotations

import errno
import os

from rootless.engine.doctor import namespaces
from rootless.engine.doctor.finding import (
    ADMINISTRATOR,
    REDUCED,
    Finding,
    Fix,
    open_device,
    unneeded,
    works,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DEFAULT, _OTHER = "slirp4netns", "pasta"
_WHY = "networks for containers"
_TUN = "/dev/net/tun"
_HOSTS = "containers share the host's network; -p and the like are refused"
_PASTAS = "the network is pasta's: containers do not reach the host under its own address"


def judge(told: dict[str, dict[str, Any]], *, namespace: int) -> list[Finding]:
    """told: the facts of probes.network by driver. namespace: the errno of a network namespace, 0
    where there can be one."""
    if namespace:
        return [_namespace(namespace, told[_DEFAULT]["most"])]
    facts = told[_DEFAULT]
    return [_tun(facts), _first(told), _second(told), _ports(facts["lowest_port"])]


def _namespace(number: int, most: int | None) -> Finding:
    reason = os.strerror(number).lower()
    fix = None
    if number == errno.ENOSPC:
        reason = f"the limit user.max_net_namespaces ({most}) is reached"
        command = "sudo sysctl -w user.max_net_namespaces=28633"
        fix = Fix(ADMINISTRATOR, f"{_WHY} of their own", namespaces.lasting(command))
    found = f"there can be no network namespace: {reason}"
    return Finding("network-namespace", REDUCED, found, _HOSTS, fix)


def _tun(facts: dict[str, Any]) -> Finding:
    problem = facts["tun"]
    if not problem:
        return works("dev-net-tun", f"{_TUN} can be opened")
    fix = Fix(
        ADMINISTRATOR, f"{_WHY}: the tun device", open_device(_TUN, "tun", facts["container"])
    )
    return Finding("dev-net-tun", REDUCED, f"{_TUN}: {problem.lower()}", _HOSTS, fix)


def _first(told: dict[str, dict[str, Any]]) -> Finding:
    facts = told[_DEFAULT]
    if not facts["reason"]:
        return works(_DEFAULT, f"{_version(facts)}; a tap device came up")
    if facts["tun"] and facts["path"]:
        return unneeded(_DEFAULT, f"{facts['path']} is of no use without a device")
    meaning = _HOSTS if told[_OTHER]["reason"] else _PASTAS
    return Finding(_DEFAULT, REDUCED, facts["reason"], meaning, _install(_DEFAULT, facts))


def _second(told: dict[str, dict[str, Any]]) -> Finding:
    facts, first = told[_OTHER], told[_DEFAULT]
    if not facts["reason"]:
        use = "is used" if first["reason"] else "came up (--network pasta)"
        return works(_OTHER, f"{_version(facts)}; {use}")
    if facts["tun"] and facts["path"]:
        return unneeded(_OTHER, f"{facts['path']} is of no use without a device")
    # Of the two, one is enough.
    needed = "not needed" if not first["reason"] else f"{_DEFAULT} alone would do"
    return unneeded(_OTHER, f"{facts['reason']}; {needed}")


def _version(facts: dict[str, Any]) -> str:
    return f"{facts['version']} ({facts['path']})" if facts["version"] else str(facts["path"])


def _install(name: str, facts: dict[str, Any]) -> Fix | None:
    if facts["path"]:
        return None
    command = f"sudo apt-get install {name}"
    return Fix(ADMINISTRATOR, f"{_WHY}: {name}", command)


def _ports(lowest: int | None) -> Finding:
    lowest = 1024 if lowest is None else lowest
    if lowest <= 1:
        return works("ports", "all can be published")
    return works("ports", f"can be published from {lowest} on")
