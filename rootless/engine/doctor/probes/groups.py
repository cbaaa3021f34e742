"""Control groups and the user's systemd manager, which is asked for something it always has."""

from __future__ import annotations

import os
from typing import Any

from rootless.cgroup import choice as choices
from rootless.cgroup import hierarchy as hierarchies
from rootless.cgroup import limiting, refusal
from rootless.errors import RlError
from rootless.tools import idmap, systemd

CONTROLLERS = {
    "memory": "--memory", "cpu": "--cpus", "pids": "--pids-limit", "cpuset": "--cpuset-cpus",
    "io": "--device-read-bps",
}  # fmt: skip
_SECONDS = 1.0
_TOP = "-.slice"
_SLICE = "org.freedesktop.systemd1.Slice"


def look() -> dict[str, Any]:
    """The facts that `engine.doctor.groups` judges.

    manager: who would make a container's group. usable: the controllers there. missing: for each
    other one [why, what helps]. linger: None where there is nothing of the kind. answer: why the
    user's systemd manager does not answer, as [message, hint], None where it does.
    """
    choice = choices.choose()
    top, answer = _ask_manager()
    if answer is not None and choice.is_systemd:
        choice = choices.without_systemd(choice, answer[0])
    where = limiting.delegation(choice, None)
    if top and choice.is_systemd:
        where.chain = hierarchies.chain(choice.hierarchy.mount, top)
    usable = _usable(choice, where)
    return {
        "mode": choice.hierarchy.mode,
        "manager": choice.manager,
        "reason": choice.reason,
        "job": choices.job_around(choice.hierarchy.own),
        "usable": usable,
        "missing": {
            name: _explained(name, flag, where)
            for name, flag in CONTROLLERS.items()
            if name not in usable
        },
        "linger": where.linger,
        "booted": os.path.isdir("/run/systemd/system"),
        "answer": answer,
        "user": idmap.user_name(),
    }


def _ask_manager() -> tuple[str, list[str] | None]:
    """The group that the manager's own units are below, and why it does not answer."""
    manager = systemd.Manager(seconds=_SECONDS)
    try:
        absence = manager.absence()
        if absence is not None:
            raise absence
        return str(manager.read_property(_TOP, "ControlGroup", _SLICE)), None
    except systemd.ManagerRefused:
        return "", None  # an answer all the same
    except RlError as error:
        return "", [error.message, error.hint]


def _usable(choice: choices.Choice, where: refusal.Delegation) -> list[str]:
    if choice.manager == choices.DISABLED or not where.chain:
        return []
    return list(where.chain[-1][1])


def _explained(name: str, flag: str, where: refusal.Delegation) -> list[str]:
    error = refusal.explain(name, name, where, offer=False)
    reason = error.message.removeprefix(f"{name}: ")
    return [reason, refusal.drop_in_commands(name, where, reason) or error.hint]
