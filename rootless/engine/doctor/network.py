"""Networks of containers: which drivers come up. Pure."""

from __future__ import annotations

import errno
import os

from rootless.engine.doctor import namespaces
from rootless.engine.doctor.finding import (
    ADMINISTRATOR,
    BROKEN,
    REDUCED,
    Finding,
    Fix,
    open_device,
    works,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DEFAULT, _OTHER = "slirp4netns", "pasta"
_WHY = "networks for containers"
_TUN = "/dev/net/tun"
_PACKAGES = {"slirp4netns": "slirp4netns", "pasta": "passt"}


def judge(told: dict[str, dict[str, Any]]) -> list[Finding]:
    """told: the facts of probes.network by driver."""
    facts = told[_DEFAULT]
    if facts["namespace"]:
        return [_namespace(facts)]
    return [_tun(facts), _first(told), _second(told), _ports(facts["lowest_port"])]


def _namespace(facts: dict[str, Any]) -> Finding:
    reason = os.strerror(facts["namespace"]).lower()
    fix = None
    if facts["namespace"] == errno.ENOSPC:
        reason = f"the limit user.max_net_namespaces ({facts['most']}) is reached"
        command = "sudo sysctl -w user.max_net_namespaces=28633"
        fix = Fix(ADMINISTRATOR, f"{_WHY} of their own", namespaces.lasting(command))
    found = f"there can be no network namespace: {reason}"
    return Finding("network-namespace", BROKEN, found, "rl run needs --network host", fix)


def _tun(facts: dict[str, Any]) -> Finding:
    problem = facts["tun"]
    if not problem:
        return works("dev-net-tun", f"{_TUN} can be opened")
    return Finding(
        "dev-net-tun", REDUCED, f"{_TUN}: {problem.lower()}",
        "containers have no network of their own",
        Fix(ADMINISTRATOR, f"{_WHY}: the tun device", open_device(_TUN, "tun", facts["container"])),
    )  # fmt: skip


def _first(told: dict[str, dict[str, Any]]) -> Finding:
    facts = told[_DEFAULT]
    if facts["refused"] is None:
        return works(_DEFAULT, f"{_version(facts)}; a tap device came up")
    other = told[_OTHER]["refused"] is None
    meaning = f"rl run needs --network {'pasta' if other else 'host'}"
    return Finding(_DEFAULT, BROKEN, _reason(facts), meaning, _install(_DEFAULT, facts))


def _second(told: dict[str, dict[str, Any]]) -> Finding:
    facts = told[_OTHER]
    if facts["refused"] is None:
        return works(_OTHER, f"{_version(facts)}; came up (--network pasta)")
    if told[_DEFAULT]["refused"] is None:
        return works(_OTHER, f"{_reason(facts)}; not needed")
    return Finding(_OTHER, REDUCED, _reason(facts), "no --network pasta", _install(_OTHER, facts))


def _version(facts: dict[str, Any]) -> str:
    return f"{facts['version']} ({facts['path']})" if facts["version"] else str(facts["path"])


def _reason(facts: dict[str, Any]) -> str:
    return "not installed" if not facts["path"] else str(facts["refused"][0])


def _install(name: str, facts: dict[str, Any]) -> Fix | None:
    if facts["path"]:
        return None
    command = f"sudo apt-get install {_PACKAGES[name]}"
    return Fix(ADMINISTRATOR, f"{_WHY}: {name}", command)


def _ports(lowest: int | None) -> Finding:
    lowest = 1024 if lowest is None else lowest
    if lowest <= 1:
        return works("ports", "all can be published")
    return works("ports", f"can be published from {lowest} on")
