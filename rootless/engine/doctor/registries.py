"""Registries: judged. Pure."""

from __future__ import annotations

from rootless.engine.doctor.finding import BROKEN, REDUCED, YOU, Finding, Fix, works

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_OFFLINE = "nothing can be pulled from there; rl load, and what the store has, work"


def judge(facts: dict[str, Any]) -> list[Finding]:
    """facts: of probes.registries."""
    if facts["error"]:
        return [Finding("registries", BROKEN, facts["error"], "nothing can be pulled or run")]
    return [_judge_one(told) for told in facts["registries"]]


def _judge_one(told: dict[str, Any]) -> Finding:
    check = f"registry {told['name']}"
    proxy = f" through the proxy {told['proxy']}" if told["proxy"] else ""
    if not told["refused"]:
        return works(check, f"answers{proxy} (HTTP {told['status']})")
    return Finding(check, REDUCED, f"{told['refused']}{proxy}", _OFFLINE, _look(told))


def _look(told: dict[str, Any]) -> Fix:
    if told["proxy"]:
        return Fix(YOU, f"see whether {told['proxy']} is the proxy to use", "env | grep -i _proxy")
    machine = told["host"].partition(":")[0]
    why = f"see whether {machine} is known here, and whether a proxy has to be named (https_proxy)"
    return Fix(YOU, why, f"getent hosts {machine}; env | grep -i _proxy")
