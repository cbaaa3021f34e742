"""Registries: judged. Pure."""

from __future__ import annotations

from rootless.engine.doctor.finding import REDUCED, YOU, Finding, Fix, works

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_OFFLINE = "nothing can be pulled from there; rl load, and what the store has, work"


def judge(name: str, host: str, facts: dict[str, Any]) -> Finding:
    """name: as people write it, such as docker.io; host: what was asked; facts: of the probe."""
    check = f"registry {name}"
    proxy = f" through the proxy {facts['proxy']}" if facts["proxy"] else ""
    if not facts["refused"]:
        return works(check, f"answers{proxy} (HTTP {facts['status']})")
    machine = host.partition(":")[0]
    command = f"getent hosts {machine}; env | grep -i _proxy"
    why = f"see whether {machine} is known here, and whether a proxy has to be named (https_proxy)"
    return Finding(check, REDUCED, f"{facts['refused']}{proxy}", _OFFLINE, Fix(YOU, why, command))
