"""The kernel, namespaces, and what stands around them: judged. Pure."""

from __future__ import annotations

import errno
import os

from rootless.engine.doctor.finding import ADMINISTRATOR, BROKEN, Finding, Fix, outer, works
from rootless.tools import userns_forbidden

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NOTHING = "no container can run"
_CHROOT = "leave the chroot, or mount something at its root: mount --rbind DIR DIR; chroot DIR"
_NEWER = "# Linux 5.6 or newer is needed: Debian 11, Ubuntu 22.04, RHEL 9 and later have it"
_OPTIONAL = ("time",)
# The network area tells of it, where there is more to say.
_ELSEWHERE = ("network",)


def judge(facts: dict[str, Any], profile: str) -> list[Finding]:
    """facts: of probes.namespaces. profile: the lines that install the AppArmor profile."""
    found = [_kernel(facts), _user_namespaces(facts, profile)]
    if not facts["cause"]:
        found += [_other_kinds(facts["kinds"]), _proc(facts)]
    found.append(_filter(facts["filter"]))
    found += _modules(facts)
    if facts["container"]:
        found.append(works("container", f"this is inside of a container ({facts['container']})"))
    return found


def _kernel(facts: dict[str, Any]) -> Finding:
    if facts["has_openat2"]:
        return works("kernel", f"Linux {facts['kernel']}")
    fix = Fix(ADMINISTRATOR, "a kernel that is new enough for containers without root", _NEWER)
    return Finding("kernel", BROKEN, f"Linux {facts['kernel']} is too old", _NOTHING, fix)


def _user_namespaces(facts: dict[str, Any], profile: str) -> Finding:
    if not facts["cause"]:
        return works("user-namespaces", "can be made and used")
    return Finding(
        "user-namespaces", BROKEN, facts["reason"], _NOTHING, _fix(facts, profile)
    )  # fmt: skip


def _fix(facts: dict[str, Any], profile: str) -> Fix | None:
    cause, command = facts["cause"], facts["command"]
    why = "user namespaces, which containers without root are made of"
    if cause == userns_forbidden.APPARMOR:
        why += "; this profile lets rl alone have them"
        return Fix(ADMINISTRATOR, why, f"{profile}\n# or, for every program: {lasting(command)}")
    if cause == userns_forbidden.CONTAINER:
        return Fix(ADMINISTRATOR, "an outer container started with more rights", outer(command))
    if cause == userns_forbidden.CHROOT:
        return Fix(ADMINISTRATOR, "a root directory that is a mount", f"# {_CHROOT}")
    return Fix(ADMINISTRATOR, why, lasting(command)) if command else None


def lasting(command: str) -> str:
    """`sudo sysctl -w NAME=VALUE` in a form that outlives a reboot; other commands as they are."""
    setting = command.removeprefix("sudo sysctl -w ")
    if setting == command:
        return command
    file = "/etc/sysctl.d/99-rl.conf"
    return f"echo {setting} | sudo tee -a {file} && sudo sysctl -p {file}"


def _other_kinds(kinds: dict[str, int]) -> Finding:
    refused = {name: number for name, number in kinds.items() if number and name not in _ELSEWHERE}
    needed = [name for name in refused if name not in _OPTIONAL]
    if needed:
        name = needed[0]
        reason = os.strerror(refused[name])
        sysctl = f"user.max_{name}_namespaces"
        fix = None
        if refused[name] == errno.ENOSPC:
            reason = f"the limit {sysctl} is reached"
            fix = Fix(
                ADMINISTRATOR,
                f"{name} namespaces, which every container has",
                lasting(f"sudo sysctl -w {sysctl}=28633"),
            )
        return Finding("namespaces", BROKEN, f"{name}: {reason}", _NOTHING, fix)
    if refused:
        return works("namespaces", "all but time: uptime in a container is the host's")
    return works("namespaces", ", ".join(name for name in kinds if name not in _ELSEWHERE))


def _proc(facts: dict[str, Any]) -> Finding:
    if not facts["proc"]:
        return works("proc", "can be mounted")
    command = "docker run --security-opt systempaths=unconfined …"
    if facts["container"] == "podman":
        command = "podman run --security-opt unmask=ALL …"
    return Finding(
        "proc", BROKEN, "/proc cannot be mounted: parts of it are masked here",
        "only rl run --pid host works",
        Fix(ADMINISTRATOR, "an outer container whose /proc is not masked", outer(command)),
    )  # fmt: skip


def _filter(refused: list[str] | None) -> Finding:
    if refused is None:
        return works("seccomp", "filters can be set")
    message, hint = refused
    return Finding(
        "seccomp", BROKEN, message, "only rl run --security-opt seccomp=unconfined works",
        Fix(ADMINISTRATOR, "seccomp filters, which guard the host against containers", hint),
    )  # fmt: skip


def _modules(facts: dict[str, Any]) -> list[Finding]:
    if not facts["modules"]:
        return []
    label = f" (this process: {facts['label']})" if facts["label"] else ""
    return [works("security-modules", ", ".join(facts["modules"]) + label)]
