"""Limits and the user's systemd: judged. Pure."""

from __future__ import annotations

from rootless.engine.doctor.finding import ADMINISTRATOR, REDUCED, YOU, Finding, Fix, works

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NO_LIMITS = "containers run without limits, and --memory and its like are refused"
_MANAGERS = {"systemd": "made by your systemd", "cgroupfs": "made below this process's own group"}


def judge(facts: dict[str, Any]) -> list[Finding]:
    """facts: of probes.groups."""
    if facts["manager"] not in _MANAGERS:
        return [_without(facts)]
    return [_systemd(facts), *_controllers(facts), *_linger(facts)]


def _without(facts: dict[str, Any]) -> Finding:
    reason, hint = next(iter(facts["missing"].values()), [facts["reason"], ""])
    why = "limits on memory, CPUs and processes that users may set for their containers"
    if facts["mode"] == "none":
        hint = "sudo mount -t cgroup2 cgroup2 /sys/fs/cgroup"
    return Finding("limits", REDUCED, reason, _NO_LIMITS, _fix(why, hint))


def _systemd(facts: dict[str, Any]) -> Finding:
    if facts["job"]:
        return works("limits", f"groups below this {facts['job']} job's, whose own limits hold")
    found = f"cgroup {facts['mode']}, groups {_MANAGERS[facts['manager']]}"
    if facts["manager"] != "systemd" and facts["reason"]:
        found += f" ({facts['reason']})"
    return works("limits", found)


def _controllers(facts: dict[str, Any]) -> list[Finding]:
    usable = ", ".join(facts["usable"])
    found = [works("controllers", usable)] if not facts["missing"] else []
    by_hint: dict[str, list[str]] = {}
    for name, (_, hint) in facts["missing"].items():
        by_hint.setdefault(hint, []).append(name)
    for hint, names in by_hint.items():
        listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        reason = facts["missing"][names[0]][0]
        why = f"{listed} limits that users may set for their containers"
        meaning = f"no limits of {listed}; there are those of {usable}" if usable else _NO_LIMITS
        found.append(Finding("controllers", REDUCED, reason, meaning, _fix(why, hint)))
    return found


def _fix(why: str, hint: str) -> Fix | None:
    if hint.startswith("boot with"):
        return Fix(ADMINISTRATOR, why, f"# {hint}")
    if "sudo " in hint:
        return Fix(ADMINISTRATOR, why, hint)
    return Fix(YOU, why, hint) if hint else None


def _linger(facts: dict[str, Any]) -> list[Finding]:
    if facts["manager"] != "systemd":
        return []
    if facts["linger"]:
        return [works("linger", "on: containers live on when you log out")]
    command = f"loginctl enable-linger {facts['user']}"
    return [
        Finding(
            "linger", REDUCED, "off", "containers (rl run -d) end when you log out",
            Fix(YOU, "containers that live on when you log out", command),
        )
    ]  # fmt: skip
